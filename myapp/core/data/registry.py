"""One SQLAlchemy registry and MetaData for each owner of tables."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Mapper, RelationshipProperty, registry

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Named constraints: a batch ALTER on SQLite cannot drop one without a name.
NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
#: The import root whose models are the core's and the team's.
CORE = "myapp"

# Mapped classes live as long as their module, for every app of the process, and so do their registries. With one for
# all, a plugin whose relationship() names a class that is not there makes every query of the core raise.
_registries: dict[str, registry] = {}
#: Modules, each of a plugin that shares its package with other plugins.
_separate: set[str] = set()


def get_registry(package: str = CORE) -> registry:
    """Return the registry of the models below ``package``, made at its first model."""
    if package not in _registries:
        _registries[package] = registry(metadata=sa.MetaData(naming_convention=NAMING))
    return _registries[package]


def get_metadata(package: str = CORE) -> sa.MetaData:
    """Return the tables of the models below ``package``: ``myapp``, ``myapp_plugins.<name>`` or a plugin's package."""
    return get_registry(package).metadata


def import_root(module: str) -> str:
    """Return the package at the top of ``module``, that of one plugin or of several: that of its distribution."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "myapp_plugins" else parts[0]


def is_below(module: str, package: str) -> bool:
    """Whether ``module`` is ``package`` or a part of it."""
    return module == package or module.startswith(f"{package}.")


def get_all_metadata(package: str) -> list[sa.MetaData]:
    """Return the tables of the models below ``package``, and of those that it shares with other owners."""
    roots = dict.fromkeys((package, import_root(package)))
    return [get_metadata(one) for one in roots if one == package or one in _registries]


def owner_package(module: str) -> str:
    """Return the package that owns the models of ``module``: its import root, unless that has several owners."""
    return max((one for one in _separate if is_below(module, one)), key=len, default=import_root(module))


def separate_owners(modules: Iterable[str]) -> None:
    """Give the models below each of ``modules`` a registry of their own: their import root has several owners.

    What has been mapped stays where it is, and so does what will be mapped below the same module.
    """
    mapped = [str(mapper.class_.__module__) for _, mapper in iter_mappers()]
    _separate.update(one for one in modules if not any(is_below(module, one) for module in mapped))


def model_packages() -> frozenset[str]:
    """Return the import roots that have models, or had some when a name of theirs was looked up."""
    return frozenset(_registries)


def iter_mappers() -> Iterator[tuple[str, Mapper[t.Any]]]:
    """Yield every mapped class of the process with its import root, in the order of their names."""
    for package in sorted(_registries):
        for mapper in sorted(_registries[package].mappers, key=str):
            yield package, mapper


def configure_models(package: str) -> None:
    """Resolve the relationships of the models below ``package`` now, and not at somebody's first query.

    Those that it shares with other owners are resolved with them.

    :raises Exception: what SQLAlchemy or a model says when that cannot be done; :func:`find_broken` says whose.
    """
    for one in dict.fromkeys((package, import_root(package))):
        if one in _registries:
            _registries[one].configure(cascade=True)


def find_broken() -> frozenset[str]:
    """Return the import roots with a model that could not be configured; every query of their relatives fails, too."""
    # Not public, but what configure() itself looks at before it says that a mapper has failed earlier.
    return frozenset(package for package, mapper in iter_mappers() if getattr(mapper, "_configure_failed", False))


def drop_models(packages: frozenset[str]) -> None:
    """Unmap the models below ``packages``, which nobody uses, and forget their tables.

    Their backrefs are taken from the models that stay: with one that leads to a model that cannot be configured, every
    query of the core fails. A root whose models others are related to stays as it is.
    """
    for package in sorted(packages & _registries.keys()):
        going = _registries[package]
        for other in _registries.values():
            if other is not going:
                _loosen(other, going)
    # Those that are related to others of them go first.
    waiting = sorted(packages & _registries.keys())
    while gone := [package for package in waiting if _dispose(package)]:
        waiting = [package for package in waiting if package not in gone]


def _loosen(staying: registry, going: registry) -> None:
    """Take from ``staying`` the relationships that models of ``going`` have made on it: their backrefs."""
    is_related = False
    for mapper in staying.mappers:
        for key, relationship in list(mapper._props.items()):
            if not isinstance(relationship, RelationshipProperty):
                continue
            target: t.Any = relationship.argument
            # Only a backref names its target by its mapper; what an author writes is a class or its name.
            if isinstance(target, Mapper) and target.registry is going:
                del mapper._props[key]
                # A declarative class refuses to lose an attribute that is mapped; one that is not may go.
                type.__setattr__(mapper.class_, key, None)
                t.cast("t.Any", mapper.class_manager).uninstrument_attribute(key)
                mapper._expire_memoizations()
            elif _leads_to(relationship, going):
                is_related = True
    if not is_related:
        staying._dependencies.discard(going)
        going._dependents.discard(staying)


def _leads_to(relationship: RelationshipProperty[t.Any], going: registry) -> bool:
    """Whether a relationship that was configured leads to a model of ``going``."""
    return "entity" in vars(relationship) and relationship.entity.mapper.registry is going


def _dispose(package: str) -> bool:
    try:
        _registries[package].dispose()
    except InvalidRequestError:
        # Models that stay are related to it.
        return False
    del _registries[package]
    return True
