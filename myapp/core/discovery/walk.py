"""Find the blueprint modules below a package: one level at a time, each imported once, the first error reported."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import typing as t
from dataclasses import dataclass, replace
from importlib.machinery import PathFinder
from pathlib import Path
from types import MappingProxyType, ModuleType

from flask import Blueprint
from werkzeug.utils import find_modules, import_string

from ..errors import BlueprintError, is_own_failure
from .causes import describe
from .claims import join, read_claims, read_segment
from .report import ModuleReport, Problem

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from flask import Flask

#: What discovery reads from a module. Anything else is the module's own business.
ATTRIBUTES = (
    "blueprint",
    "bp",
    "blueprints",
    "url_prefix",
    "ENABLED",
    "enabled",
    "init_app",
    "deprecated",
    "sunset",
    "fallback",
)
SKIPPED_NAMES = frozenset({"tests", "conftest", "migrations"})


@dataclass(frozen=True)
class Found:
    """A module that was imported and is enabled.

    :param name: the name below its blueprint package, ``api.v1.users``.
    :param base: the path that its packages add up to.
    :param segment: what the module itself adds, or None where each of its blueprints decides.
    """

    name: str
    module: ModuleType
    is_package: bool
    base: str
    segment: str | None

    @property
    def package(self) -> str:
        """The name of the package that it lies in; empty at the top."""
        return self.name.rpartition(".")[0]

    @property
    def prefix(self) -> str:
        """The path that its URLs begin with, before a blueprint adds its own."""
        return join(self.base, self.segment or "")


def attribute(module: ModuleType, name: str) -> t.Any:
    """Return one of the :data:`ATTRIBUTES` of ``module``, or None.

    A submodule is not an attribute: importing ``shop/blueprint.py`` sets ``shop.blueprint``, and then a second app
    of the process would find another value there than the first.
    """
    value = vars(module).get(name)
    return None if isinstance(value, ModuleType) else value


def blueprints_of(module: ModuleType) -> tuple[Blueprint, ...]:
    """Return the blueprints that ``module`` offers, each once.

    :raises TypeError: when one of the names holds something else.
    """
    offered: list[Blueprint] = []
    for name in ("blueprint", "bp", "blueprints"):
        value = attribute(module, name)
        several = name == "blueprints" and isinstance(value, list | tuple)
        for blueprint in value if several else () if value is None else (value,):
            if not isinstance(blueprint, Blueprint):
                raise TypeError(f"{name} holds a {type(blueprint).__name__}, not a flask.Blueprint.")
            if not any(blueprint is other for other in offered):
                offered.append(blueprint)
    return tuple(offered)


def walk(
    app: Flask, root: str, prefixes: Mapping[str, str], quarantined: Mapping[str, Exception]
) -> Iterator[Found | ModuleReport]:
    """Yield each module below the package ``root``, sorted: what can be registered, or why not.

    :param root: dotted name of a blueprint package.
    :param prefixes: the operator's segments, by name below ``root``.
    :param quarantined: modules that have failed while this app was built, with their errors; they are not touched.
    :raises BlueprintError: when a module cannot be imported. Nothing is served of an app that is half built, so that
        a module is executed once however often the app is built again.
    """
    if root in quarantined:
        yield broken(root, root, quarantined[root])
        yield from _unimported(root, "", "", _search_path(root, None), prefixes, broken_package(root))
        return
    package = _import(root)
    if not hasattr(package, "__path__"):
        raise BlueprintError(root, f"{root} is a module and no package. MYAPP_BLUEPRINT_PACKAGES lists packages.")
    yield from _walk(app, package, "", "", prefixes, quarantined)


def scan(root: str, prefixes: Mapping[str, str] = MappingProxyType({})) -> Iterator[ModuleReport]:
    """Yield the modules below the package ``root`` without importing one, for the time when the app cannot boot."""
    yield from _unimported(root, "", "", _search_path(root, None), prefixes, ModuleReport("", "", "unknown"))


def find_folders(root: str) -> list[str]:
    """Return the folders of the package ``root``; nothing is imported, so that it is known even of a broken one."""
    top, *rest = root.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    for number in range(len(rest) + 1):
        if spec is None or spec.submodule_search_locations is None:
            return []
        folders = list(spec.submodule_search_locations)
        if number < len(rest):
            spec = PathFinder.find_spec(".".join([top, *rest[: number + 1]]), folders)
    return folders


def broken(name: str, module: str, error: Exception) -> ModuleReport:
    """Return the report of a module that has failed."""
    # Python takes a module whose body raised out of sys.modules: one that is there failed later.
    state: t.Literal["broken-import", "broken-register"] = (
        "broken-register" if _is_imported(module) else "broken-import"
    )
    summary = error.summary if isinstance(error, BlueprintError) else describe(error)
    return ModuleReport(
        name, module, state, problem=Problem(state, summary, "Correct the file that the message names and restart.")
    )


def broken_package(package: str) -> ModuleReport:
    """Return what is reported of every module below a package that cannot be imported."""
    problem = Problem(
        "broken-package",
        f"It was not imported, because its package {package} is broken.",
        f"Correct {package} first; the modules in it were left alone.",
    )
    return ModuleReport("", "", "broken-import", problem=problem)


def _walk(
    app: Flask,
    package: ModuleType,
    above: str,
    base: str,
    prefixes: Mapping[str, str],
    quarantined: Mapping[str, Exception],
) -> Iterator[Found | ModuleReport]:
    search_path = list(package.__path__)
    packages = {name for name, is_package in _iter_names(search_path) if is_package}
    yield from _folders_without_init(package.__name__, above, search_path)
    for module_name in sorted(find_modules(package.__name__, include_packages=True)):
        last = module_name.rpartition(".")[2]
        if is_skipped(last):
            continue
        name = f"{above}.{last}" if above else last
        is_package = last in packages
        below = _search_path(module_name, search_path) if is_package else []
        if module_name in quarantined:
            report = _locate(broken(name, module_name, quarantined[module_name]), base, search_path, prefixes)
            yield report
            if is_package and not _is_imported(module_name):
                yield from _unimported(module_name, name, report.prefix, below, prefixes, broken_package(module_name))
                continue
            if not is_package:
                continue
            # The package itself could not be registered; the modules in it can.
            module = import_string(module_name)
        else:
            module = _import(module_name)
            reason = _why_disabled(app, module)
            if reason:
                report = _locate(ModuleReport(name, module_name, "skipped", reason=reason), base, search_path, prefixes)
                yield report
                skipped = ModuleReport("", "", "skipped", reason=f"Its package is skipped: {reason}")
                yield from _unimported(module_name, name, report.prefix, below, prefixes, skipped)
                continue
        found = Found(name, module, is_package, base, _segment(name, module, is_package, prefixes))
        if module_name not in quarantined:
            yield found
        if is_package:
            yield from _walk(app, module, name, found.prefix, prefixes, quarantined)


def _segment(name: str, module: ModuleType, is_package: bool, prefixes: Mapping[str, str]) -> str | None:
    """Return what ``module`` adds to the path; None when its blueprints decide."""
    if name in prefixes:
        return prefixes[name]
    declared = attribute(module, "url_prefix")
    if declared is not None or not is_package:
        return None if declared is None else str(declared)
    own = next((bp.url_prefix for bp in _own_blueprints(module) if bp.url_prefix is not None), None)
    return own if own is not None else name.rpartition(".")[2]


def _own_blueprints(module: ModuleType) -> tuple[Blueprint, ...]:
    """Return the blueprints of a package; what is wrong with them is said when they are registered."""
    try:
        return blueprints_of(module)[:1]
    except TypeError:
        return ()


def _why_disabled(app: Flask, module: ModuleType) -> str:
    """Return why ``module`` does not want to be served, as a sentence; nothing when it does.

    A text that ``enabled(app)`` returns is the reason why not.
    """
    switch = attribute(module, "ENABLED")
    if switch is not None and not switch:
        return f"ENABLED is {switch!r} in {module.__file__}."
    enabled = attribute(module, "enabled")
    if enabled is None:
        return ""
    try:
        answer = enabled(app) if callable(enabled) else enabled
    except BaseException as error:
        if not is_own_failure(error):
            raise
        raise BlueprintError(module.__name__, describe(error, module.__file__)) from error
    if isinstance(answer, str) and answer:
        return answer
    return "" if answer else f"enabled(app) returned {answer!r} in {module.__file__}."


def _import(name: str) -> ModuleType:
    """Import the module ``name``, executing its body once.

    :raises BlueprintError: with the true error; ``import_string`` alone runs a body that fails four times and hides
        the cause.
    """
    try:
        importlib.import_module(name)
    except BaseException as error:
        if not is_own_failure(error):
            raise
        raise BlueprintError(name, describe(error, _file_of(name))) from error
    return t.cast("ModuleType", import_string(name))


def _file_of(name: str) -> str | None:
    """Return the file of a module that could not be imported, if its package could."""
    parent = name.rpartition(".")[0]
    if parent and parent not in sys.modules:
        return None
    if parent and not hasattr(sys.modules[parent], "__path__"):
        return None
    spec = PathFinder.find_spec(name, list(sys.modules[parent].__path__) if parent else None)
    return spec.origin if spec else None


def _is_imported(name: str) -> bool:
    return name in sys.modules


def is_skipped(last: str) -> bool:
    """Whether modules of this name are never blueprint modules."""
    return last.startswith(("_", "test_")) or last in SKIPPED_NAMES


def _iter_names(search_path: Iterable[str]) -> Iterator[tuple[str, bool]]:
    names = {info.name: info.ispkg for info in pkgutil.iter_modules(search_path) if not is_skipped(info.name)}
    yield from sorted(names.items())


def _search_path(name: str, parent: list[str] | None) -> list[str]:
    """Return the folders of the package ``name``, which is not imported for it."""
    try:
        spec = importlib.util.find_spec(name) if parent is None else PathFinder.find_spec(name, parent)
    except (ImportError, ValueError, AttributeError):
        return []
    return list(spec.submodule_search_locations or ()) if spec else []


def _unimported(
    module: str, name: str, base: str, search_path: list[str], prefixes: Mapping[str, str], pattern: ModuleReport
) -> Iterator[ModuleReport]:
    """Yield a report for each module below a package, none of which is imported."""
    for last, is_package in _iter_names(search_path):
        below = replace(pattern, name=f"{name}.{last}" if name else last, module=f"{module}.{last}")
        below = _locate(below, base, search_path, prefixes)
        yield below
        if is_package:
            inner = _search_path(below.module, search_path)
            yield from _unimported(below.module, below.name, below.prefix, inner, prefixes, pattern)


def _locate(report: ModuleReport, base: str, search_path: Iterable[str], prefixes: Mapping[str, str]) -> ModuleReport:
    """Return the report of a module that is not served with its file, and with the paths that it would serve."""
    spec = PathFinder.find_spec(report.module, list(search_path))
    if spec is None or spec.origin is None:
        return report
    is_package = spec.submodule_search_locations is not None
    segment = read_segment(spec.origin, report.name, is_package, prefixes)
    return replace(
        report,
        file=spec.origin,
        prefix=join(base, segment or ""),
        claims=read_claims(spec.origin, base, report.name, is_package, prefixes),
    )


def _folders_without_init(module: str, name: str, search_path: list[str]) -> Iterator[ModuleReport]:
    for folder in sorted(child for entry in search_path for child in Path(entry).iterdir() if child.is_dir()):
        if is_skipped(folder.name) or "." in folder.name or (folder / "__init__.py").is_file():
            continue
        # Folders for templates and static files are no packages and need not be.
        if any(folder.glob("*.py")):
            problem = Problem(
                "no-init-file",
                f"The folder {folder} has Python files and no __init__.py; they were not looked at.",
                f"Create {folder / '__init__.py'}; it may be empty.",
            )
            below = f"{name}.{folder.name}" if name else folder.name
            yield ModuleReport(below, f"{module}.{folder.name}", "ignored", problem=problem)
