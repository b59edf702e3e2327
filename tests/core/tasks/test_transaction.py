"""Where a task commits and what rolls it back: the mechanism of docs/tasks.md."""

from __future__ import annotations

import typing as t

import flask
import pytest
import sqlalchemy as sa
from flask import Flask, abort, redirect, session
from flask.globals import app_ctx
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder

from myapp import ApiException, ApiResult, after_commit, after_rollback, get_db, get_resource, task
from myapp.core import signals
from myapp.core.errors import (
    NestedWriteError,
    NoTaskError,
    ReadOnlyTaskError,
    TaskEndedError,
    TransactionControlError,
)
from myapp.core.tasks import get_task
from tests.conftest import Item

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask

Names: t.TypeAlias = "Callable[[], list[str]]"


def add(name: str, **more: t.Any) -> None:
    get_db().add(Item(name=name, **more))


def test_success_commits_before_the_answer_leaves(db_app: CustomFlask, names: Names) -> None:
    """At the moment of start_response another connection sees the row."""
    seen: list[list[str]] = []

    @db_app.post("/")
    def view() -> str:
        add("a")
        return "ok"

    environ = EnvironBuilder(method="POST").get_environ()
    body = db_app(environ, lambda *_: seen.append(names()))  # type: ignore[arg-type,func-returns-value]
    list(body)
    body.close()  # type: ignore[attr-defined]
    assert seen == [["a"]]


@pytest.mark.parametrize(
    ("fail", "status"),
    [
        pytest.param(lambda: abort(404), 404, id="abort"),
        pytest.param(lambda: ("no", 400), 400, id="returned 4xx"),
        pytest.param(lambda: (_ for _ in ()).throw(ApiException("no", 418)), 418, id="ApiException"),
        pytest.param(lambda: 1 / 0, 500, id="exception"),
        pytest.param(lambda: abort(flask.Response("x", 409)), 409, id="abort with a response"),
        pytest.param(lambda: None, 500, id="no answer"),
        pytest.param(lambda: task.doom() or "fine", 200, id="doomed"),
    ],
)
def test_failure_rolls_back(db_app: CustomFlask, names: Names, fail: Callable[[], t.Any], status: int) -> None:
    """Whatever ends with an error, or was doomed, leaves no row."""

    @db_app.post("/")
    def view() -> t.Any:
        add("a")
        get_db().flush()
        return fail()

    assert db_app.test_client().post("/").status_code == status
    assert names() == []


@pytest.mark.parametrize("answer", [lambda: redirect("/elsewhere"), lambda: abort(redirect("/elsewhere", 303))])
def test_redirect_commits(db_app: CustomFlask, names: Names, answer: Callable[[], t.Any]) -> None:
    """A redirect, returned or raised, is a success."""

    @db_app.post("/")
    def view() -> t.Any:
        add("a")
        return answer()

    assert db_app.test_client().post("/").status_code in (302, 303)
    assert names() == ["a"]


def test_keep_commits_despite_the_status(db_app: CustomFlask, names: Names) -> None:
    """task.keep() before a returned, an aborted and an ApiException error; not before another exception."""

    @db_app.post("/<how>")
    def view(how: str) -> t.Any:
        add(how)
        task.keep()
        if how == "raise":
            raise ZeroDivisionError
        if how == "abort":
            abort(401)
        if how == "api":
            raise ApiException("no", 403)
        if how == "doomed":
            task.doom()
        return "no", 401

    client = db_app.test_client()
    statuses = [client.post(f"/{how}").status_code for how in ("return", "abort", "api", "raise", "doomed")]
    assert statuses == [401, 401, 403, 500, 401]
    assert names() == ["return", "abort", "api"]


def test_handler_gets_a_fresh_transaction(db_app: CustomFlask, names: Names) -> None:
    """The view's rows are gone when the handler runs; the handler's own commit only below 400."""
    seen: list[int] = []

    class Known(Exception):
        pass

    @db_app.errorhandler(Known)
    def handle(error: Known) -> t.Any:
        seen.append(len(get_db().scalars(sa.select(Item)).all()))
        add(f"handler of {error}")
        return "handled", int(str(error))

    @db_app.post("/<int:status>")
    def view(status: int) -> t.Any:
        add("view")
        get_db().flush()
        raise Known(status)

    client = db_app.test_client()
    assert [client.post(f"/{status}").status_code for status in (200, 409)] == [200, 409]
    assert names() == ["handler of 200"]
    assert seen == [0, 1]


def test_error_handler_can_print_what_was_rolled_back(db_app: CustomFlask) -> None:
    """Objects keep their loaded values for the handler: the session is closed, not expired."""

    class Known(Exception):
        pass

    @db_app.errorhandler(Known)
    def handle(error: Known) -> t.Any:
        return error.args[0].name, 400

    @db_app.post("/")
    def view() -> t.Any:
        item = Item(name="shown")
        get_db().add(item)
        get_db().flush()
        raise Known(item)

    assert db_app.test_client().post("/").text == "shown"


def break_at_commit() -> None:
    add("orphan", parent_id=4711)


def test_failed_commit_is_the_apps_own_409(db_app: CustomFlask, names: Names) -> None:
    """A constraint that only COMMIT checks: 409 problem, no callback, no cookie, the next hundred are fine."""
    ran: list[str] = []

    @db_app.post("/bad")
    def bad() -> str:
        session["user"] = "set by a view that did not commit"
        after_commit(ran.append, "committed")
        after_rollback(ran.append, "rolled back")
        break_at_commit()
        return "created"

    @db_app.post("/good/<int:n>")
    def good(n: int) -> str:
        add(f"good {n}")
        return "created"

    client = db_app.test_client()
    answer = client.post("/bad")
    assert answer.status_code == 409
    assert answer.mimetype == "application/problem+json"
    assert "Set-Cookie" not in answer.headers
    assert ran == ["rolled back"]
    assert [client.post(f"/good/{n}").status_code for n in range(100)] == [200] * 100
    assert names() == [f"good {n}" for n in range(100)]


def test_failed_commit_without_a_typed_handler_is_flasks_500(db_app: CustomFlask, caplog: t.Any) -> None:
    """Logged, signalled, and answered by the app's own 500 handler."""
    signalled: list[BaseException] = []

    def receive(_sender: Flask, exception: BaseException, **_more: t.Any) -> None:
        signalled.append(exception)

    def veto(_response: t.Any) -> None:
        raise ZeroDivisionError("veto")

    @db_app.errorhandler(500)
    def mine(error: HTTPException) -> t.Any:
        return {"mine": True}, 500

    @db_app.post("/")
    def view() -> str:
        get_task().before_commit(veto)
        return "created"

    with flask.got_request_exception.connected_to(receive, db_app):
        answer = db_app.test_client().post("/")
    assert (answer.status_code, answer.json) == (500, {"mine": True})
    assert [str(error) for error in signalled] == ["veto"]
    assert "Exception on / [POST]" in caplog.text


def test_failed_commit_while_an_error_is_answered(db_app: CustomFlask, names: Names) -> None:
    """Flask swallows what is raised then: the typed handler still wins, and without one it is a 500."""

    @db_app.errorhandler(500)
    def swallow(error: HTTPException) -> t.Any:
        if flask.request.args.get("how") == "veto":
            get_task().before_commit(lambda _response: 1 / 0)  # type: ignore[arg-type,return-value]
        else:
            break_at_commit()
        return "all is well", 200

    @db_app.post("/")
    def view() -> str:
        raise RuntimeError

    client = db_app.test_client()
    assert client.post("/").status_code == 409
    answer = client.post("/?how=veto")
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert names() == []


def test_commit_of_the_typed_handler_that_fails_too_is_a_500(db_app: CustomFlask, names: Names) -> None:
    """A handler of the failed commit whose own commit fails does not go round in circles."""

    @db_app.errorhandler(sa.exc.IntegrityError)
    def again(_error: sa.exc.IntegrityError) -> t.Any:
        break_at_commit()
        return "all is well", 200

    @db_app.post("/")
    def view() -> str:
        break_at_commit()
        return "created"

    assert db_app.test_client().post("/").status_code == 500
    assert names() == []


def test_writes_of_after_request_and_the_session_are_kept(db_app: CustomFlask, names: Names) -> None:
    """The commit comes after the after_request functions and after the session is saved."""

    @db_app.after_request
    def write(response: flask.Response) -> flask.Response:
        add("after_request")
        return response

    @db_app.post("/")
    def view() -> str:
        session["a"] = 1
        return "ok"

    assert "Set-Cookie" in db_app.test_client().post("/").headers
    assert names() == ["after_request"]


def test_raising_after_request_rolls_back(db_app: CustomFlask, names: Names) -> None:
    """Without a decision the task is rolled back, and after_rollback runs."""
    ran: list[str] = []
    failing = True

    @db_app.after_request
    def fail(response: flask.Response) -> flask.Response:
        nonlocal failing
        if failing:
            failing = False
            raise ZeroDivisionError
        return response

    @db_app.post("/")
    def view() -> str:
        add("a")
        after_rollback(ran.append, "rolled back")
        return "ok"

    assert db_app.test_client().post("/").status_code == 500
    assert names() == []
    assert ran == ["rolled back"]


def test_process_response_of_the_core_is_outermost(db_app: CustomFlask) -> None:
    """Nothing fallible comes after the commit: the app's process_response is the core's wrapper."""
    assert db_app.process_response.__module__ == "myapp.core.tasks.requests"
    assert db_app.wsgi_app.__module__ == "myapp.core.ops.health"


def test_two_requests_in_one_app_context_keep_both_rows(db_app: CustomFlask, names: Names) -> None:
    """A context that is already pushed is not shared: each request has a g and a task of its own."""
    found: list[t.Any] = []

    @db_app.post("/<name>")
    def view(name: str) -> str:
        found.append(flask.g.get("name"))
        flask.g.name = name
        add(name)
        return "ok"

    with db_app.app_context():
        client = db_app.test_client()
        assert client.post("/a").status_code == 200
        assert client.post("/b").status_code == 200
    assert names() == ["a", "b"]
    assert found == [None, None]


def test_context_kept_by_the_test_client_is_torn_down_twice(db_app: CustomFlask, names: Names) -> None:
    """`with client:` pushes the finished request's contexts again; the commit is visible inside already."""

    @db_app.post("/")
    def view() -> str:
        flask.g.kept = "kept"
        add("a")
        return "ok"

    with db_app.test_client() as client:
        client.post("/")
        assert flask.g.kept == "kept"
        assert names() == ["a"]
        add("lost: the request is over")
    assert names() == ["a"]


def test_teardown_error_reaches_teardown_functions(db_app: CustomFlask) -> None:
    """Flask hands the unhandled error to teardown functions; the core's own context does not lose it."""
    errors: list[BaseException | None] = []
    db_app.teardown_appcontext(errors.append)

    @db_app.get("/")
    def view() -> str:
        raise ZeroDivisionError

    db_app.test_client().get("/")
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_db_after_the_decision_is_refused(db_app: CustomFlask) -> None:
    """What is written after the commit would vanish, so it raises."""
    errors: list[str] = []

    @db_app.teardown_request
    def late(_error: BaseException | None) -> None:
        try:
            get_db()
        except TaskEndedError as error:
            errors.append(str(error))

    @db_app.post("/")
    def view() -> str:
        add("a")
        return "ok"

    db_app.test_client().post("/")
    assert len(errors) == 1
    assert "with app.task()" in errors[0]


def test_transaction_control_by_hand_is_refused(db_app: CustomFlask, names: Names) -> None:
    """commit, rollback, begin and close of the session raise with the remedy, and change nothing."""
    with db_app.task():
        add("a")
        for call in (
            lambda: get_db().commit(),
            lambda: get_db().rollback(),
            lambda: get_db().begin(),
            lambda: get_db().close(),
        ):
            with pytest.raises(TransactionControlError, match="task"):
                call()
    assert names() == ["a"]


def test_commit_by_hand_before_an_abort_leaves_nothing(db_app: CustomFlask, names: Names) -> None:
    """connection().commit() raises before the driver commits."""

    @db_app.post("/")
    def view() -> str:
        add("a")
        get_db().flush()
        with pytest.raises(TransactionControlError):
            get_db().connection().commit()
        abort(400)

    assert db_app.test_client().post("/").status_code == 400
    assert names() == []


def test_app_task_commits_by_itself(db_app: CustomFlask, names: Names) -> None:
    """A block is a transaction of its own: it stays when the request around it rolls back, and the reverse."""

    @db_app.post("/")
    def view() -> str:
        with db_app.task():
            add("inner")
        with pytest.raises(ZeroDivisionError), db_app.task():
            add("lost")
            raise ZeroDivisionError
        add("outer")
        abort(400)

    db_app.test_client().post("/")
    assert names() == ["inner"]


@pytest.mark.backend("sqlite")
def test_nested_write_is_an_error_at_once(db_app: CustomFlask, names: Names) -> None:
    """A writing task inside one that holds SQLite's write lock would wait for its own parent."""

    @db_app.post("/")
    def view() -> str:
        add("outer")
        get_db().flush()
        with pytest.raises(NestedWriteError, match="savepoint"), db_app.task():
            add("inner")
        with db_app.task(read_only=True):
            assert get_db().scalars(sa.select(Item)).all() == []
        return "ok"

    assert db_app.test_client().post("/").status_code == 200
    assert names() == ["outer"]


def test_read_only_task_refuses_writes(db_app: CustomFlask, names: Names) -> None:
    """By the ORM and by SQL, and the connection is as good as new for the next task."""
    with pytest.raises(ReadOnlyTaskError), db_app.task(read_only=True):
        add("a")
    with pytest.raises(ReadOnlyTaskError), db_app.task(read_only=True):
        get_db().execute(sa.insert(Item).values(name="a"))
    with pytest.raises(sa.exc.DBAPIError, match=r"read-?only"), db_app.task(read_only=True):
        get_db().execute(sa.text("INSERT INTO tests_items (name) VALUES ('a')"))
    with db_app.task():
        add("b")
    assert names() == ["b"]


def test_savepoint_undoes_its_block_only(db_app: CustomFlask, names: Names) -> None:
    """Also when it is the first thing that touches the database, and after a failed flush."""
    with db_app.task():
        with pytest.raises(ZeroDivisionError), task.savepoint():
            add("lost")
            raise ZeroDivisionError
        add("a")
        with pytest.raises(sa.exc.IntegrityError), task.savepoint():
            add("a")
            get_db().flush()
        with task.savepoint():
            add("b")
    assert names() == ["a", "b"]


def test_bare_context_only_rolls_back(db_app: CustomFlask, names: Names) -> None:
    """A bare app context can read; a write, which would be lost, and after_commit say what to do."""
    with db_app.app_context():
        assert get_db().scalars(sa.select(Item)).all() == []
        add("lost")
        with pytest.raises(NoTaskError, match=r"app\.task\(\)"):
            get_db().flush()
        with pytest.raises(NoTaskError, match=r"app\.task\(\)"):
            get_db().execute(sa.insert(Item).values(name="lost"))
        with pytest.raises(NoTaskError, match=r"app\.task\(\)"):
            after_commit(print)
    with db_app.task():
        add("kept")
        with db_app.app_context(), pytest.raises(NoTaskError, match=r"app\.task\(\)"):
            after_commit(print)
    assert names() == ["kept"]


def test_outside_of_any_context_everything_names_the_remedy() -> None:
    """A11: RuntimeError with the remedy in its text."""
    for call in (lambda: after_commit(print), get_db, lambda: task.id, lambda: get_resource("x", object, id)):
        with pytest.raises(RuntimeError, match=r"with app\.task\(\)"):
            call()


def test_lazy_load_after_the_end_names_the_remedy(db_app: CustomFlask) -> None:
    """What was loaded stays readable; what was not raises instead of opening a transaction nobody ends."""
    with db_app.task():
        add("a")
    with db_app.task() as ended:
        item = get_db().scalars(sa.select(Item).options(sa.orm.defer(Item.secret))).one()
    assert item.name == "a"
    with pytest.raises(TaskEndedError, match="lazy load"):
        _ = item.secret
    assert not ended.is_open


def test_resources_open_once_and_close_in_reverse(db_app: CustomFlask) -> None:
    """N calls give one object; an error in one close does not stop the next."""
    log: list[str] = []

    def make(name: str) -> t.Any:
        def close(_value: object) -> None:
            log.append(f"close {name}")
            raise ZeroDivisionError

        return get_resource(name, lambda: log.append(f"open {name}") or object(), close)  # type: ignore[func-returns-value]

    with db_app.task():
        assert make("a") is make("a")
        make("b")
    assert log == ["open a", "open b", "close b", "close a"]


def test_sql_commits_last_of_several_resources(db_app: CustomFlask, names: Names) -> None:
    """All prepare, then all commit with the database last; a failing prepare commits none."""
    log: list[str] = []

    def bind(*, failing: bool = False) -> None:
        def prepare(_value: object) -> None:
            log.append("prepare")
            if failing:
                raise ZeroDivisionError

        def commit(_value: object) -> None:
            log.append(f"commit, {len(names())} rows visible")

        get_resource("queue", object, lambda _: log.append("close"), prepare=prepare, commit=commit,
                     rollback=lambda _: log.append("rollback"))  # fmt: skip

    with db_app.task():
        add("a")
        bind()
    with pytest.raises(ZeroDivisionError), db_app.task():
        add("b")
        bind(failing=True)
    assert log == ["prepare", "commit, 0 rows visible", "close", "prepare", "rollback", "close"]
    assert names() == ["a"]


@pytest.mark.backend("sqlite")
def test_half_a_commit_is_critical(db_app: CustomFlask, caplog: t.Any) -> None:
    """When the database fails after another resource committed: 500 or 409, a CRITICAL line, a counter."""

    @db_app.post("/")
    def view() -> str:
        get_resource("queue", object, lambda _: None, commit=lambda _: None)
        break_at_commit()
        return "ok"

    assert db_app.test_client().post("/").status_code == 409
    assert [record.levelname for record in caplog.records if "queue" in record.message] == ["CRITICAL"]
    assert db_app.extensions["myapp.tasks"].partial_commits == 1


def test_prepare_step_may_write_and_sees_the_answer(db_app: CustomFlask, names: Names) -> None:
    """before_commit functions get the final response and write into the same transaction."""

    @db_app.post("/")
    def view() -> t.Any:
        get_task().before_commit(lambda response: add(f"answered {response.status_code}"))  # type: ignore[union-attr]
        return "ok", 201

    db_app.test_client().post("/")
    assert names() == ["answered 201"]


def test_signals_tell_how_a_task_ended(db_app: CustomFlask) -> None:
    """task_committed and task_rolled_back are sent with the task, after the fact."""
    log: list[tuple[str, str]] = []

    def committed(_app: Flask, task: t.Any) -> None:
        log.append(("committed", task.kind))

    def rolled_back(_app: Flask, task: t.Any) -> None:
        log.append(("rolled back", task.kind))

    db_app.get("/")(lambda: "ok")
    with signals.task_committed.connected_to(committed), signals.task_rolled_back.connected_to(rolled_back):
        db_app.test_client().get("/")
        db_app.test_client().get("/nowhere")
    assert log[0] == ("committed", "request")
    assert log[1] == ("rolled back", "request")


def test_failed_commit_reraises_while_testing(make_db_app: t.Any) -> None:
    """Flask's TESTING shows the error itself; answers are tested with PROPAGATE_EXCEPTIONS=False."""
    app = make_db_app(PROPAGATE_EXCEPTIONS=True)

    @app.post("/")
    def view() -> str:
        get_task().before_commit(lambda _response: 1 / 0)
        return "ok"

    with pytest.raises(ZeroDivisionError):
        app.test_client().post("/")


def test_request_id(make_db_app: t.Any) -> None:
    """An inbound id counts from a trusted proxy only, and only if it is harmless; else it is the task's UUIDv7."""
    app = make_db_app(MYAPP_TRUSTED_PROXIES="10.0.0.0/8")
    app.get("/")(lambda: task.id)
    client = app.test_client()

    def get(request_id: str, peer: str) -> str:
        answer = client.get("/", headers={"X-Request-ID": request_id}, environ_base={"REMOTE_ADDR": peer})
        assert answer.headers["X-Request-ID"] == answer.text
        return answer.text

    assert get("abc-1", "10.1.2.3") == "abc-1"
    assert get("abc-1", "192.0.2.1") != "abc-1"
    assert get("a b", "10.1.2.3") != "a b"
    assert get("a" * 65, "10.1.2.3") != "a" * 65
    first, second = get("", "10.1.2.3"), get("", "10.1.2.3")
    assert first[14] == "7"
    assert first[:13] <= second[:13]


def test_request_inside_a_request_is_a_task_of_its_own(db_app: CustomFlask, names: Names) -> None:
    """A view that calls the app again, as a test client does, shares nothing with it."""

    @db_app.post("/inner")
    def inner() -> t.Any:
        add("inner")
        return {"id": task.id}

    @db_app.post("/outer")
    def outer() -> t.Any:
        answer = db_app.test_client().post("/inner").json
        assert answer["id"] != task.id
        add("outer")
        abort(400)

    assert db_app.test_client().post("/outer").status_code == 400
    assert names() == ["inner"]


def test_api_result_with_an_error_status_rolls_back(db_app: CustomFlask, names: Names) -> None:
    """What counts is the status of the final response, however it was made."""

    @db_app.post("/")
    def view() -> ApiResult:
        add("a")
        return ApiResult({"no": True}, 422)

    assert db_app.test_client().post("/").status_code == 422
    assert names() == []


def test_links_outside_of_a_request(make_app: Callable[..., CustomFlask]) -> None:
    """Each app has its own, and what a task changes of its own, for one tenant say, is gone with it."""
    apps = [make_app(config={"MYAPP_PUBLIC_URL": f"https://{name}.example"}) for name in ("one", "two")]
    for app in apps:
        app.add_url_rule("/first", "first")

    def link(app: CustomFlask, server_name: str = "") -> str:
        with app.task(read_only=True):
            adapter: t.Any = app_ctx.url_adapter
            adapter.server_name = server_name or adapter.server_name
            return flask.url_for("first")

    assert [link(app) for app in apps] == ["https://one.example/first", "https://two.example/first"]
    assert link(apps[0], "tenant.example") == "https://tenant.example/first"
    assert link(apps[0]) == "https://one.example/first"
    apps[0].config["MYAPP_PUBLIC_URL"] = "http://three.example/below"
    assert link(apps[0]) == "http://three.example/below/first"
