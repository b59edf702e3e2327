"""A worker's own connection to the ledger, without SQLAlchemy: its layers take longer than a small job."""

from __future__ import annotations

import typing as t

from sqlalchemy.exc import DBAPIError

from ..data import get_engine, lock_of, retried

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import sqlalchemy as sa
    from flask import Flask


class Cursor(t.Protocol):
    """What executing a statement gives, whichever way it was sent."""

    @property
    def rowcount(self) -> int:
        """The number of rows that were changed."""

    def fetchall(self) -> Sequence[t.Any]:
        """Return the rows."""


#: Sends a statement of the ledger with its parameters.
Execute: t.TypeAlias = "t.Callable[[str, Mapping[str, t.Any]], Cursor]"


class Link:
    """One connection of the engine's pool, kept by one worker and driven directly; opened at first use.

    After an error it is thrown away, and the next use opens another one.
    """

    def __init__(self, app: Flask) -> None:
        self._engine = get_engine(app)
        #: The queue of this process for SQLite's write lock.
        self.lock = lock_of(self._engine) if self._engine.dialect.name == "sqlite" else None
        self._pooled: sa.PoolProxiedConnection | None = None

    def begin(self) -> Transaction:
        """Open a transaction that writes, in a ``with`` statement; it commits at the end of the block.

        :raises DBAPIError: of SQLAlchemy, whatever the driver raised.
        """
        return Transaction(self)

    def read(self, statement: str, parameters: Mapping[str, t.Any] = {}) -> Sequence[t.Any]:
        """Return the rows of a statement that changes nothing.

        :raises DBAPIError: of SQLAlchemy, whatever the driver raised.
        """
        try:
            raw = self.raw()
            rows: Sequence[t.Any] = raw.execute(statement, parameters).fetchall()
            if self.lock is None:
                # Reading has begun a transaction, which would stay open until the next look.
                raw.rollback()
            return rows
        except BaseException as error:
            self.fail(error)
            raise

    def close(self) -> None:
        """Give the connection back; what is open in it is rolled back."""
        pooled, self._pooled = self._pooled, None
        if pooled is not None:
            pooled.close()

    def raw(self) -> t.Any:
        """Return the driver's connection."""
        if self._pooled is None:
            self._pooled = self._engine.raw_connection()
        return self._pooled.dbapi_connection

    def fail(self, error: BaseException) -> None:
        """Throw the connection away.

        :raises DBAPIError: of SQLAlchemy, in the place of an error of the driver.
        """
        driver = t.cast("t.Any", self._engine.dialect.loaded_dbapi)
        pooled, self._pooled = self._pooled, None
        if pooled is not None:
            pooled.invalidate()
        if isinstance(error, driver.Error):
            raise DBAPIError.instance(None, None, error, driver.Error, dialect=self._engine.dialect) from error


class Transaction:
    """See :meth:`Link.begin`. A class, because a generator would cost as much as a statement."""

    __slots__ = ("_link", "_raw")

    def __init__(self, link: Link) -> None:
        self._link = link

    def __enter__(self) -> Execute:
        lock = self._link.lock
        if lock is not None:
            # In the queue of this process, like every task that writes.
            lock.acquire(None)
        try:
            self._raw = self._link.raw()
            if lock is not None:
                retried(lambda: self._raw.execute("BEGIN IMMEDIATE"), lock.deadline)
        except BaseException as error:
            self._fail(error)
            raise
        return t.cast("Execute", self._raw.execute)

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None:
            self._fail(error)
            return
        try:
            self._raw.commit()
        except BaseException as failure:
            self._fail(failure)
            raise
        if self._link.lock is not None:
            self._link.lock.release(warns=False)

    def _fail(self, error: BaseException) -> None:
        """Undo all, before others may write: they would wait inside SQLite."""
        try:
            self._link.fail(error)
        finally:
            if self._link.lock is not None:
                self._link.lock.release(warns=False)
