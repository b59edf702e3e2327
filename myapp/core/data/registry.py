"""One SQLAlchemy registry and MetaData for each owner of tables."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import registry

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


def get_registry(package: str = CORE) -> registry:
    """Return the registry of the models below ``package``, made at its first model."""
    if package not in _registries:
        _registries[package] = registry(metadata=sa.MetaData(naming_convention=NAMING))
    return _registries[package]


def get_metadata(package: str = CORE) -> sa.MetaData:
    """Return the tables of the models below ``package``: ``myapp``, ``myapp_plugins.<name>`` or a plugin's package."""
    return get_registry(package).metadata


def owner_package(module: str) -> str:
    """Return the import root that owns the models of ``module``."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "myapp_plugins" else parts[0]
