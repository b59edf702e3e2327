"""The prepare step as authors use it: ``task.before_commit``, and the signal ``session_opened``."""

from __future__ import annotations

import typing as t

import pytest
import sqlalchemy as sa

from myapp import get_db, get_resource, session_opened, task
from myapp.core.errors import NoTaskError, TaskEndedError, TooManyCallbacksError
from tests.conftest import Item

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask

Names: t.TypeAlias = "Callable[[], list[str]]"


def add(name: str) -> None:
    get_db().add(Item(name=name))


def test_function_runs_with_the_final_answer_and_writes(db_app: CustomFlask, names: Names) -> None:
    """As a decorator it gives the function back; an async function is run, not thrown away."""

    @db_app.post("/")
    def view() -> t.Any:
        @task.before_commit
        def first(response: t.Any) -> None:
            add(f"first {response.status_code}")

        @task.before_commit
        async def second(response: t.Any) -> None:
            add(f"second {response.headers['X-After']}")

        assert callable(first)
        return {}, 201

    @db_app.after_request
    def after(response: t.Any) -> t.Any:
        response.headers["X-After"] = "yes"
        return response

    assert db_app.test_client().post("/").status_code == 201
    assert names() == ["first 201", "second yes"]


def test_savepoint_takes_its_functions_with_it(db_app: CustomFlask, names: Names) -> None:
    """Rolled back, they never run; released, they run in the order in which they were registered."""
    with db_app.task():
        task.before_commit(lambda _: add("outer"))
        with pytest.raises(ZeroDivisionError), task.savepoint():
            task.before_commit(lambda _: add("undone"))
            raise ZeroDivisionError
        with get_db().begin_nested():
            task.before_commit(lambda _: add("inner"))
        task.before_commit(lambda _: add("last"))
    assert names() == ["outer", "inner", "last"]


def test_savepoint_that_was_left_open(db_app: CustomFlask, names: Names) -> None:
    """The commit releases it, so its functions run as well."""
    with db_app.task():
        get_db().begin_nested()
        task.before_commit(lambda _: add("inner"))
    assert names() == ["inner"]


def test_nothing_runs_in_a_task_that_rolls_back(db_app: CustomFlask, names: Names) -> None:
    """Neither for an error nor for a doomed task; the handler's transaction has functions of its own."""

    @db_app.post("/<kind>")
    def view(kind: str) -> t.Any:
        task.before_commit(lambda _: add("never"))
        if kind == "raise":
            raise KeyError
        if kind == "doom":
            task.doom()
        return {}, 404 if kind == "return" else 200

    @db_app.errorhandler(KeyError)
    def handle(_error: KeyError) -> t.Any:
        task.before_commit(lambda response: add(f"handled {response.status_code}"))  # type: ignore[union-attr]
        return {}, 202

    client = db_app.test_client()
    assert [client.post(f"/{kind}").status_code for kind in ("raise", "doom", "return")] == [202, 200, 404]
    assert names() == ["handled 202"]


def test_what_is_registered_while_the_database_is_prepared(db_app: CustomFlask, names: Names) -> None:
    """A flush of the prepare step registers a function, whose objects are flushed in the prepare step as well."""
    with db_app.task():
        db = get_db()

        @sa.event.listens_for(db, "after_flush")
        def flushed(session: t.Any, _context: t.Any) -> None:
            [item] = session.new
            if len(item.name) < 4:
                task.before_commit(lambda _: add(item.name + "+"))

        add("n")
    assert names() == ["n", "n+", "n++", "n+++"]


def test_resource_that_writes_when_it_is_prepared(db_app: CustomFlask, names: Names) -> None:
    """The database is prepared after it, with what it wrote; a function that it registers runs as well."""

    def prepare(_value: t.Any) -> None:
        add("resource")
        task.before_commit(lambda _: add("function"))

    with db_app.task():
        get_db()
        get_resource("other", list, lambda _value: None, prepare=prepare)
    assert names() == ["resource", "function"]


def test_too_late(db_app: CustomFlask, names: Names) -> None:
    """A function that would never run is refused, and so is the commit in which somebody tried."""
    with pytest.raises(TaskEndedError, match=r"while task .* commits"), db_app.task():
        add("first")
        get_resource(
            "other", list, lambda _value: None, commit=lambda _value: task.before_commit(lambda _: add("never"))
        )
    with db_app.task() as ended:
        pass
    with pytest.raises(TaskEndedError, match="had ended"):
        ended.before_commit(lambda _: None)
    with db_app.app_context(), pytest.raises(NoTaskError, match="not a task"):
        task.before_commit(lambda _: None)
    with db_app.task(), pytest.raises(TypeError, match="takes a function"):
        task.before_commit(add("called"))  # type: ignore[func-returns-value,arg-type]
    assert names() == ["called"]


def test_endless_functions_are_stopped(db_app: CustomFlask, names: Names) -> None:
    """One that registers itself again ends the task with an error that names it; a thousand others are fine."""

    def again(_response: t.Any) -> None:
        task.before_commit(again)

    with pytest.raises(TooManyCallbacksError, match="again"), db_app.task():
        add("never")
        task.before_commit(again)
    with db_app.task():
        for number in range(1_500):
            task.before_commit(lambda _, number=number: add(f"n{number}") if number > 1_497 else None)
    assert names() == ["n1498", "n1499"]


def test_session_is_announced_once_for_each_task(db_app: CustomFlask, make_db_app: Callable[..., CustomFlask]) -> None:
    """To the receivers of its app alone, before anything is asked of it; who asks again inside gets the same one."""
    seen: list[t.Any] = []

    def receive(app: CustomFlask, **arguments: t.Any) -> None:
        assert get_db() is arguments["session"]
        assert not arguments["session"].in_transaction()
        seen.append((app, arguments["task"]))

    session_opened.connect(receive, sender=db_app)
    other = make_db_app()
    with other.task():
        get_db()
    with db_app.task() as outer:
        get_db()
        get_db()
        with db_app.task(read_only=True) as inner:
            get_db()
    assert seen == [(db_app, outer), (db_app, inner)]


def test_receiver_that_fails_leaves_no_session(db_app: CustomFlask, names: Names) -> None:
    """Whoever has to see every session is not passed over, however often somebody tries."""
    failing = True

    def refuse(_app: CustomFlask, *, task: t.Any, session: t.Any) -> None:
        session.execute(sa.select(1))
        if failing:
            raise RuntimeError("not without me")

    session_opened.connect(refuse, sender=db_app)

    @db_app.post("/")
    def view() -> t.Any:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="not without me"):
                get_db().add(Item(name="unseen"))
        return {}

    assert db_app.test_client().post("/").status_code == 200
    failing = False
    assert names() == []
