"""The presence of a worker on PostgreSQL: a session-level advisory lock, and a lease for when a pooler lies between.

The server frees the lock when the connection ends, and that ends when the process does. Behind a pooler that hands
connections on after each transaction the lock belongs to the pooler: there it is the lease that ends.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
import typing as t
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from .models import Job

if t.TYPE_CHECKING:
    from datetime import datetime

    from .ledger import Claim
    from .presence import Report

logger = logging.getLogger("myapp.work")

LEASE = timedelta(seconds=30)
RENEW_SECONDS = 10.0
#: A job that reports more often than this is shown at the next beat.
REPORT_SECONDS = 0.1


def key_of(owner: str) -> int:
    """Return the key of the advisory lock of ``owner``: 64 bits, signed."""
    return int.from_bytes(hashlib.sha256(owner.encode()).digest()[:8], signed=True)


class AdvisoryPresence:
    """See :class:`myapp.core.work.presence.Presence`. Whoever holds it has a connection of its own, in autocommit."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._owner: str | None = None
        self._connection: sa.Connection | None = None
        # The job and the thread that beats share the connection.
        self._mutex = threading.Lock()
        self._renew_at = 0.0
        self._reported_at = 0.0
        self._pending: tuple[Claim, Report] | None = None

    def hold(self, owner: str) -> None:
        """Take the lock of ``owner``."""
        self._owner = owner
        with self._mutex:
            self._connect()
        self._renew_at = time.monotonic() + RENEW_SECONDS

    def release(self) -> None:
        """End the connection, and with it the lock."""
        with self._mutex:
            self._owner = None
            self._disconnect()

    def beat(self, now: datetime) -> None:
        """Find out whether the lock is still there, take it again if not, renew the lease, and send the last report."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._send(*pending)
        with self._mutex:
            if self._owner is None:
                return
            if self._connection is None:
                self._connect()
            try:
                self._renew(now)
            except SQLAlchemyError as error:
                self._lose(error)
                self._connect()
                self._renew(now)

    def _renew(self, now: datetime) -> None:
        if time.monotonic() < self._renew_at:
            self._execute(sa.select(1))
            return
        mine = sa.update(Job).where(Job.state == "running", Job.owner == self._owner)
        self._execute(mine.values(lease_until=now + LEASE))
        self._renew_at = time.monotonic() + RENEW_SECONDS

    def report(self, claim: Claim, report: Report) -> None:
        """Write the report into the row; nobody waits for it, because the job touches its row at its end only."""
        if time.monotonic() - self._reported_at < REPORT_SECONDS:
            self._pending = (claim, report)
        else:
            self._pending = None
            self._send(claim, report)

    def _send(self, claim: Claim, report: Report) -> None:
        self._reported_at = time.monotonic()
        attempt = sa.update(Job).where(Job.id == claim.id, Job.owner == claim.owner, Job.attempts == claim.attempts)
        with self._mutex:
            if self._connection is None:
                return
            try:
                self._execute(attempt.values(progress=report[0], progress_text=report[1]))
            except SQLAlchemyError as error:
                self._lose(error)

    def is_cancel_asked(self, claim: Claim) -> bool:
        """Whether the column that asks for it is set."""
        asked = sa.select(Job.cancel_asked).where(Job.id == claim.id, Job.owner == claim.owner)
        with self._mutex:
            if self._connection is None:
                return False
            try:
                return self._execute(asked).scalar() is not None
            except SQLAlchemyError as error:
                # The next look is a moment later.
                self._lose(error)
                return False

    def forget_cancel(self, claim: Claim) -> None:
        """Do nothing: whoever takes the job next empties the column."""

    def is_alive(self, owner: str) -> bool:
        """Whether the lock of ``owner`` is taken, and its lease has not ended."""
        with self._engine.connect() as connection:
            # Shared: two who look at the same time do not take each other for the worker.
            is_free = connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock_shared(key_of(owner))))
            return is_free is False

    def forget(self, owner: str) -> None:
        """Do nothing: the server has forgotten it."""

    def sweep(self) -> None:
        """Do nothing: the server has forgotten them."""

    def look(self, job_id: str, owner: str) -> Report | None:
        """Return None: the row has it."""
        return None

    def ask_to_cancel(self, job_id: str, owner: str, now: datetime) -> None:
        """Set the column."""
        asked = sa.update(Job).where(Job.id == job_id, Job.owner == owner, Job.state == "running")
        with self._engine.begin() as connection:
            connection.execute(asked.values(cancel_asked=now))

    def was_cancel_asked(self, job_id: str, owner: str) -> bool:
        """Whether it is set."""
        with self._engine.connect() as connection:
            return connection.scalar(sa.select(Job.cancel_asked).where(Job.id == job_id)) is not None

    def _connect(self) -> None:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        # It never goes back to the pool: its end is the end of the lock.
        connection.detach()
        self._connection = connection
        try:
            self._execute(sa.select(sa.func.pg_advisory_lock(key_of(self._owner or ""))))
        except SQLAlchemyError:
            # Without the lock it would say nothing.
            self._disconnect()
            raise

    def _lose(self, error: SQLAlchemyError) -> None:
        """Let the next beat open another connection: the job itself has one of its own, and goes on."""
        # Until there is another, others may take this worker for dead: what it does then is rolled back.
        logger.warning("The connection that says that this worker lives is gone; a new one follows: %s", error)
        self._disconnect()
        self._renew_at = 0.0

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _execute(self, statement: sa.Executable) -> sa.CursorResult[t.Any]:
        connection = t.cast("sa.Connection", self._connection)
        result = t.cast("sa.CursorResult[t.Any]", connection.execute(statement))
        # After an error the connection is closed, which ends its transaction as well.
        connection.commit()
        return result
