"""SQLite under several threads, processes and greenlets: pragmas, the write lock, how transactions begin."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import threading
import time
import typing as t
from weakref import WeakValueDictionary

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
#: The execution options of a task's connections: its task, and how its transaction begins.
TASK, WRITES, READ_ONLY = "myapp_task", "myapp_writes", "myapp_read_only"
#: SQLite's primary result codes (https://sqlite.org/rescode.html).
BUSY, READONLY, IOERR, FULL, CANTOPEN = 5, 8, 10, 13, 14


def code_of(error: BaseException | None) -> int:
    """Return SQLite's primary result code of a driver's error, or 0."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


class WriteLock:
    """The queue of this process for the one write lock of one database file.

    Waiting here yields to other greenlets and holds no connection; waiting inside SQLite does neither.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Forget who holds it: in a forked child, the thread that does is not there."""
        self._lock = threading.Lock()
        self._owner: Task | None = None
        self._since = 0.0
        #: Until when its holder may wait for other processes, as :func:`time.monotonic` counts.
        self.deadline = 0.0

    def acquire(self, task: Task | None) -> None:
        """Wait for the lock, at most :data:`BUSY_SECONDS`.

        :raises NestedWriteError: when a task around ``task`` holds it.
        :raises OperationalError: when the time is over.
        """
        if task is not None and self._owner is not None and self._owner in task.iter_ancestors():
            raise NestedWriteError(nested_write(task))
        deadline = time.monotonic() + BUSY_SECONDS
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            busy = sqlite3.OperationalError("database is locked")
            busy.sqlite_errorcode = BUSY
            raise OperationalError("BEGIN IMMEDIATE", None, busy)
        self._owner = task
        self._since = time.monotonic()
        self.deadline = deadline

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


# One for each file, whoever opens it: two apps of one process queue up behind each other.
_locks: WeakValueDictionary[str, WriteLock] = WeakValueDictionary()


def _renew_locks() -> None:
    for lock in list(_locks.values()):
        lock.renew()


os.register_at_fork(after_in_child=_renew_locks)


def lock_of(engine: Engine) -> WriteLock:
    """Return the write lock of the file of ``engine``; keep it for as long as it may be needed."""
    return _locks.setdefault(path_of(engine), WriteLock())


def path_of(engine: Engine) -> str:
    """Return the path of the file of ``engine``: one for each database, also where links lead to it."""
    return os.path.realpath(str(engine.url.database))


def nested_write(task: Task) -> str:
    """Return the message for a task that would wait for a task around it."""
    return (
        f"Task {task.id} wants to write while the task around it holds SQLite's only write lock. Use task.savepoint()"
        " instead of a task of its own, or write before the outer task does, or open it with app.task(read_only=True)."
    )


def attach(engine: Engine, *, warns: bool) -> WriteLock:
    """Give ``engine`` the rules of SQLite: WAL, foreign keys, explicit BEGIN; return its write lock.

    :param warns: whether a write lock that is held for long is logged (development).
    """
    lock = lock_of(engine)

    @event.listens_for(engine, "connect")
    def connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions by itself: it does so too late, and never IMMEDIATE.
        t.cast("sqlite3.Connection", connection).isolation_level = None
        cursor = connection.cursor()
        # Under gevent a wait inside SQLite stops every greenlet, so waiting is done in Python.
        cursor.execute(f"PRAGMA busy_timeout = {_busy_milliseconds(BUSY_SECONDS)}")
        retried(lambda: cursor.execute("PRAGMA journal_mode = WAL"), time.monotonic() + BUSY_SECONDS)
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
        if options.get(TASK) is None:
            # A migration; a task has taken the lock before it asked for a connection.
            lock.acquire(None)
            connection.info["write_lock"] = lock
        left = lock.deadline - time.monotonic()
        if left < BUSY_SECONDS - 0.5:
            # What was spent in the queue counts.
            connection.info["has_waited"] = True
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {_busy_milliseconds(max(left, 0))}")
        retried(lambda: connection.exec_driver_sql("BEGIN IMMEDIATE"), lock.deadline)

    @event.listens_for(engine, "checkin")
    def checkin(connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        try:
            if connection is not None:
                _clean(t.cast("sqlite3.Connection", connection), entry)
        finally:
            held: WriteLock | None = entry.info.pop("write_lock", None)
            if held is not None:
                held.release(warns=warns)

    return lock


def _clean(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
    """Bring a connection that goes back to the pool into the state of a new one."""
    # A COMMIT that failed leaves its transaction open, and the pool would hand it to the next task.
    if connection.in_transaction:
        connection.rollback()
    if entry.info.pop("read_only", False):
        connection.execute("PRAGMA query_only = OFF")
    if entry.info.pop("has_waited", False):
        connection.execute(f"PRAGMA busy_timeout = {_busy_milliseconds(BUSY_SECONDS)}")


def retried(f: t.Callable[[], t.Any], deadline: float) -> None:
    """Call ``f`` until the database is not locked; where SQLite waits by itself, one call uses the time up."""
    while True:
        try:
            f()
        except (OperationalError, sqlite3.OperationalError) as error:
            if code_of(getattr(error, "orig", error)) != BUSY or time.monotonic() >= deadline:
                raise
            # Another process holds the lock, and nothing tells when it is free; under gevent others run meanwhile.
            time.sleep(RETRY_SECONDS)
        else:
            return


def _busy_milliseconds(seconds: float) -> int:
    return 0 if _is_gevent() else int(seconds * 1000)


def _is_gevent() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
