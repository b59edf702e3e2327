"""What somebody tried in order to get a success without the data, or the data without a success."""

from __future__ import annotations

import functools
import time
import typing as t

import click
import flask
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from flask.cli import FlaskGroup
from flask.sessions import SecureCookieSessionInterface

from myapp import after_commit, after_rollback, get_db, get_resource, task, tasked, untasked
from myapp.core import signals
from myapp.core.errors import NestedWriteError, ReadOnlyTaskError, TaskEndedError, TaskError, TransactionControlError
from tests.conftest import Item

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask

Names: t.TypeAlias = "Callable[[], list[str]]"


def add(name: str, **more: t.Any) -> None:
    get_db().add(Item(name=name, **more))
    get_db().flush()


class Unclosable(flask.Response):
    def close(self) -> None:
        super().close()
        raise RuntimeError("close")


class SessionThatBreaks(SecureCookieSessionInterface):
    opened = 0

    def open_session(self, app: flask.Flask, request: flask.Request) -> t.Any:
        self.opened += 1
        if self.opened > 1:
            raise RuntimeError("open_session")
        return super().open_session(app, request)


@pytest.mark.parametrize("door", ["after_request", "close", "call_on_close", "session"])
def test_no_success_while_an_error_is_answered(db_app: CustomFlask, names: Names, door: str) -> None:
    """A handler of 500 that answers 200, and something behind it that fails: Flask would send the 200."""

    @db_app.errorhandler(500)
    def report(_error: t.Any) -> t.Any:
        get_db().add(Item(name="report", parent_id=None if door == "after_request" else 4711))
        response = Unclosable("saved") if door == "close" else flask.Response("saved")
        if door == "call_on_close":
            response.call_on_close(lambda: 1 / 0)
        return response

    if door == "after_request":
        db_app.after_request(lambda _response: 1 / 0)
    if door == "session":
        db_app.session_interface = SessionThatBreaks()
    db_app.add_url_rule("/", "view", lambda: {}[1], methods=["POST"])  # type: ignore[index]
    answer = db_app.test_client().post("/")
    assert answer.status_code in (409, 500)
    assert len(answer.headers["X-Request-ID"]) == 36
    assert names() == []


@pytest.mark.parametrize("signal", ["task_committed", "callback_failed", "request_finished"])
def test_receiver_that_raises_changes_nothing(db_app: CustomFlask, names: Names, signal: str) -> None:
    """What it was told of has happened: the answer stands, the other callbacks run."""
    log: list[str] = []

    def receive(_sender: t.Any, **_more: t.Any) -> None:
        raise RuntimeError

    @db_app.post("/")
    def view() -> t.Any:
        add("row")
        after_commit(lambda: 1 / 0)
        after_commit(log.append, "ran")
        return "ok", 201

    source = flask.request_finished if signal == "request_finished" else getattr(signals, signal)
    with source.connected_to(receive, db_app):
        assert db_app.test_client().post("/").status_code == 201
    assert (names(), log) == (["row"], ["ran"])


def test_receiver_of_a_rollback_that_raises(db_app: CustomFlask) -> None:
    """The after_rollback functions run, and the status is the view's."""
    log: list[str] = []

    def receive(_sender: t.Any, **_more: t.Any) -> None:
        raise RuntimeError

    @db_app.post("/")
    def view() -> t.NoReturn:
        after_rollback(log.append, "ran")
        flask.abort(404)

    with signals.task_rolled_back.connected_to(receive, db_app):
        assert db_app.test_client().post("/").status_code == 404
    assert log == ["ran"]


def test_rollback_is_told_once(db_app: CustomFlask) -> None:
    """The error handler's empty transaction is none to speak of."""
    told: list[str] = []

    def receive(_sender: t.Any, task: t.Any) -> None:
        told.append(task.kind)

    with signals.task_rolled_back.connected_to(receive, db_app):
        db_app.test_client().get("/nowhere")
    assert told == ["request"]


def test_teardown_that_raises_releases_everything(db_app: CustomFlask, names: Names) -> None:
    """In Flask 3.1 it keeps the others from running; connection and write lock are released all the same."""

    @db_app.post("/")
    def view() -> t.NoReturn:
        add("lost")
        raise SystemExit(1)

    @db_app.teardown_appcontext
    def broken(_error: t.Any) -> None:
        if flask.has_request_context() or flask.g.get("is_request"):
            raise RuntimeError

    @db_app.before_request
    def mark() -> None:
        flask.g.is_request = True

    with pytest.raises((RuntimeError, SystemExit)):
        db_app.test_client().post("/")
    with db_app.task():
        add("next")
    assert names() == ["next"]


@pytest.mark.backend("sqlite")
@pytest.mark.parametrize("around", ["get", "stream", "after_rollback"])
def test_nested_write_in_a_reader_that_wrote_is_told_at_once(db_app: CustomFlask, around: str) -> None:
    """Its transaction is DEFERRED, and holds SQLite's write lock since it wrote."""
    raised: list[type[BaseException]] = []

    def write_nested() -> None:
        try:
            with db_app.task():
                add("inner")
        except TaskError as error:
            raised.append(type(error))

    @db_app.get("/")
    def view() -> t.Any:
        def body() -> t.Any:
            add("outer")
            write_nested()
            yield "ok"

        if around == "stream":
            return flask.Response(body())
        add("outer")
        if around == "get":
            write_nested()
            return "ok"
        with pytest.raises(ZeroDivisionError), task.savepoint():
            after_rollback(write_in_callback)
            raise ZeroDivisionError
        return "ok"

    def write_in_callback() -> None:
        try:
            add("inner")
        except TaskError as error:
            raised.append(type(error))
            raise

    started = time.monotonic()
    assert db_app.test_client().get("/").text == "ok"
    assert time.monotonic() - started < 5
    assert raised == [ReadOnlyTaskError if around == "after_rollback" else NestedWriteError]


@pytest.mark.backend("sqlite")
def test_nested_write_in_a_writer_that_only_read(db_app: CustomFlask) -> None:
    """A task that may write holds the lock from its first query on."""
    started = time.monotonic()
    with db_app.task():
        get_db().scalars(sa.select(Item)).all()
        with pytest.raises(NestedWriteError), db_app.task():
            add("inner")
    assert time.monotonic() - started < 5


def test_resource_that_a_prepare_step_opens_takes_part(db_app: CustomFlask, names: Names) -> None:
    """The database that is first touched while another resource prepares is committed too."""
    with db_app.task():
        get_resource("other", object, lambda _: None, prepare=lambda _: get_db().add(Item(name="prepared")))
    assert names() == ["prepared"]
    with pytest.raises(TaskEndedError, match="commits"), db_app.task():
        get_resource("other", object, lambda _: None, commit=lambda _: get_db())
        get_resource("third", object, lambda _: None)


def test_resource_may_be_none_and_is_opened_once(db_app: CustomFlask) -> None:
    """A value of None counts; a name that is taken is an error that closes what was opened."""
    log: list[str] = []
    with db_app.task():
        for _ in range(2):
            assert get_resource("none", lambda: log.append("open"), lambda _: log.append("close")) is None  # type: ignore[func-returns-value]
        with pytest.raises(TaskError, match="bound already"):
            get_resource(
                "again",
                lambda: get_resource("again", lambda: "inner", lambda _: log.append("close inner")) and "outer",
                lambda _: log.append("close outer"),
            )
    assert log == ["open", "close outer", "close inner", "close"]


@pytest.mark.parametrize("how", ["reset", "invalidate"])
def test_session_cannot_be_thrown_away(db_app: CustomFlask, how: str) -> None:
    """reset() and invalidate() would lose what was written under a success."""
    with db_app.task(), pytest.raises(TransactionControlError, match="throw away"):
        getattr(get_db(), how)()


def test_rollback_of_the_transaction_by_hand_is_no_success(db_app: CustomFlask, names: Names) -> None:
    """get_transaction().rollback(): an error at the commit instead of a 200 without the row."""

    @db_app.post("/")
    def view() -> str:
        add("lost")
        get_db().get_transaction().rollback()  # type: ignore[union-attr]
        return "ok"

    assert db_app.test_client().post("/").status_code == 500
    assert names() == []


def test_kept_session_refuses_objects_after_the_end(db_app: CustomFlask, caplog: t.Any) -> None:
    """A callback that adds to its parent's session would lose it."""

    @db_app.post("/")
    def view() -> str:
        db = get_db()
        db.scalars(sa.select(Item)).all()
        after_commit(lambda: db.add(Item(name="late")))
        return "ok"

    assert db_app.test_client().post("/").status_code == 200
    assert any(record.exc_info and record.exc_info[0] is TaskEndedError for record in caplog.records)


def test_result_callback_of_a_chain_is_a_task(db_app: CustomFlask, names: Names) -> None:
    """click calls it outside of every command, in the context that `flask` has pushed."""

    @db_app.cli.group(chain=True)
    def group() -> None:
        pass

    @group.command()
    def step() -> None:
        add("step")

    @group.result_callback()
    def done(_results: t.Any) -> None:
        add("result callback")

    result = CliRunner().invoke(FlaskGroup(create_app=lambda: db_app), ["group", "step"], catch_exceptions=False)
    assert result.exit_code == 0
    assert names() == ["step", "result callback"]


def test_write_of_an_untasked_command_is_loud(db_app: CustomFlask, names: Names) -> None:
    """Without a task nothing would be committed."""

    @untasked
    @db_app.cli.command()
    def work() -> None:
        add("lost")
        click.echo("saved")

    result = db_app.test_cli_runner().invoke(args=["work"])
    assert result.exit_code == 1
    assert "with app.task()" in str(result.exception)
    assert names() == []


def test_tasked_refuses_what_only_begins() -> None:
    """The task would end before the body of a coroutine or a generator runs."""

    async def coroutine() -> None:
        pass

    def generator() -> t.Any:
        yield

    for function in (coroutine, generator):
        with pytest.raises(TypeError, match="plain function"):
            tasked(function)


def test_callback_may_be_a_coroutine_function(db_app: CustomFlask) -> None:
    """The app serves async views; their callbacks are written alike."""
    log: list[str] = []

    async def callback() -> None:
        log.append("ran")

    with db_app.task():
        after_commit(callback)
    assert log == ["ran"]


def test_callback_of_an_object_whose_repr_raises(db_app: CustomFlask) -> None:
    """Its name is made without asking the object, which may load from the database."""
    log: list[str] = []

    class Order:
        def __repr__(self) -> str:
            raise RuntimeError

        def __call__(self) -> None:
            raise ZeroDivisionError

        def pay(self) -> None:
            log.append("paid")

    @db_app.post("/")
    def view() -> t.Any:
        after_commit(Order().pay)
        after_commit(functools.partial(Order().pay))
        after_commit(Order())
        return "ok", 201

    assert db_app.test_client().post("/").status_code == 201
    assert log == ["paid", "paid"]


def test_block_that_was_left_open_is_no_success(db_app: CustomFlask, names: Names) -> None:
    """Entered by hand and to be left in a teardown: what the view wrote went to the wrong task."""

    @db_app.post("/")
    def view() -> str:
        flask.g.block = db_app.task()
        flask.g.block.__enter__()
        return "ok"

    @db_app.teardown_request
    def leave(_error: t.Any) -> None:
        block = flask.g.pop("block", None)
        if block is not None:
            block.__exit__(None, None, None)

    assert db_app.test_client().post("/").status_code == 500


def test_doom_holds_for_the_handler_too(db_app: CustomFlask, names: Names) -> None:
    """Whatever follows: the task rolls back."""

    @db_app.errorhandler(404)
    def handle(_error: t.Any) -> t.Any:
        add("handler")
        return "fine", 200

    @db_app.post("/")
    def view() -> t.NoReturn:
        task.doom()
        flask.abort(404)

    assert db_app.test_client().post("/").status_code == 200
    assert names() == []


def test_savepoint_of_another_task_is_refused(db_app: CustomFlask) -> None:
    """It would act on the innermost session."""
    with db_app.task() as outer, db_app.task(read_only=True):
        savepoint = outer.savepoint()
        with pytest.raises(TaskError, match="current task"):
            savepoint.__enter__()


def test_view_returns_a_new_object_with_its_id(db_app: CustomFlask) -> None:
    """What is pending is sent when the view returns; a constraint that refuses it is a 409."""

    @db_app.post("/<name>")
    def view(name: str) -> t.Any:
        item = Item(name=name)
        get_db().add(item)
        return item, 201

    client = db_app.test_client()
    assert client.post("/a").json == {"id": 1, "name": "a"}
    assert client.post("/a").status_code == 409
