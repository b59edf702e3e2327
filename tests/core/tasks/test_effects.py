"""after_commit and after_rollback, rule by rule (docs/tasks.md, A1 to A9 and A11; capture)."""

from __future__ import annotations

import typing as t

import flask
import pytest
import sqlalchemy as sa
from flask import g, url_for

from myapp import after_commit, after_rollback, get_db, get_resource, task
from myapp.core import signals
from myapp.core.tasks import effects
from myapp.testing import capture_effects
from tests.conftest import Item

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask

Names: t.TypeAlias = "Callable[[], list[str]]"


def test_a1_arguments_are_bound_at_once_and_none_is_refused(db_app: CustomFlask) -> None:
    """A1: the arguments are bound now; what is not callable is a TypeError now; a decorator gives the function."""
    log: list[t.Any] = []
    with db_app.task():
        value = "bound"
        after_commit(log.append, value)
        value = "changed"

        @after_commit
        def decorated() -> None:
            log.append("decorated")

        @after_commit()
        def with_parentheses() -> None:
            log.append("with parentheses")

        assert decorated.__name__ == "decorated"
        for wrong in (None, 3, log.append("called too early")):
            with pytest.raises(TypeError, match="do not call it"):
                after_commit(wrong)
    assert log == ["called too early", "bound", "decorated", "with parentheses"]


def test_a2_in_order_once_after_everything_is_committed_and_released(db_app: CustomFlask, names: Names) -> None:
    """A2: first in, first out, when the rows are visible and the resources closed, before the response leaves."""
    log: list[t.Any] = []

    @db_app.post("/")
    def view() -> str:
        get_resource("other", object, lambda _: log.append("released"))
        get_db().add(Item(name="a"))
        after_commit(lambda: log.append(("first", names())))
        after_commit(log.append, "second")
        return "ok"

    environ = flask.Request.from_values(method="POST").environ
    body = db_app(environ, lambda *_: log.append("response"))  # type: ignore[arg-type]
    body.close()  # type: ignore[attr-defined]
    assert log == ["released", ("first", ["a"]), "second", "response"]


def test_a3_runs_without_any_resource(db_app: CustomFlask) -> None:
    """A3: a task that touched nothing runs its callbacks all the same."""
    log: list[str] = []

    @db_app.get("/")
    def view() -> str:
        after_commit(log.append, "ran")
        return "ok"

    db_app.test_client().get("/")
    assert log == ["ran"]


def test_a4_rollback_discards_and_runs_the_others(db_app: CustomFlask) -> None:
    """A4: for whatever cause, after_commit is discarded and after_rollback runs, once."""
    log: list[str] = []

    @db_app.post("/<how>")
    def view(how: str) -> t.Any:
        after_commit(log.append, "never")
        after_rollback(log.append, how)
        if how == "raised":
            raise ZeroDivisionError
        if how == "doomed":
            task.doom()
        if how == "aborted":
            flask.abort(404)
        if how == "unique":
            get_db().add_all([Item(name="a"), Item(name="a")])
        return "answer", 400 if how == "returned" else 200

    hows = ["raised", "doomed", "aborted", "returned", "unique"]
    for how in hows:
        db_app.test_client().post(f"/{how}")
    assert log == hows


def test_a5_a_raising_callback_changes_nothing_else(db_app: CustomFlask, caplog: t.Any) -> None:
    """A5: logged with task id and name, counted, signalled; the others run; the answer stays."""
    log: list[str] = []
    failed: list[str] = []

    def broken() -> None:
        raise ZeroDivisionError

    def receive(_app: t.Any, callback: str, **_more: t.Any) -> None:
        failed.append(callback)

    @db_app.get("/")
    def view() -> t.Any:
        after_commit(broken)
        after_commit(log.append, "still ran")
        return {"id": task.id}, 201

    with signals.callback_failed.connected_to(receive):
        answer = db_app.test_client().get("/")
    assert (answer.status_code, log) == (201, ["still ran"])
    [record] = [record for record in caplog.records if record.name == "myapp.tasks"]
    assert answer.json["id"] in record.message
    assert "broken" in record.message
    assert record.exc_info[0] is ZeroDivisionError
    assert db_app.extensions["myapp.tasks"].callbacks_failed == 1
    assert failed == [f"{__name__}.{broken.__qualname__}"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a5_interrupts_pass(db_app: CustomFlask, names: Names, kind: type[BaseException]) -> None:
    """A5: KeyboardInterrupt and SystemExit are not a callback's failure."""

    def interrupt() -> None:
        raise kind

    with pytest.raises(kind), db_app.task():
        get_db().add(Item(name="committed"))
        after_commit(interrupt)
    assert names() == ["committed"]


def test_a6_each_callback_is_a_child_task(make_db_app: t.Any, names: t.Any) -> None:
    """A6: fresh g, no request, no session, the parent's id, its own commit; url_for from MYAPP_PUBLIC_URL."""
    app = make_db_app(MYAPP_PUBLIC_URL="https://example.com/base")
    log: list[t.Any] = []

    def write(name: str, *, fail: bool) -> None:
        get_db().add(Item(name=name))
        get_db().flush()
        if fail:
            raise ZeroDivisionError

    def look() -> None:
        log.append((task.id, g.get("mark"), flask.has_request_context(), url_for("view")))
        g.mark = "left behind"

    @app.post("/view")
    def view() -> t.Any:
        g.mark = "parent"
        get_db().add(Item(name="parent"))
        after_commit(write, "lost", fail=True)
        after_commit(write, "kept", fail=False)
        after_commit(look)
        after_commit(look)
        return {"id": task.id}

    request_id = app.test_client().post("/view").json["id"]
    assert log == [(request_id, None, False, "https://example.com/base/view")] * 2
    with app.task(read_only=True):
        assert list(get_db().scalars(sa.select(Item.name).order_by(Item.id))) == ["parent", "kept"]


def test_a6_public_url_defaults_to_localhost(db_app: CustomFlask) -> None:
    """A6: without a setting the links of callbacks, blocks and commands lead to the development server."""
    db_app.add_url_rule("/named", "named", lambda: "named")
    with db_app.task():
        assert url_for("named") == "http://localhost:5000/named"


def test_a7_callbacks_of_callbacks_join_the_same_drain(db_app: CustomFlask) -> None:
    """A7: at the end of the queue, if that child committed."""
    log: list[str] = []

    def outer(name: str, *, fail: bool = False) -> None:
        after_commit(log.append, f"inner of {name}")
        log.append(name)
        if fail:
            raise ZeroDivisionError

    with db_app.task():
        after_commit(outer, "a")
        after_commit(outer, "b", fail=True)
        after_commit(log.append, "c")
    assert log == ["a", "b", "c", "inner of a"]


def test_a7_more_than_a_thousand_is_an_error(db_app: CustomFlask, caplog: t.Any) -> None:
    """A7: a callback that registers itself stops after 1,000 runs, with an error."""
    runs = 0

    def again() -> None:
        nonlocal runs
        runs += 1
        after_commit(again)

    with db_app.task():
        after_commit(again)
    assert runs == 1_000
    assert any("TooManyCallbacksError" in str(record.exc_info) for record in caplog.records)


@pytest.mark.parametrize("plain", [False, True], ids=["task.savepoint", "begin_nested"])
def test_a8_callbacks_belong_to_their_savepoint(db_app: CustomFlask, *, plain: bool) -> None:
    """A8: discarded with a rolled back savepoint, whose after_rollback runs at once; kept in order when released."""
    log: list[str] = []

    def savepoint() -> t.Any:
        return get_db().begin_nested() if plain else task.savepoint()

    with db_app.task():
        after_commit(log.append, "1")
        with savepoint():
            after_commit(log.append, "2")
            after_rollback(log.append, "never")
        with pytest.raises(ZeroDivisionError), savepoint():
            after_commit(log.append, "lost")
            with savepoint():
                after_commit(log.append, "lost too")
            after_rollback(log.append, "undone")
            raise ZeroDivisionError
        assert log == ["undone"]
        after_commit(log.append, "3")
    assert log == ["undone", "1", "2", "3"]


def test_a8_begin_nested_rolled_back_by_hand(db_app: CustomFlask) -> None:
    """A8: a savepoint that is rolled back by its own method discards its callbacks as well."""
    log: list[str] = []
    with db_app.task():
        savepoint = get_db().begin_nested()
        after_commit(log.append, "lost")
        savepoint.rollback()
        after_commit(log.append, "kept")
    assert log == ["kept"]


def test_a9_slow_callbacks_are_named(db_app: CustomFlask, caplog: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A9: more than two seconds in all is a warning that names the slowest."""
    now = 0.0

    def slow(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(effects.time, "monotonic", lambda: now)

    with db_app.task():
        after_commit(slow, 0.5)
        after_commit(slow, 1.4)
    assert caplog.records == []
    with db_app.task():
        after_commit(slow, 0.5)
        after_commit(slow, 1.6)
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert f"{slow.__qualname__}, took 1.6 s" in record.message


def test_capture_lists_what_survived(db_app: CustomFlask) -> None:
    """capture_effects: what a savepoint or a rollback discarded is not among the callbacks, and nothing runs."""
    ran: list[str] = []

    @db_app.post("/<int:status>")
    def view(status: int) -> t.Any:
        after_commit(ran.append, "kept")
        with pytest.raises(ZeroDivisionError), task.savepoint():
            after_commit(ran.append, "discarded")
            raise ZeroDivisionError
        return "ok", status

    client = db_app.test_client()
    with capture_effects() as captured:
        client.post("/200")
        client.post("/400")
    assert [callback.args for callback in captured.callbacks] == [("kept",)]
    assert ran == []
    with capture_effects(run=True) as captured:
        client.post("/201")
    assert len(captured.callbacks) == 1
    assert ran == ["kept"]


def test_founding_example_reads_the_user_after_the_commit(db_app: CustomFlask) -> None:
    """Founding document 003, slide 20: a callback renders what its task has loaded."""
    sent: list[str] = []

    @db_app.post("/purchase")
    def purchase_product() -> str:
        item = Item(name="john")
        get_db().add(item)

        @after_commit
        def send_success_mail() -> None:
            sent.append(f"Product Purchased: {item.id} {item.name}")

        return "ok"

    db_app.test_client().post("/purchase")
    assert sent == ["Product Purchased: 1 john"]
