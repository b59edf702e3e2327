"""Yield the candidates: what could be a plugin, and what is wrong with it. Nothing is imported."""

from __future__ import annotations

import logging
import re
import typing as t
from dataclasses import dataclass, field, replace
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from types import ModuleType

from ..discovery import describe
from .finder import is_inside
from .manifest import VARIABLE, ManifestError, check_manifest, problem, read_manifest

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from importlib.metadata import Distribution

    from ..discovery import Problem

logger = logging.getLogger("myapp.plugins")

GROUP = "myapp.plugins"
SKIPPED_NAMES = frozenset({"tests", "conftest", "setup"})
#: Ranks of the sources; folders come after these, each with a rank of its own, in the order in which they are listed.
ENTRY_POINT, FOLDER = 1, 2


@dataclass(frozen=True)
class Candidate:
    """What could be a plugin.

    :param rank: of its source; of two candidates with one name the lower rank wins.
    :param location: its package folder or its file; None when that is not known before the import.
    :param module: the dotted name of an installed plugin; empty for one in a folder, which the finder names.
    :param target: the module or object itself, when it was passed to ``create_app``.
    """

    name: str
    origin: str
    rank: int
    version: str = "0"
    manifest: dict[str, t.Any] = field(default_factory=dict)
    location: Path | None = None
    module: str = ""
    target: t.Any = None
    problem: Problem | None = None

    @property
    def mount(self) -> str:
        """The path before its URLs that it asks for; empty for the root."""
        return "/" + path if (path := str(self.manifest.get("mount", self.name)).strip("/")) else ""

    @property
    def file(self) -> str:
        """Its source: the file, or that of its package; empty when it is not known before the import."""
        if self.location is None:
            return ""
        return str(self.location if self.location.suffix == ".py" else self.location / "__init__.py")


def scan(folders: Sequence[Path]) -> list[Candidate]:
    """Return the candidates of all installed distributions and of ``folders``, in order of rank and name."""
    found = [*_iter_entry_points()]
    for number, folder in enumerate(folders):
        found.extend(_iter_folder(folder, FOLDER + number))
    return sorted(found, key=lambda candidate: (candidate.rank, candidate.name))


def from_argument(wanted: t.Any, rank: int, known: Iterable[Candidate]) -> Candidate:
    """Return the candidate for one element of ``create_app(plugins=[…])``.

    :param wanted: the name of a candidate, the dotted name of a module, the path of a plugin's folder or file, a
        module, or an object with hooks.
    :param known: what a name is looked up in.
    """
    if isinstance(wanted, Path):
        return _at_path(wanted.absolute(), rank)
    if isinstance(wanted, str):
        match = next((candidate for candidate in known if candidate.name == normalize(wanted)), None)
        if match is not None:
            return replace(match, rank=rank)
        origin = "the argument of create_app"
        if "." in wanted:
            return Candidate(normalize(wanted.rpartition(".")[2]), origin, rank, module=wanted)
        summary = f"No plugin is called {wanted}."
        return Candidate(normalize(wanted), origin, rank, problem=problem("not-found", summary))
    manifest = getattr(wanted, VARIABLE, {})
    wrong = None
    try:
        check_manifest(manifest)
    except ManifestError as error:
        wrong, manifest = problem("manifest-invalid", f"{wanted!r}: {error}"), {}
    is_module = isinstance(wanted, ModuleType)
    own_name = wanted.__name__.rpartition(".")[2] if is_module else getattr(wanted, "name", _snake(wanted))
    return Candidate(
        normalize(str(manifest.get("name", own_name))),
        "the argument of create_app",
        rank,
        version=manifest.get("version", "0"),
        manifest=manifest,
        module=wanted.__name__ if is_module else type(wanted).__module__,
        target=wanted,
        problem=wrong,
    )


def normalize(name: str) -> str:
    """Return ``name`` as plugins are called: ``-`` is ``_``."""
    return name.replace("-", "_")


def _snake(wanted: t.Any) -> str:
    kind = wanted if isinstance(wanted, type) else type(wanted)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()


def _iter_folder(folder: Path, rank: int) -> Iterator[Candidate]:
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        name = entry.stem if entry.suffix == ".py" else entry.name
        if name.startswith(("_", ".", "test_")) or name in SKIPPED_NAMES:
            continue
        if entry.is_dir() and (entry / "__init__.py").is_file():
            yield _in_folder(normalize(name), entry, entry / "__init__.py", folder, rank)
        elif entry.is_dir() and any(entry.glob("*.py")):
            wrong = problem("no-init-file", f"The folder {entry} has Python files and no __init__.py.")
            yield Candidate(normalize(name), str(folder), rank, problem=wrong)
        elif entry.suffix == ".py":
            yield _in_folder(normalize(name), entry, entry, folder, rank)


def _in_folder(name: str, location: Path, file: Path, folder: Path, rank: int) -> Candidate:
    if not is_inside(file, folder):
        wrong: Problem | None = problem("outside-folder", f"{location} is a link to {file.resolve()}.")
        return Candidate(name, str(folder), rank, problem=wrong)
    manifest, wrong = read_manifest(file)
    manifest = manifest or {}
    declared = normalize(manifest.get("name", name))
    if declared != name:
        wrong = problem("manifest-invalid", f"{file}: {VARIABLE} says the name {declared!r}, and the folder {name!r}.")
    return Candidate(
        name,
        str(folder),
        rank,
        version=manifest.get("version", "0"),
        manifest=manifest,
        location=location,
        problem=wrong,
    )


def _at_path(location: Path, rank: int) -> Candidate:
    name = location.stem if location.suffix == ".py" else location.name
    file = location if location.suffix == ".py" else location / "__init__.py"
    if file.is_file():
        return _in_folder(normalize(name), location, file, location.parent, rank)
    summary = f"There is no plugin at {location}: it is no folder with an __init__.py and no Python file."
    return Candidate(normalize(name), str(location), rank, problem=problem("not-found", summary))


def _iter_entry_points() -> Iterator[Candidate]:
    """Yield the entry points of each distribution by itself: a broken one must not hide the others."""
    seen: set[str] = set()
    for distribution in distributions():
        try:
            text = distribution.read_text("entry_points.txt") or ""
            if GROUP not in text:
                # Reading the rest of a distribution costs more than this, and most have no plugin.
                continue
            name = distribution.name
            points = distribution.entry_points.select(group=GROUP)
        except Exception as error:
            logger.exception("The entry points of a distribution cannot be read: %s", describe(error))
            continue
        # Of a distribution that is on the path twice the first counts, as for imports.
        if name not in seen:
            seen.add(name)
            yield from (_from_entry_point(point, distribution) for point in sorted(points, key=lambda p: p.name))


def _from_entry_point(point: EntryPoint, distribution: Distribution) -> Candidate:
    file = _file_of(point.module)
    manifest, wrong = read_manifest(file) if file is not None else (None, None)
    manifest = manifest or {}
    return Candidate(
        normalize(point.name),
        f"{distribution.name} {distribution.version}",
        ENTRY_POINT,
        version=manifest.get("version", distribution.version),
        manifest=manifest,
        location=file,
        module=point.value.split("[")[0].strip(),
        problem=wrong,
    )


def _file_of(module: str) -> Path | None:
    """Return the source of a module, found from its top-level package on without importing anything."""
    search_path = None
    spec = None
    for depth in range(1, module.count(".") + 2):
        spec = PathFinder.find_spec(".".join(module.split(".")[:depth]), search_path)
        if spec is None:
            return None
        search_path = list(spec.submodule_search_locations or ())
    origin = spec.origin if spec is not None else None
    return Path(origin) if origin is not None and origin.endswith(".py") else None
