"""Evil plugins: the ways in which a plugin fails, for those who want to see that their application survives.

The sources lie in the folder `evil`, as their authors would have written them. As text: some of them are no Python, and
no tool that looks at the files of a package is to stumble over them.
"""

from __future__ import annotations

import typing as t
from pathlib import Path
from types import MappingProxyType

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SOURCES = Path(__file__).with_name("evil")
SUFFIX = ".txt"


class Evil(t.NamedTuple):
    """What becomes of an evil plugin in a lenient app: its state, and the code of its problem."""

    state: str
    code: str


#: By name.
EVIL_PLUGINS: Mapping[str, Evil] = MappingProxyType(
    {
        "bad_signature": Evil("broken-register", "hook-failed"),
        "commands_raise": Evil("broken-register", "hook-failed"),
        "configure_raises": Evil("broken-register", "hook-failed"),
        "duplicate_endpoint": Evil("broken-register", "hook-failed"),
        "exits": Evil("broken-import", "import-failed"),
        "import_raises": Evil("broken-import", "import-failed"),
        "mapper_broken": Evil("broken-register", "mapper-failed"),
        "missing_dependency": Evil("broken-import", "import-failed"),
        "no_migrations": Evil("broken-register", "hook-failed"),
        "record_raises": Evil("broken-register", "hook-failed"),
        "syntax_error": Evil("broken-import", "syntax-error"),
        "unknown_hook": Evil("broken-register", "hook-unknown"),
    }
)


class EvilPlugin(t.NamedTuple):
    """One of them, written to a folder of its own.

    :param name: of the plugin.
    :param path: its file or its folder: ``make_app(evil.path, strict=False)``.
    :param state: what ``flask plugins list`` shows for it.
    :param code: of its problem.
    """

    name: str
    path: Path
    state: str
    code: str


def write_zoo(folder: Path, names: Iterable[str] = EVIL_PLUGINS) -> Path:
    """Write the evil plugins ``names`` into the plugin folder ``folder``, which is made, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_evil(name, folder)
    return folder


def write_evil(name: str, folder: Path) -> EvilPlugin:
    """Write one of them into ``folder``, which is made: a file, or a package."""
    sources = [*(SOURCES / name).rglob(f"*{SUFFIX}")] or [SOURCES / f"{name}.py{SUFFIX}"]
    for source in sources:
        path = folder / str(source.relative_to(SOURCES)).removesuffix(SUFFIX)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.read_bytes())
    return EvilPlugin(name, folder / (name if (SOURCES / name).is_dir() else f"{name}.py"), *EVIL_PLUGINS[name])
