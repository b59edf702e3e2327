"""Write a new plugin: a package that is served, tested and installed as it is. ``myapp/scaffold/plugin`` has its files.

They lie there as text, with ``$name`` where the plugin's name goes and ``NAME`` in paths, so that no tool takes them
for modules of this project; a test writes a plugin and checks that. ``DOT`` begins a hidden file: setuptools would
leave it out of the wheel.
"""

from __future__ import annotations

import keyword
import os
import re
import secrets
import shutil
import typing as t
from pathlib import Path
from string import Template

from ..config import own_version, plain_name
from ..errors import ScaffoldError
from .plan import RESERVED
from .scan import SKIPPED_NAMES
from .state import NAME

if t.TYPE_CHECKING:
    from collections.abc import Collection

TEMPLATES = Path(__file__).resolve().parents[2] / "scaffold" / "plugin"
SUFFIX = ".txt"


def create_plugin(name: str, folder: Path, taken: Collection[str] = ()) -> Path:
    """Write the plugin ``name`` into ``folder`` and return its own folder; all of it, or nothing.

    :param folder: made when it is not there.
    :param taken: names that plugins and blueprints have already.
    :raises ScaffoldError: when the name cannot be used, when something is there already, when it cannot be written.
    """
    plain = plain_name(name)
    _check_name(name, plain, taken)
    target = folder / plain
    if os.path.lexists(target) or (folder / f"{plain}.py").exists():
        raise ScaffoldError(f"{target} is there already, and nothing was written. Choose another name or folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_all(target, _words(plain))
    except OSError as error:
        raise ScaffoldError(
            f"{target} cannot be written ({error.strerror}), and nothing was. Choose another folder."
        ) from error
    return target


def _check_name(name: str, plain: str, taken: Collection[str]) -> None:
    """Refuse a name that the application would not serve, or not under this name.

    :raises ScaffoldError: with a name that would do, if one is near.
    """
    if not NAME.fullmatch(plain):
        near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")[:40]
        hint = f" {near!r} would be one." if NAME.fullmatch(near) else ""
        raise ScaffoldError(
            f"{name!r} is not a name for a plugin: a lower-case letter, then letters, digits and _, 2 to 40 in all."
            f"{hint}"
        )
    if keyword.iskeyword(plain):
        raise ScaffoldError(f"{plain} is a word of Python: nobody could import a plugin of this name. Choose another.")
    if plain in RESERVED or plain in SKIPPED_NAMES or plain.startswith("test_"):
        raise ScaffoldError(f"{plain} is a name that the application uses itself. Choose another.")
    if plain in taken:
        raise ScaffoldError(f"There is a plugin or a blueprint called {plain} already. Choose another name.")


def _words(name: str) -> dict[str, str]:
    return {
        "name": name,
        "setting": name.upper(),
        "distribution": name.replace("_", "-"),
        "title": name.replace("_", " ").capitalize(),
        "version": own_version(),
    }


def _write_all(target: Path, words: dict[str, str]) -> None:
    """Write the files aside and rename their folder: a server that runs meanwhile sees a whole plugin or none."""
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    aside.mkdir()
    try:
        for source in sorted(TEMPLATES.rglob(f"*{SUFFIX}")):
            path = str(source.relative_to(TEMPLATES)).removesuffix(SUFFIX)
            path = path.replace("NAME", words["name"]).replace("DOT", ".")
            (aside / path).parent.mkdir(parents=True, exist_ok=True)
            text = Template(source.read_text(encoding="utf-8")).substitute(words)
            (aside / path).write_text(text, encoding="utf-8")
        # Fails when somebody has been faster.
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
