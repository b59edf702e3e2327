"""What a guarded function writes, in a savepoint that begins with its first statement."""

from __future__ import annotations

import typing as t

from sqlalchemy.orm import Session, SessionTransaction

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from ..tasks import OpenGuard, Task

#: The name of the session among the resources of a task; a name that nobody else gives.
RESOURCE = "myapp.db"
#: What psycopg calls INERROR: each statement but a ROLLBACK is refused.
ABORTED = 3


class GuardedSession(Session):
    """A session that notices each way to the database, and whether a guarded function takes it."""

    task: Task
    #: The guarded function that opened it: it goes with it when that one fails, and with it what was told of it.
    opened_in: OpenGuard | None = None
    #: Whether it has begun a transaction of the database.
    has_connection = False
    #: Whether the savepoint of a guarded function is about to begin.
    is_joining = False

    def begin(self, nested: bool = False) -> SessionTransaction:
        """Begin a transaction; a savepoint of a guarded function's own, inside of its savepoint."""
        if nested:
            self.join_guards()
        return super().begin(nested=nested)

    def flush(self, objects: Sequence[t.Any] | None = None) -> None:
        """Send what is pending; what a guarded function has left pending, into its savepoint."""
        if self.is_joining:
            # SQLAlchemy sends what is pending before a savepoint begins. Here that is the guarded function's own.
            return
        if self.task.guard is not None and self.has_pending:
            self.join_guards()
        super().flush(objects)

    def connection(self, *args: t.Any, **kwargs: t.Any) -> sa.Connection:
        """Return the connection of the transaction; what a guarded function does with it can be undone."""
        self.join_guards()
        return super().connection(*args, **kwargs)

    @property
    def has_pending(self) -> bool:
        """Whether objects were added, changed or deleted since the last flush."""
        return bool(self.new or self.dirty or self.deleted)

    def join_guards(self) -> None:
        """Begin the savepoints of the guarded functions that run: called before each statement."""
        innermost = self.task.guard
        if innermost is None or innermost.savepoint is not None or self.is_joining:
            return
        for guard in innermost.iter_inward():
            if guard.savepoint is None:
                guard.savepoint = self.begin_empty_savepoint()

    def begin_empty_savepoint(self) -> SessionTransaction:
        """Begin a savepoint without sending what is pending first, so that it is undone with it.

        SQLAlchemy sends the SAVEPOINT itself before the first statement in it, and not without one.
        """
        self.is_joining = True
        try:
            return self.begin_nested()
        finally:
            self.is_joining = False


def flush_pending(task: Task) -> None:
    """Send what is pending in the session of ``task``, if it has one."""
    session: GuardedSession | None = task.resource(RESOURCE)
    if session is not None:
        session.flush()


def check_usable(task: Task) -> None:
    """Refuse a transaction of ``task`` in which everything fails from now on.

    :raises RuntimeError: after a flush that failed, on PostgreSQL after any statement that did, and when somebody has
        rolled back the connection.
    """
    session: GuardedSession | None = task.resource(RESOURCE)
    if session is None:
        return
    is_usable = session.is_active
    if is_usable and session.has_connection:
        connection = Session.connection(session)
        info = getattr(connection.connection.dbapi_connection, "info", None)
        is_usable = connection.in_transaction() and getattr(info, "transaction_status", None) != ABORTED
    if not is_usable:
        raise RuntimeError(
            "It has left a transaction that cannot go on: it has caught an error of the database, or rolled back by"
            " itself. Put what may fail into `with task.savepoint():`."
        )


def end_guard(guard: OpenGuard, undone: bool) -> None:
    """Undo or keep what a guarded function wrote, and the changes to objects that it has not sent."""
    session: GuardedSession | None = guard.task.resource(RESOURCE)
    if session is None:
        return
    if not undone:
        session.flush()
        if guard.savepoint is not None:
            check_usable(guard.task)
            guard.savepoint.commit()
        if session.opened_in is guard:
            session.opened_in = guard.outer
    elif session.opened_in is guard:
        guard.task.unbind(RESOURCE)
        # Whoever asks may be an object of it.
        guard.task.principal = None
    elif guard.savepoint is not None:
        guard.savepoint.rollback()
    elif session.has_pending:
        session.begin_empty_savepoint().rollback()
