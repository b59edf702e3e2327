"""A worker's own connection to the ledger, without SQLAlchemy: its layers take longer than a small job."""

from __future__ import annotations

import typing as t
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy.exc import DBAPIError

from ..data import get_engine, lock_of

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
        self._lock = lock_of(self._engine) if self._engine.dialect.name == "sqlite" else None
        self._pooled: sa.PoolProxiedConnection | None = None

    @contextmanager
    def begin(self) -> Iterator[Execute]:
        """Open a transaction that writes; it commits at the end of the block.

        :raises DBAPIError: of SQLAlchemy, whatever the driver raised.
        """
        with self._translated():
            if self._lock is None:
                raw = self._raw()
                yield raw.execute
                raw.commit()
                return
            # In the queue of this process, like every task that writes.
            self._lock.acquire(None)
            try:
                raw = self._raw()
                raw.execute("BEGIN IMMEDIATE")
                yield raw.execute
                raw.execute("COMMIT")
            except BaseException:
                # Before the lock is free: the next one would wait inside SQLite.
                self.close()
                raise
            finally:
                self._lock.release(warns=False)

    def read(self, statement: str, parameters: Mapping[str, t.Any] = {}) -> Sequence[t.Any]:
        """Return the rows of a statement that changes nothing.

        :raises DBAPIError: of SQLAlchemy, whatever the driver raised.
        """
        with self._translated():
            raw = self._raw()
            rows: Sequence[t.Any] = raw.execute(statement, parameters).fetchall()
            if self._lock is None:
                # Reading has begun a transaction, which would stay open until the next look.
                raw.rollback()
            return rows

    def close(self) -> None:
        """Give the connection back; what is open in it is rolled back."""
        pooled, self._pooled = self._pooled, None
        if pooled is not None:
            pooled.close()

    def _raw(self) -> t.Any:
        if self._pooled is None:
            self._pooled = self._engine.raw_connection()
        return self._pooled.dbapi_connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        driver = t.cast("t.Any", self._engine.dialect.loaded_dbapi)
        try:
            yield
        except driver.Error as error:
            pooled, self._pooled = self._pooled, None
            if pooled is not None:
                pooled.invalidate()
            raise DBAPIError.instance(None, None, error, driver.Error, dialect=self._engine.dialect) from error
        except BaseException:
            self.close()
            raise


Begin: t.TypeAlias = "t.Callable[[], AbstractContextManager[Execute]]"
