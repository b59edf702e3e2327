"""The task's session: ``get_db()``."""

from __future__ import annotations

import logging
import typing as t

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

from ..config import get_config
from ..errors import NestedWriteError, NoTaskError, ReadOnlyTaskError, TaskEndedError, TransactionControlError
from ..signals import session_opened
from ..tasks import Effects, Resource, Task, get_task
from . import postgresql, sqlite
from .engine import committing, get_engine
from .guarded import RESOURCE, GuardedSession
from .migrations import get_schema
from .schema import ensure_schema

logger = logging.getLogger("myapp.data")


class TaskSession(GuardedSession):
    """The session of one task; the task alone commits and rolls it back."""

    def __init__(self, bind: sa.Engine, task: Task) -> None:
        # A bare context never commits: a write in it would vanish without a word.
        is_read_only = task.is_read_only or task.kind == "bare"
        options = {sqlite.TASK: task, sqlite.WRITES: task.writes, sqlite.READ_ONLY: is_read_only}
        super().__init__(bind=bind, expire_on_commit=False, execution_options=options)
        self.task = task
        self.opened_in = task.guard
        self.is_ended = False
        #: Whether PostgreSQL checks at once what could be deferred; it does so to the end of the transaction.
        self.is_checked = False
        self.has_written = False
        self.was_rolled_back = False
        #: SQLite's, which is taken before the connection: who waits for it keeps none from others.
        self.write_lock: sqlite.WriteLock | None = None
        #: The callbacks that belong to each open SAVEPOINT, and the ones that were rolled back.
        self.savepoints: dict[SessionTransaction, Effects] = {}
        self.rolled_back: set[SessionTransaction] = set()

    def commit(self) -> None:
        """Refuse: the task commits, before its answer leaves.

        :raises TransactionControlError: always.
        """
        raise TransactionControlError(
            "get_db().commit() is not needed: the task commits when it ends without an error, before its answer"
            " leaves. To commit a part by itself, open a task of its own: with app.task(): …"
        )

    def rollback(self) -> None:
        """Refuse: an error rolls the task back.

        :raises TransactionControlError: always.
        """
        raise TransactionControlError(
            "get_db().rollback() would leave the task half done. Raise an error (ApiException, abort) or call"
            " task.doom() to roll the whole task back; put what may fail alone into: with task.savepoint(): …"
        )

    def close(self) -> None:
        """Refuse: the task releases its session.

        :raises TransactionControlError: always.
        """
        raise TransactionControlError(
            "get_db().close() would throw away what the task has written. The task releases its session when it ends;"
            " do not use get_db() in a with statement."
        )

    def reset(self) -> None:
        """Refuse, as :meth:`close` does.

        :raises TransactionControlError: always.
        """
        self.close()

    def invalidate(self) -> None:
        """Refuse, as :meth:`close` does.

        :raises TransactionControlError: always.
        """
        self.close()

    def begin(self, nested: bool = False) -> SessionTransaction:
        """Begin a SAVEPOINT; the transaction itself begins with the first query.

        :raises TransactionControlError: without ``nested``.
        """
        if nested:
            return super().begin(nested=True)
        raise TransactionControlError(
            "get_db().begin() is not needed: the transaction begins with the first query. For a part that may fail"
            " alone: with task.savepoint(): …; for a transaction of its own: with app.task(): …"
        )

    def get_bind(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        """Return the engine.

        :raises TaskEndedError: when the task has ended: a lazy load, or a query too late.
        """
        if self.is_ended:
            raise TaskEndedError(
                f"A query or a lazy load after task {self.task.id} had ended and released its connection. Load what"
                " you need before the task ends (for example with selectinload()), or query again in the current task"
                " with get_db()."
            )
        engine = super().get_bind(*args, **kwargs)
        if self.task.writes and self.write_lock is None and engine.dialect.name == "sqlite":
            self._take_write_lock(t.cast("sa.Engine", engine))
        return engine

    def _take_write_lock(self, engine: sa.Engine) -> None:
        """Wait for SQLite's write lock.

        :raises NestedWriteError: when a task around this one has written: it would wait for its own parent.
        """
        for ancestor in self.task.iter_ancestors():
            around: TaskSession | None = ancestor.resource(RESOURCE)
            if around is not None and around.has_written and around.bind is engine:
                raise NestedWriteError(sqlite.nested_write(self.task))
        lock = sqlite.lock_of(engine)
        lock.acquire(self.task)
        self.write_lock = lock


def get_db() -> TaskSession:
    """Return the SQLAlchemy session of the current task, opened at first use.

    It is committed when the task ends without an error, and rolled back otherwise; commit(), rollback(), begin() and
    close() by hand are refused. What was loaded stays readable after the commit, in callbacks too.

    The signal ``session_opened`` is sent when it is opened, with ``task`` and ``session``; what a receiver raises is
    raised here, again and again, and no session is opened.

    :raises NoTaskError: outside of an application context.
    :raises TaskEndedError: when the task has ended.
    :raises SchemaError: when the tables are not those of the code.
    """
    task = get_task()
    session: TaskSession | None = task.resource(RESOURCE)
    if session is None:
        task.check_open("get_db()")
        if ensure_schema(task.app):
            get_schema(task.app).refuse()
        session = TaskSession(get_engine(task.app), task)
        task.bind(
            Resource(
                RESOURCE,
                session,
                _release,
                prepare=_prepare,
                commit=_commit,
                rollback=None,
                commits_last=True,
                settle=_settle,
            )
        )
        if session_opened.has_receivers_for(task.app):
            _announce(task, session)
    return session


def _announce(task: Task, session: TaskSession) -> None:
    """Tell that the session is there. A receiver that fails is not passed over: the task gets no session without it."""
    try:
        session_opened.send(task.app, task=task, session=session)
    except BaseException:
        task.unbind(RESOURCE)
        raise


def _settle(session: TaskSession) -> None:
    """Give new objects their ids and defaults, so that they can be shown."""
    if session.new:
        session.flush()


def _prepare(session: TaskSession) -> None:
    """Find out what can be found out before anything is committed; SQLite checks the rest at COMMIT."""
    if session.was_rolled_back and session.is_active:
        raise TransactionControlError(
            "The transaction of the task was rolled back by hand, and with it what the task had written. Raise an"
            " error, or call task.doom(); put what may fail alone into: with task.savepoint(): …"
        )
    session.flush()
    # The prepare step comes back when a function of it has written.
    if session.in_transaction() and not session.is_checked and session.get_bind().dialect.name == "postgresql":
        postgresql.check_constraints(session)
        session.is_checked = True


def _commit(session: TaskSession) -> None:
    _warn_of_writing_stream(session)
    token = committing.set(True)
    try:
        Session.commit(session)
    finally:
        committing.reset(token)
    session.is_ended = True


def _release(session: TaskSession) -> None:
    """Return the connection; objects of a committed session stay attached, so that a lazy load can say what is wrong.

    A session that did not commit is closed rather than rolled back: rolling back would expire what an error handler
    wants to print.
    """
    try:
        if not session.is_ended:
            _warn_of_lost_objects(session)
            session.is_ended = True
            Session.close(session)
    finally:
        lock, session.write_lock = session.write_lock, None
        if lock is not None:
            lock.release(warns=get_config(session.task.app).is_development)


def note_write(session: TaskSession) -> None:
    """Notice that the task writes, and refuse it where the write would be lost.

    :raises ReadOnlyTaskError: in a task that only reads.
    :raises NoTaskError: in a bare application context, which never commits.
    """
    task = session.task
    if task.is_read_only:
        raise ReadOnlyTaskError(f"Task {task.id} only reads. Open one that writes: with app.task(): …")
    if task.kind == "bare":
        raise NoTaskError(
            "This application context is not a task: what is written in it would never be committed. In a shell or a"
            " script, write inside: with app.task(): …"
        )
    session.has_written = True


def _warn_of_lost_objects(session: TaskSession) -> None:
    if session.task.kind == "bare" and (session.new or session.dirty or session.deleted):
        logger.warning(
            "Objects were added or changed in an application context that is not a task, and are lost. Write inside:"
            " with app.task(): …"
        )


def _warn_of_writing_stream(session: TaskSession) -> None:
    task = session.task
    if task.kind == "stream" and session.has_written and get_config(task.app).is_development:
        logger.warning(
            "The streamed body of task %s wrote to the database: it holds SQLite's only write lock for as long as the"
            " client reads. Write inside: with app.task(): …",
            task.id,
        )


def _bind_listeners() -> None:
    """Tie callbacks to savepoints, those of a plain ``get_db().begin_nested()`` included, notice queries and writes."""

    @event.listens_for(TaskSession, "after_transaction_create")
    def create(session: TaskSession, transaction: SessionTransaction) -> None:
        if transaction.nested:
            session.savepoints[transaction] = session.task.push_effects()

    # Not after_soft_rollback, which names the transaction but comes after its end.
    @event.listens_for(TaskSession, "after_rollback")
    def roll_back(session: TaskSession) -> None:
        nested = session.get_nested_transaction()
        if nested is not None:
            session.rolled_back.add(nested)
        elif not session.is_ended:
            session.was_rolled_back = True

    @event.listens_for(TaskSession, "after_transaction_end")
    def end(session: TaskSession, transaction: SessionTransaction) -> None:
        effects = session.savepoints.pop(transaction, None)
        if effects is not None:
            session.task.pop_effects(effects, rolled_back=transaction in session.rolled_back)
        session.rolled_back.discard(transaction)

    @event.listens_for(TaskSession, "after_begin")
    def begin(session: TaskSession, _transaction: SessionTransaction, _connection: sa.Connection) -> None:
        session.has_connection = True

    @event.listens_for(TaskSession, "before_flush")
    def flush(session: TaskSession, _context: t.Any, _instances: t.Any) -> None:
        if session.new or session.dirty or session.deleted:
            note_write(session)

    @event.listens_for(TaskSession, "do_orm_execute")
    def execute(state: ORMExecuteState) -> None:
        t.cast("TaskSession", state.session).join_guards()
        if state.is_insert or state.is_update or state.is_delete:
            note_write(t.cast("TaskSession", state.session))

    @event.listens_for(TaskSession, "before_attach")
    def attach(session: TaskSession, instance: t.Any) -> None:
        if session.is_ended:
            raise TaskEndedError(
                f"{type(instance).__name__} was added to the session of task {session.task.id}, which has ended. Ask"
                " for the current one with get_db() each time instead of keeping it."
            )


_bind_listeners()
