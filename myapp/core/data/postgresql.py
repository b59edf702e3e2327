"""PostgreSQL through psycopg 3: how long to wait, when deferred constraints are checked, one migration at a time."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa
from sqlalchemy import event

from . import sqlite

if t.TYPE_CHECKING:
    import psycopg
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.orm import Session
    from sqlalchemy.pool import ConnectionPoolEntry

#: libpq's parameters of every connection. A host that does not answer is an outage after seconds, not after minutes.
CONNECT: t.Final[dict[str, t.Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "application_name": "myapp",
}
#: The key of the advisory lock that migrations take; any number will do that nobody else takes.
MIGRATION_LOCK = 0x6D796170


def attach(engine: sa.Engine) -> None:
    """Give ``engine`` the rules of tasks: read-only ones are so for the server too, and no transaction outlives one."""

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if connection.get_execution_options().get(sqlite.READ_ONLY):
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    @event.listens_for(engine, "checkin")
    def checkin(connection: DBAPIConnection | None, _entry: ConnectionPoolEntry) -> None:
        # After a commit by hand that was refused, SQLAlchemy takes the transaction for ended and does not reset the
        # connection: the next task would find itself in it, and commit it.
        raw = t.cast("psycopg.Connection[t.Any] | None", connection)
        if raw is not None and not raw.closed and raw.info.transaction_status:
            raw.rollback()


def check_constraints(session: Session) -> None:
    """Check what the transaction has deferred, while it can still be rolled back with everything else."""
    session.connection().exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")


def lock_migrations(connection: sa.Connection) -> None:
    """Wait until nobody else migrates; the lock ends with the transaction."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
