"""The database: the task's SQLAlchemy session, models, migrations."""

from __future__ import annotations

import typing as t

from .engine import get_engine
from .guarded import RESOURCE, check_usable, end_guard, flush_pending
from .migrations import (
    Position,
    downgrade,
    find_absent,
    find_differences,
    find_position,
    get_schema,
    init_schema,
    positions,
    register_migrations,
    revise,
    upgrade,
)
from .model import Model
from .outages import Outage, find_outage
from .registry import (
    CORE,
    configure_models,
    drop_models,
    find_broken,
    get_metadata,
    import_root,
    is_below,
    iter_mappers,
    model_packages,
    owner_package,
    separate_owners,
)
from .schema import ensure_schema, find_failure, find_failures, look_at_schema, upgrades_by_itself
from .session import TaskSession, get_db, note_write
from .sqlite import lock_of, path_of, retried
from .types import UTCDateTime

if t.TYPE_CHECKING:
    from flask import Flask

__all__ = [
    "CORE",
    "RESOURCE",
    "Model",
    "Outage",
    "Position",
    "TaskSession",
    "UTCDateTime",
    "configure_models",
    "downgrade",
    "drop_models",
    "ensure_schema",
    "find_absent",
    "find_broken",
    "find_differences",
    "find_failure",
    "find_failures",
    "find_outage",
    "find_position",
    "get_db",
    "get_engine",
    "get_metadata",
    "get_schema",
    "import_root",
    "init_app",
    "is_below",
    "iter_mappers",
    "lock_of",
    "look_at_schema",
    "model_packages",
    "note_write",
    "owner_package",
    "path_of",
    "positions",
    "register_migrations",
    "retried",
    "revise",
    "separate_owners",
    "upgrade",
    "upgrades_by_itself",
]


def init_app(app: Flask) -> None:
    """Attach the database; nothing is opened before the first ``get_db()``.

    Reads ``MYAPP_DATABASE_URL`` (default: SQLite in the instance folder) and ``MYAPP_PROFILE`` (development upgrades
    the tables at first use, production refuses).
    """
    init_schema(app)
    state = app.extensions["myapp.tasks"]
    state.savepoint = lambda: get_db().begin_nested()
    state.flush = flush_pending
    state.check = check_usable
    state.end_guard = end_guard
    state.explain = lambda error: find_outage(app, error)
