"""A guarded function: when it fails, what it did to the task is undone, and nothing else is."""

from __future__ import annotations

import typing as t
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from myapp import after_commit, after_rollback, get_db, task
from myapp.core.data import get_engine
from myapp.core.signals import session_opened
from myapp.core.tasks import OpenGuard, get_task
from tests.conftest import Item

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myapp import CustomFlask


class Passing(Exception):
    """What undoes nothing."""


@contextmanager
def failing() -> Iterator[None]:
    """Run the block as a guarded function that raises at its end."""
    with pytest.raises(ZeroDivisionError), OpenGuard(get_task(), (Passing,)):
        yield
        _ = 1 / 0


@contextmanager
def statements(app: CustomFlask) -> Iterator[list[str]]:
    """Collect the first words of what the database is told in the block."""
    told: list[str] = []

    def note(_connection: t.Any, _cursor: t.Any, statement: str, *_: t.Any) -> None:
        told.append(statement.split()[0])

    event.listen(get_engine(app), "before_cursor_execute", note)
    try:
        yield told
    finally:
        event.remove(get_engine(app), "before_cursor_execute", note)


def test_what_a_failed_function_wrote_is_undone(db_app: CustomFlask, names: Callable[[], list[str]]) -> None:
    """Sent or pending; what was there before and what comes after is kept."""
    with db_app.task():
        get_db().add(Item(name="before"))
        with failing():
            get_db().add(Item(name="sent"))
            get_db().flush()
            get_db().execute(sa.insert(Item).values(name="statement"))
            get_db().add(Item(name="pending"))
        get_db().add(Item(name="after"))

    assert names() == ["before", "after"]


def test_what_was_pending_before_is_not_undone(db_app: CustomFlask, names: Callable[[], list[str]]) -> None:
    """Added, changed and deleted objects of others are sent before the function runs."""
    with db_app.task():
        get_db().add_all([Item(name="changed"), Item(name="deleted")])
    with db_app.task():
        changed, deleted = get_db().scalars(sa.select(Item).order_by(Item.id))
        get_db().add(Item(name="added"))
        changed.name = "new"
        get_db().delete(deleted)
        with failing():
            get_db().execute(sa.update(Item).values(secret="x"))
        assert (changed.name, changed.secret) == ("new", None)

    assert names() == ["new", "added"]


@pytest.mark.parametrize("touches_database", [False, True])
def test_changes_to_loaded_objects_are_undone(
    db_app: CustomFlask, names: Callable[[], list[str]], touches_database: bool
) -> None:
    """Also those that the function made before its first statement, or without any."""
    with db_app.task():
        get_db().add_all([Item(name="a"), Item(name="b")])
    with db_app.task():
        first, second = get_db().scalars(sa.select(Item).order_by(Item.id))
        session = get_db()
        with failing():
            first.name = "changed"
            session.delete(second)
            session.add(Item(name="added"))
            if touches_database:
                get_db().execute(sa.select(Item.id))
        assert (first.name, second.name) == ("a", "b")

    assert names() == ["a", "b"]


def test_a_session_that_was_kept_is_watched_too(db_app: CustomFlask, names: Callable[[], list[str]]) -> None:
    """A function that has got its session earlier does not ask for it again: statements, connections, savepoints."""
    with db_app.task():
        session = get_db()
        session.execute(sa.select(Item.id))
        with failing():
            session.execute(sa.insert(Item).values(name="statement"))
        with failing():
            session.connection().execute(sa.insert(Item).values(name="connection"))
        with failing(), session.begin_nested():
            session.add(Item(name="nested"))
        with failing():
            session.add(Item(name="flushed"))
            session.flush()

    assert names() == []


def test_callbacks_of_a_failed_function_are_discarded(db_app: CustomFlask) -> None:
    """Rule A8, with and without a statement; its ``after_rollback`` functions run at once."""
    ran: list[str] = []
    with db_app.task():
        after_commit(ran.append, "before")
        with failing():
            after_commit(ran.append, "lost")
            after_rollback(ran.append, "undone")
        with failing():
            get_db().add(Item(name="a"))
            get_db().flush()
            after_commit(ran.append, "lost with the row")
        assert ran == ["undone"]
        after_commit(ran.append, "after")

    assert ran == ["undone", "before", "after"]


def test_what_a_function_leaves_is_kept(db_app: CustomFlask, names: Callable[[], list[str]]) -> None:
    """Rows and callbacks, also when it raises what passes."""
    ran: list[str] = []
    with db_app.task():
        get_db().add(Item(name="before"))
        with OpenGuard(get_task(), (Passing,)):
            get_db().add(Item(name="kept"))
            after_commit(ran.append, "kept")
        with pytest.raises(Passing), OpenGuard(get_task(), (Passing,)):
            get_db().add(Item(name="passed"))
            raise Passing

    assert names() == ["before", "kept", "passed"]
    assert ran == ["kept"]


def test_what_cannot_be_sent_fails_the_function(db_app: CustomFlask, names: Callable[[], list[str]]) -> None:
    """A constraint is the function's failure and not the view's, which would meet it at the commit."""
    with db_app.task():
        get_db().add(Item(name="a"))
        with pytest.raises(sa.exc.IntegrityError), OpenGuard(get_task(), ()):
            get_db().add(Item(name="a"))
        get_db().add(Item(name="b"))

    assert names() == ["a", "b"]


def test_a_swallowed_error_of_the_database_fails_the_function(
    db_app: CustomFlask, names: Callable[[], list[str]]
) -> None:
    """PostgreSQL refuses everything after it; going back to the savepoint helps."""
    with db_app.task():
        get_db().add(Item(name="a"))
        with pytest.raises(RuntimeError, match="cannot go on"), OpenGuard(get_task(), ()):
            get_db().add(Item(name="a"))
            with pytest.raises(sa.exc.IntegrityError):
                get_db().flush()
        get_db().add(Item(name="b"))

    assert names() == ["a", "b"]


def test_a_statement_that_fails_leaves_the_task_usable(db_app: CustomFlask, names: Callable[[], list[str]]) -> None:
    """Also one that only reads: on PostgreSQL it ends the transaction, unless there is a savepoint."""
    with db_app.task():
        get_db().add(Item(name="a"))
        with pytest.raises(sa.exc.DBAPIError), OpenGuard(get_task(), ()):
            get_db().execute(sa.text("SELECT nothing FROM nowhere"))

    assert names() == ["a"]


def test_others_errors_are_theirs(db_app: CustomFlask, names: Callable[[], list[str]]) -> None:
    """What was pending and cannot be sent is raised before the function runs."""
    ran = False
    with pytest.raises(sa.exc.IntegrityError), db_app.task():
        get_db().add_all([Item(name="a"), Item(name="a")])
        with OpenGuard(get_task(), ()):
            ran = True

    assert not ran
    assert names() == []


def test_nested_functions_are_undone_with_the_outer_one(db_app: CustomFlask, names: Callable[[], list[str]]) -> None:
    """A slot in the template that a guarded function renders; alone when it fails alone."""
    with db_app.task():
        get_db().add(Item(name="before"))
        with failing(), OpenGuard(get_task(), ()):
            get_db().add(Item(name="inner"))
        with OpenGuard(get_task(), ()):
            get_db().add(Item(name="outer"))
            with failing():
                get_db().add(Item(name="failed"))

    assert names() == ["before", "outer"]


def test_a_session_goes_with_the_function_that_opened_it(db_app: CustomFlask, names: Callable[[], list[str]]) -> None:
    """Who is told of each session is told of the next one: what was registered for the first is discarded with it."""
    sessions: list[t.Any] = []
    prepared: list[str] = []

    def receive(sender: t.Any, task: t.Any, session: t.Any) -> None:
        sessions.append(session)
        task.before_commit(lambda _: prepared.append("prepared"))

    with session_opened.connected_to(receive, db_app):
        with db_app.task():
            after_commit(print)
            with failing(), OpenGuard(get_task(), ()):
                get_db().add(Item(name="lost"))
                get_db().flush()
            get_db().add(Item(name="kept"))
        with db_app.task():
            after_commit(print)
            with OpenGuard(get_task(), ()):
                get_db().add(Item(name="also kept"))

    assert len(sessions) == 3
    assert prepared == ["prepared"] * 2
    assert names() == ["kept", "also kept"]


def test_no_statement_no_savepoint(db_app: CustomFlask) -> None:
    """A function that leaves the database alone costs no round trip."""
    with db_app.task():
        get_db().execute(sa.select(Item.id))
        with statements(db_app) as told:
            with OpenGuard(get_task(), ()):
                after_commit(print)
            with failing():
                after_commit(print)
        with statements(db_app) as told_when_read, OpenGuard(get_task(), ()):
            get_db().execute(sa.select(Item.id))
        get_task().doom()

    assert told == []
    assert told_when_read == ["SAVEPOINT", "SELECT", "RELEASE"]


@pytest.mark.backend("sqlite")
def test_a_function_that_reads_takes_no_write_lock(db_app: CustomFlask) -> None:
    """In a task that only reads so far, as a GET does: another one writes meanwhile."""
    with db_app.task(read_only=True):
        get_db().execute(sa.select(Item.id))
        with OpenGuard(get_task(), ()):
            get_db().execute(sa.select(Item.id))
            assert get_db().write_lock is None
            with get_engine(db_app).connect() as other, other.begin():
                other.execute(sa.insert(Item).values(name="meanwhile"))


def test_start_over_forgets_everything(db_app: CustomFlask, names: Callable[[], list[str]]) -> None:
    """What an untouched task has got is all the function's own: no savepoint is needed to undo it."""
    ran: list[str] = []
    with db_app.task():
        assert not get_task().is_touched
        get_db().add(Item(name="lost"))
        get_db().flush()
        after_commit(ran.append, "lost")
        after_rollback(ran.append, "undone")
        task.doom()
        get_task().start_over()
        assert not get_task().is_touched
        get_db().add(Item(name="kept"))
        after_commit(ran.append, "kept")

    assert names() == ["kept"]
    assert ran == ["undone", "kept"]


def test_every_touch_is_noticed(db_app: CustomFlask) -> None:
    """What nobody notices would be undone together with a function that fails later."""
    touches: list[Callable[[], t.Any]] = [
        get_db,
        lambda: task.keep(),
        lambda: task.doom(),
        lambda: after_commit(print),
        lambda: after_rollback(print),
        lambda: get_task().before_commit(print),
        lambda: get_task().push_effects(),
    ]
    for touch in touches:
        with db_app.task():
            touch()
            assert get_task().is_touched
            get_task().rollback()
            get_task().reopen()
            assert not get_task().is_touched
            task.doom()
