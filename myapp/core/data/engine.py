"""The engine of the app's database."""

from __future__ import annotations

import contextlib
import os
import typing as t
import weakref
from contextvars import ContextVar
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event

from ..config import get_config
from ..errors import TransactionControlError
from ..runtime import get_runtime
from . import postgresql, sqlite

if t.TYPE_CHECKING:
    from flask import Flask

    from ..config import Loaded

#: True while a task commits: a COMMIT at any other time is somebody's by hand.
committing: ContextVar[bool] = ContextVar("myapp.committing", default=False)


def create_engine(loaded: Loaded) -> sa.Engine:
    """Build the engine of ``loaded.database_url``; nothing is opened yet."""
    url = sa.make_url(loaded.database_url)
    engine = sa.create_engine(
        url,
        connect_args=postgresql.CONNECT if url.get_backend_name() == "postgresql" else {},
        pool_size=20,
        max_overflow=20,
        pool_timeout=sqlite.BUSY_SECONDS,
        # Values of rows, passwords' hashes among them, are not for the log of a production site.
        hide_parameters=not loaded.is_development,
    )
    if url.get_backend_name() == "postgresql":
        postgresql.attach(engine)
    else:
        # A folder that cannot be made is found, and explained, when the database is opened.
        with contextlib.suppress(OSError):
            Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
        sqlite.attach(engine, warns=loaded.is_development)
    event.listen(engine, "commit", _refuse_commit)
    # Connections that were opened before a fork belong to the parent; the child starts with an empty pool.
    reference = weakref.ref(engine)
    os.register_at_fork(after_in_child=lambda: _forget_pool(reference()))
    return engine


def _refuse_commit(connection: sa.Connection) -> None:
    if connection.get_execution_options().get(sqlite.TASK) is not None and not committing.get():
        raise TransactionControlError(
            "get_db().connection().commit() would commit half of the task. The task commits when it ends; for a"
            " transaction of its own: with app.task(): …"
        )


def _forget_pool(engine: sa.Engine | None) -> None:
    if engine is not None:
        engine.dispose(close=False)


def get_engine(app: Flask) -> sa.Engine:
    """Return the engine of the app's database, made at first use and shared by apps of one runtime."""
    loaded = get_config(app)
    return get_runtime(app).get("data.engine", lambda: create_engine(loaded), sa.Engine.dispose)
