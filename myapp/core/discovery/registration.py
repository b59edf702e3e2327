"""Register what was found on one app, without changing the blueprints, which other apps of the process share."""

from __future__ import annotations

import typing as t
from contextlib import contextmanager
from types import ModuleType

from flask import Blueprint

from ..config import did_you_mean
from ..errors import BlueprintError, is_own_failure
from .causes import describe
from .claims import join, read_claims
from .ownership import Owner, get_ownership
from .report import ModuleReport, Problem, Recorder
from .versions import find_successor, say_farewell
from .walk import ATTRIBUTES, Found, attribute, blueprints_of

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flask import Flask


def register_found(app: Flask, recorder: Recorder, found: Sequence[Found]) -> None:
    """Register the blueprints of every module, in order; those of a fallback are kept for later.

    :raises BlueprintError: when one fails: it may be half registered, and Flask cannot unregister.
    """
    owners = _owners(found)
    packages = frozenset(one.name for one in found if one.is_package)
    for one in found:
        with _attributed_to(one.module):
            own = tuple(blueprint for blueprint in blueprints_of(one.module) if owners[id(blueprint)] is one)
        if attribute(one.module, "fallback"):
            recorder.fallbacks.append(one)
            names = tuple(path for path, _ in _paths(one, own))
            file = _file_of(one.module)
            recorder.modules.append(
                ModuleReport(one.name, one.module.__name__, "active", one.prefix, names, file=file, is_fallback=True)
            )
        else:
            recorder.modules.append(_register(app, one, own, owners, found, packages))


def register_fallback(app: Flask, one: Found) -> None:
    """Register the blueprints of a module that only wants the rules that nobody has claimed."""
    with _attributed_to(one.module):
        own = blueprints_of(one.module)
    _register(app, one, own, {}, (), frozenset())


def _register(
    app: Flask,
    one: Found,
    own: tuple[Blueprint, ...],
    owners: dict[int, Found],
    found: Sequence[Found],
    packages: frozenset[str],
) -> ModuleReport:
    owner = Owner("blueprint", one.module.__name__)
    with _attributed_to(one.module), get_ownership(app).step(app, owner):
        init_app = attribute(one.module, "init_app")
        if init_app is not None:
            init_app(app)
        _add_farewell(app, one, found)
        for path, blueprint in _paths(one, own):
            if path in app.blueprints or (path in packages and path != one.name):
                raise ValueError(
                    f"The blueprint name {path!r} is taken by {_owner_of(app, path, packages)}. Give one of the two"
                    " another name."
                )
            parent, _, last = path.rpartition(".")
            segment = one.segment if one.segment is not None else blueprint.url_prefix
            # Flask adds an empty prefix to an empty rule, which is no URL: the root is written as one slash.
            prefix = join(one.base, segment or "") or "/"
            app.register_blueprint(blueprint, name=last, name_prefix=parent, url_prefix=prefix)
    return _report(one, own, owners)


def _paths(one: Found, own: tuple[Blueprint, ...]) -> list[tuple[str, Blueprint]]:
    """Return each blueprint with the name that it is registered under.

    The blueprint of a package takes the package's own name, whatever it calls itself: Flask asks ``api.v1`` for the
    functions and error handlers of ``api.v1.users``, and so those of a package reach everything below it.
    """
    last = one.name.rpartition(".")[2]
    scope = one.name if one.is_package else one.package
    paths = [(f"{scope}.{blueprint.name}" if scope else blueprint.name, blueprint) for blueprint in own]
    if one.is_package and own:
        first = next((number for number, blueprint in enumerate(own) if blueprint.name == last), 0)
        paths[first] = (one.name, own[first])
    return paths


def _report(one: Found, own: tuple[Blueprint, ...], owners: dict[int, Found]) -> ModuleReport:
    name, file = one.module.__name__, _file_of(one.module)
    paths = tuple(path for path, _ in _paths(one, own))
    # The prefix of a module that leaves it to its blueprints is that of its only one.
    prefix = one.prefix
    if one.segment is None and len(own) == 1:
        prefix = join(one.base, own[0].url_prefix or "")
    elsewhere = sorted(
        owners[id(blueprint)].module.__name__ for blueprint in blueprints_of(one.module) if blueprint not in own
    )
    does_something = bool(own) or one.is_package or attribute(one.module, "init_app") is not None
    if does_something:
        return ModuleReport(one.name, name, "active", prefix, paths, file=file)
    if elsewhere:
        reason = f"Its blueprint is registered by {elsewhere[0]}."
        return ModuleReport(one.name, name, "ignored", reason=reason, file=file)
    reason = "It has none of the names that discovery looks for."
    wrong = _misspelt(one.module)
    claims = () if wrong is None else read_claims(file, one.base, one.name, one.is_package, {})
    return ModuleReport(one.name, name, "ignored", reason=reason, problem=wrong, file=file, claims=claims)


def _owners(found: Sequence[Found]) -> dict[int, Found]:
    """Return which module registers each blueprint object, by the object's id.

    Of several modules that offer it, a package around the one that made it comes first (a package that re-exports
    ``views.py``), then the one that made it, then the first.
    """
    owners: dict[int, Found] = {}
    ranks: dict[int, int] = {}
    for one in found:
        with _attributed_to(one.module):
            offered = blueprints_of(one.module)
        for blueprint in offered:
            origin, name = blueprint.import_name, one.module.__name__
            rank = 0 if one.is_package and f"{origin}.".startswith(f"{name}.") else 1 if origin == name else 2
            if rank < ranks.get(id(blueprint), 3):
                owners[id(blueprint)], ranks[id(blueprint)] = one, rank
    return owners


def _add_farewell(app: Flask, one: Found, found: Sequence[Found]) -> None:
    deprecated, sunset = attribute(one.module, "deprecated"), attribute(one.module, "sunset")
    if not one.is_package or (deprecated is None and sunset is None):
        return
    say_farewell(app, one.name, deprecated, sunset, find_successor(one, found, _goes_away))


def _goes_away(package: Found) -> bool:
    return any(attribute(package.module, name) is not None for name in ("deprecated", "sunset"))


def _owner_of(app: Flask, path: str, packages: frozenset[str]) -> str:
    return f"the package {path}" if path in packages else app.blueprints[path].import_name


def _file_of(module: ModuleType) -> str:
    return module.__file__ or ""


def _misspelt(module: ModuleType) -> Problem | None:
    """Return the problem of a module that probably meant to be served: a blueprint under a name of its own."""
    for name, value in vars(module).items():
        if name.startswith("_") or isinstance(value, ModuleType):
            continue
        if isinstance(value, Blueprint) and value.import_name == module.__name__:
            return Problem(
                "misspelt-attribute",
                f"{module.__file__} has a Blueprint named {name}, and discovery reads only blueprint, bp and"
                f" blueprints.{did_you_mean(name, list(ATTRIBUTES))}",
                f"Rename {name} to blueprint.",
            )
    return None


@contextmanager
def _attributed_to(module: ModuleType) -> Iterator[None]:
    """Turn whatever is raised into the error of ``module``: attribution is by whose step runs."""
    try:
        yield
    except BlueprintError:
        raise
    except BaseException as error:
        if not is_own_failure(error):
            raise
        raise BlueprintError(module.__name__, describe(error, module.__file__)) from error
