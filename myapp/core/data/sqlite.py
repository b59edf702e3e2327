"""SQLite under several threads, processes and greenlets: pragmas, the write lock, how transactions begin."""

from __future__ import annotations

import logging
import sqlite3
import sys
import threading
import time
import typing as t

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from ..errors import NestedWriteError
from ..tasks import Task

if t.TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

logger = logging.getLogger("myapp.data")

BUSY_SECONDS = 10.0
RETRY_SECONDS = 0.02
LONG_HOLD_SECONDS = 1.0
#: The execution options that :func:`attach` reads: the task of the connection, and how its transaction begins.
TASK, WRITES, READ_ONLY = "myapp_task", "myapp_writes", "myapp_read_only"


class WriteLock:
    """The queue of this process for SQLite's one write lock.

    Waiting here is fair and yields to other greenlets; waiting inside SQLite does neither.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: Task | None = None
        self._since = 0.0

    def acquire(self, task: Task | None, deadline: float) -> None:
        """Wait until ``deadline`` (of :func:`time.monotonic`) for the lock.

        :raises NestedWriteError: when a task around ``task`` holds it.
        :raises OperationalError: when the deadline has passed.
        """
        if task is not None and self._owner is not None and self._owner in task.iter_ancestors():
            raise NestedWriteError(
                f"Task {task.id} wants to write while the task around it holds SQLite's only write lock. Use"
                " task.savepoint() instead of a task of its own, or write before the outer task does, or open it with"
                " app.task(read_only=True)."
            )
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise OperationalError("BEGIN IMMEDIATE", None, sqlite3.OperationalError("database is locked"))
        self._owner = task
        self._since = time.monotonic()

    def release(self, *, warns: bool) -> None:
        """Let the next one write.

        :param warns: whether to tell a developer that it was held for long.
        """
        owner, seconds = self._owner, time.monotonic() - self._since
        self._owner = None
        self._lock.release()
        if warns and owner is not None and seconds > LONG_HOLD_SECONDS:
            logger.warning(
                "The %s task %s held SQLite's only write lock for %.1f s; nobody else could write meanwhile. Do slow"
                " work before get_db(), in a callback, or in a job.",
                owner.kind,
                owner.id,
                seconds,
            )


def attach(engine: Engine, *, warns: bool) -> None:
    """Give ``engine`` the rules of SQLite: WAL, foreign keys, explicit BEGIN, the write lock.

    :param warns: whether a write lock that is held for long is logged (development).
    """
    lock = WriteLock()

    @event.listens_for(engine, "connect")
    def connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions by itself: it does so too late, and never IMMEDIATE.
        t.cast("sqlite3.Connection", connection).isolation_level = None
        cursor = connection.cursor()
        # Under gevent a wait inside SQLite stops every greenlet, so waiting is done in Python.
        cursor.execute(f"PRAGMA busy_timeout = {0 if _is_gevent() else int(BUSY_SECONDS * 1000)}")
        _retried(lambda: cursor.execute("PRAGMA journal_mode = WAL"), time.monotonic() + BUSY_SECONDS)
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get(READ_ONLY):
            connection.info["read_only"] = True
            connection.exec_driver_sql("PRAGMA query_only = ON")
        if not options.get(WRITES):
            connection.exec_driver_sql("BEGIN DEFERRED")
            return
        deadline = time.monotonic() + BUSY_SECONDS
        lock.acquire(options.get(TASK), deadline)
        # Released at check-in: the engine's commit and rollback events come before the driver's call.
        connection.info["write_lock"] = lock
        _retried(lambda: connection.exec_driver_sql("BEGIN IMMEDIATE"), deadline)

    @event.listens_for(engine, "checkin")
    def checkin(connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        try:
            if connection is not None:
                raw = t.cast("sqlite3.Connection", connection)
                # A COMMIT that failed leaves its transaction open, and the pool would hand it to the next task.
                if raw.in_transaction:
                    raw.rollback()
                if entry.info.pop("read_only", False):
                    raw.execute("PRAGMA query_only = OFF")
        finally:
            held: WriteLock | None = entry.info.pop("write_lock", None)
            if held is not None:
                held.release(warns=warns)


def _retried(f: t.Callable[[], t.Any], deadline: float) -> None:
    """Call ``f`` until the database is not locked; where SQLite waits by itself, one call uses the time up."""
    while True:
        try:
            f()
        except (OperationalError, sqlite3.OperationalError) as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return


def _is_gevent() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
