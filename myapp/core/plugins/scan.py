"""Yield the candidates: what could be a plugin, and what is wrong with it. Nothing is imported."""

from __future__ import annotations

import logging
import os
import re
import typing as t
from dataclasses import dataclass, field, replace
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, distributions
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from ..config import SITES, plain_name
from ..discovery import describe
from ..errors import ConfigurationError, well_formed
from .finder import is_inside
from .manifest import VARIABLE, Manifest, from_object, problem, read_manifest

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from importlib.metadata import Distribution

    from ..discovery import Problem

logger = logging.getLogger("myapp.plugins")

GROUP = "myapp.plugins"
SKIPPED_NAMES = frozenset({"tests", "conftest", "setup"})
#: What only a plugin's file has at the beginning of a line.
MEANT = re.compile(rb"^(__plugin__\s*[:=]|(async )?def myapp_)", re.MULTILINE)
#: Ranks of the sources; folders come after these, each with a rank of its own, in the order in which they are listed.
ENTRY_POINT, FOLDER = 1, 2


@dataclass(frozen=True)
class Candidate:
    """What could be a plugin.

    :param rank: of its source; of two candidates with one name the lower rank wins.
    :param location: its package folder or its file; None when that is not known before the import.
    :param module: the dotted name of an installed plugin; empty for one in a folder, which the finder names.
    :param target: the module or object itself, when it was passed to ``create_app``.
    :param is_critical: what its manifest says; None when that cannot be known.
    :param has_manifest: whether there is one; without one a plugin is served all the same.
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
    is_critical: bool | None = None
    has_manifest: bool = False

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


def iter_editable() -> Iterator[Path]:
    """Yield the package folder, or the only file, of each installed plugin that lies where somebody edits it.

    That is every place but those that pip copies to: an editable installation, a folder on ``PYTHONPATH``.
    """
    for candidate in _iter_entry_points():
        sources = _files_of(candidate.module.partition(":")[0])
        if sources and not SITES & {*sources[-1].parts}:
            # The outermost package: the entry point may name a module in it.
            yield sources[-1].parent if sources[-1].name == "__init__.py" else sources[-1]


def from_argument(wanted: t.Any, rank: int, known: Iterable[Candidate]) -> Candidate:
    """Return the candidate for one element of ``create_app(plugins=[…])``.

    :param wanted: the name of a candidate, the dotted name of a module, the path of a plugin's folder or file, a
        module, or an object with hooks.
    :param known: what a name is looked up in.
    """
    if isinstance(wanted, Path):
        return _at_path(wanted.absolute(), rank)
    if isinstance(wanted, str):
        match = next((candidate for candidate in known if candidate.name == plain_name(wanted)), None)
        if match is not None:
            return replace(match, rank=rank)
        origin = "the argument of create_app"
        if "." in wanted:
            return _from_module(plain_name(wanted.rpartition(".")[2]), wanted, origin, rank, "0")
        summary = f"No plugin is called {wanted}."
        return Candidate(plain_name(wanted), origin, rank, problem=problem("not-found", summary))
    manifest = from_object(wanted, getattr(wanted, VARIABLE, {}))
    is_module = isinstance(wanted, ModuleType)
    own_name = wanted.__name__.rpartition(".")[2] if is_module else getattr(wanted, "name", _snake(wanted))
    return Candidate(
        plain_name(str(manifest.values.get("name", own_name))),
        "the argument of create_app",
        rank,
        version=manifest.values.get("version", "0"),
        manifest=manifest.values,
        module=wanted.__name__ if is_module else type(wanted).__module__,
        target=wanted,
        problem=manifest.problem,
        is_critical=manifest.is_critical,
        has_manifest=True,
    )


def _snake(wanted: t.Any) -> str:
    kind = wanted if isinstance(wanted, type) else type(wanted)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()


def _iter_folder(folder: Path, rank: int) -> Iterator[Candidate]:
    try:
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        # What is in it is not known, and a plugin that nothing may be served without may be.
        raise ConfigurationError(
            [f"MYAPP_PLUGIN_DIRS: {folder} cannot be read ({error.strerror}). Let the user of this process read it."]
        ) from error
    for entry in entries:
        stem, suffix = os.path.splitext(entry.name)
        name = well_formed(stem if suffix == ".py" else entry.name)
        if name.startswith(("_", ".", "test_")) or name in SKIPPED_NAMES:
            continue
        try:
            found = _at_entry(plain_name(name), entry, folder, rank)
        except (OSError, RuntimeError) as error:
            # One that may not be looked into, or links that lead round in a circle: a RuntimeError up to Python 3.12.
            wrong = problem("import-failed", f"{entry.path} cannot be looked into: {error}")
            found = Candidate(plain_name(name), str(folder), rank, problem=wrong)
        except Exception as error:  # noqa: BLE001 - whatever a manifest holds, it takes no other plugin down.
            wrong = problem("manifest-invalid", f"{entry.path}: {describe(error)}")
            found = Candidate(plain_name(name), str(folder), rank, problem=wrong)
        if found is not None:
            yield found


def _at_entry(name: str, entry: os.DirEntry[str], folder: Path, rank: int) -> Candidate | None:
    location = Path(entry.path)
    if not entry.is_dir():
        if entry.is_symlink() and not location.exists():
            # What it is meant to be nobody can say; a plugin that guards the site, if it lies here.
            wrong = problem("import-failed", f"{location} is a link to {location.readlink()}, which is not there.")
            return Candidate(name, str(folder), rank, problem=wrong)
        is_module = location.suffix == ".py" and entry.is_file()
        return _in_folder(name, location, location, folder, rank) if is_module else None
    init = location / "__init__.py"
    if init.is_file():
        return _in_folder(name, location, init, folder, rank)
    if any(map(_is_meant, location.glob("*.py"))):
        wrong = problem("no-init-file", f"The folder {location} has a plugin's Python files and no __init__.py.")
        return Candidate(name, str(folder), rank, problem=wrong)
    return _in_folder(name, location, location, folder, rank) if location.suffix == ".py" else None


def _is_meant(file: Path) -> bool:
    """Whether a file in a folder without ``__init__.py`` is a plugin's: any other folder may lie there, too."""
    try:
        return MEANT.search(file.read_bytes()) is not None
    except OSError:
        # A link that leads nowhere, or a folder called x.py.
        return False


def _in_folder(name: str, location: Path, file: Path, folder: Path, rank: int) -> Candidate:
    # What is no link is where it lies: to follow every part of its path takes ten times as long.
    if (location.is_symlink() or file.is_symlink()) and not is_inside(file, folder):
        wrong: Problem | None = problem("outside-folder", f"{location} is a link to {file.resolve()}.")
        return Candidate(name, str(folder), rank, problem=wrong)
    manifest = read_manifest(file)
    wrong = manifest.problem
    declared = plain_name(manifest.values.get("name", name))
    if declared != name:
        wrong = problem("manifest-invalid", f"{file}: {VARIABLE} says the name {declared!r}, and the folder {name!r}.")
    return Candidate(
        name,
        str(folder),
        rank,
        version=manifest.values.get("version", "0"),
        manifest=manifest.values,
        location=location,
        problem=wrong,
        is_critical=manifest.is_critical,
        has_manifest=manifest.is_there,
    )


def _at_path(location: Path, rank: int) -> Candidate:
    name = location.stem if location.suffix == ".py" else location.name
    file = location if location.suffix == ".py" else location / "__init__.py"
    if file.is_file():
        return _in_folder(plain_name(name), location, file, location.parent, rank)
    summary = f"There is no plugin at {location}: it is no folder with an __init__.py and no Python file."
    return Candidate(plain_name(name), str(location), rank, problem=problem("not-found", summary))


def _iter_entry_points() -> Iterator[Candidate]:
    """Yield the entry points of each distribution by itself: a broken one must not hide the others."""
    seen: set[str] = set()
    for distribution in distributions():
        try:
            text = distribution.read_text("entry_points.txt") or ""
            if GROUP not in text:
                # Reading the rest of a distribution costs more than this, and most have no plugin.
                continue
            name, version = _identify(distribution)
            points = distribution.entry_points.select(group=GROUP)
        except Exception as error:
            logger.exception("The entry points of a distribution cannot be read: %s", describe(error))
            continue
        # Of a distribution that is on the path twice the first counts, as for imports.
        if name not in seen:
            seen.add(name)
            yield from (_from_entry_point(point, name, version) for point in sorted(points, key=lambda p: p.name))


def _identify(distribution: Distribution) -> tuple[str, str]:
    """Return the name and the version of a distribution; those of its folder where its METADATA cannot be read.

    A plugin is imported without it, and one that guards the site is not to be missing because of it.
    """
    try:
        name, version = distribution.name, distribution.version
    except Exception:  # noqa: BLE001 - a name that is missing is None, and in newer versions of Python an error.
        name = version = ""
    if name and version:
        return name, version
    # The only place that has the path is not public.
    stem = Path(str(getattr(distribution, "_path", distribution))).stem
    # shop-1.0.dist-info, shop-1.0-py3.12.egg-info
    name, version, *_ = f"{stem}-0".split("-")
    logger.warning("The METADATA of the distribution %s is missing or cannot be read: install it again.", stem)
    return name, version


def _from_entry_point(point: EntryPoint, distribution: str, version: str) -> Candidate:
    origin = f"{distribution} {version}"
    match = EntryPoint.pattern.match(point.value)
    # One that is not of the form `package.module:attribute` cannot be imported either, and says so.
    parts = [match["module"], match["attr"]] if match else [point.value]
    target = ":".join(filter(None, parts))
    name = plain_name(point.name)
    try:
        return _from_module(name, target, origin, ENTRY_POINT, version)
    except Exception as error:  # noqa: BLE001 - as for those in folders.
        wrong = problem("manifest-invalid", f"{origin}: {describe(error)}")
        return Candidate(name, origin, ENTRY_POINT, version, module=target, problem=wrong)


def _from_module(name: str, target: str, origin: str, rank: int, version: str) -> Candidate:
    """Return the candidate of a module that Python finds, ``package.module:attribute``."""
    files = _files_of(target.partition(":")[0])
    # The manifest lies in the module that is named, or in a package around it.
    manifests = [read_manifest(file) for file in files]
    manifest = next((one for one in manifests if one.is_there or one.problem is not None), Manifest())
    wrong = manifest.problem
    declared = plain_name(manifest.values.get("name", name))
    if declared != name:
        wrong = problem("manifest-invalid", f"{VARIABLE} says the name {declared!r}, and {origin} calls it {name!r}.")
    return Candidate(
        name,
        origin,
        rank,
        version=manifest.values.get("version", version),
        manifest=manifest.values,
        location=files[0] if files else None,
        module=target,
        problem=wrong,
        is_critical=manifest.is_critical,
        has_manifest=manifest.is_there,
    )


def _files_of(module: str) -> list[Path]:
    """Return the sources of a module and of the packages around it, the innermost first; nothing is imported.

    Only the top-level package is looked up through every finder, as those of editable installations need it; asking
    them for what lies below would import it.
    """
    parts = module.split(".")
    found: list[Path] = []
    search_path: list[str] | None = None
    for depth in range(1, len(parts) + 1):
        try:
            spec = find_spec(parts[0]) if depth == 1 else PathFinder.find_spec(".".join(parts[:depth]), search_path)
        except (ImportError, ValueError):
            # A module that was put together by hand has no spec.
            spec = None
        if spec is None:
            return []
        search_path = list(spec.submodule_search_locations or ())
        if spec.origin is not None and spec.origin.endswith(".py"):
            found.insert(0, Path(spec.origin))
    return found
