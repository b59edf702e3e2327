"""What a plugin registers for the whole app: when it fails, the page is there, and everybody can see who it was."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import pickle
import re
import threading
import types
import typing as t

import gevent
import pytest
import sqlalchemy as sa
from flask import Blueprint, Response, abort, render_template_string, request, url_for
from werkzeug.routing import BuildError

from myapp import after_commit, after_rollback, get_db, get_user, plugin_degraded
from myapp.core.data import get_engine
from myapp.core.errors import PluginUnavailableError
from myapp.core.plugins import get_guards, get_report
from myapp.core.plugins.breaker import FAILURES, PAUSE_SECONDS
from myapp.testing import bearer
from tests.conftest import Item

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask
    from myapp.core.plugins import PluginReport

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"
PAGE = "<p>{{ word }}{{ url_for('page') }}</p>"


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Switch(Exception):
    """What the functions of these tests raise."""


def make_plugin(configure: Callable[[CustomFlask], None], **manifest: t.Any) -> types.ModuleType:
    """Return a plugin that registers on the app what ``configure`` does."""
    module = types.ModuleType("shop")
    module.__dict__["__plugin__"] = {"name": "shop", "version": "1.0", **manifest}
    module.__dict__["myapp_configure"] = lambda app, plugin: configure(app)
    return module


@pytest.fixture
def make_guarded(make_app: MakeApp) -> Callable[..., CustomFlask]:
    """Return a function that builds an app with one plugin and a page."""

    def make(configure: Callable[[CustomFlask], None], config: t.Any = None, **manifest: t.Any) -> CustomFlask:
        settings = {"PROPAGATE_EXCEPTIONS": False, "MYAPP_BLUEPRINT_PACKAGES": (), **(config or {})}
        app = make_app(make_plugin(configure, **manifest), config=settings)
        app.add_url_rule("/", "page", lambda: render_template_string(PAGE))
        app.add_url_rule("/items/<name>", "item", lambda name: name)
        return app

    return make


def report_of(app: CustomFlask) -> PluginReport:
    return get_report(app)[0]


def boom(*_: t.Any) -> t.Any:
    raise Switch("boom")


#: Each way to register a function for the whole app; all run for ``GET /``.
KINDS: dict[str, Callable[[CustomFlask, t.Any], t.Any]] = {
    "before_request": lambda app, f: app.before_request(f),
    "after_request": lambda app, f: app.after_request(f),
    "teardown_request": lambda app, f: app.teardown_request(f),
    "teardown_appcontext": lambda app, f: app.teardown_appcontext(f),
    "context_processor": lambda app, f: app.context_processor(f),
    "url_value_preprocessor": lambda app, f: app.url_value_preprocessor(f),
    "url_defaults": lambda app, f: app.url_defaults(f),
    "before_app_request": lambda app, f: blueprint_with(app, "before_app_request", f),
    "after_app_request": lambda app, f: blueprint_with(app, "after_app_request", f),
    "teardown_app_request": lambda app, f: blueprint_with(app, "teardown_app_request", f),
    "app_context_processor": lambda app, f: blueprint_with(app, "app_context_processor", f),
    "app_url_value_preprocessor": lambda app, f: blueprint_with(app, "app_url_value_preprocessor", f),
    "app_url_defaults": lambda app, f: blueprint_with(app, "app_url_defaults", f),
}


def blueprint_with(app: CustomFlask, method: str, f: t.Any) -> None:
    blueprint = Blueprint("shop", __name__)
    getattr(blueprint, method)(f)
    app.register_blueprint(blueprint)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_there(kind: str, make_guarded: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """However often it fails: one entry in the log, with the plugin, the function and the line."""
    app = make_guarded(lambda app: KINDS[kind](app, boom))
    client = app.test_client()

    answers = [client.get("/") for _ in range(3)]

    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "<p>/</p>")] * 3
    entries = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(entries) == 1
    message = entries[0].getMessage()
    assert re.search(
        rf"The plugin shop: its .* {__name__}\.boom \({__file__}:\d+\) failed: {__file__}:\d+: .*boom", message
    )
    assert entries[0].exc_info is not None
    assert report_of(app).state == "degraded"
    assert report_of(app).problem is not None
    assert report_of(app).problem.code == "runtime-failed"
    assert get_guards(app).count_failures("shop") >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_function_without_fault_does_its_work(kind: str, make_guarded: MakeApp) -> None:
    """The guard is not seen: arguments, results and what they change arrive."""
    calls: list[tuple[t.Any, ...]] = []

    def work(*arguments: t.Any) -> t.Any:
        calls.append(arguments)
        return {"word": "hello"} if "context_proc" in kind else arguments[0] if "after" in kind else None

    app = make_guarded(lambda app: KINDS[kind](app, work))

    assert app.test_client().get("/").text == ("<p>hello/</p>" if "context_proc" in kind else "<p>/</p>")
    assert calls
    assert report_of(app).state == "active"


@pytest.mark.parametrize("kind", ["before_request", "after_request", "teardown_appcontext"])
def test_async_functions_are_guarded(kind: str, make_guarded: MakeApp) -> None:
    """As Flask runs them: what they raise is caught, what they return arrives."""

    is_broken = False

    async def work(*arguments: t.Any) -> t.Any:
        if is_broken:
            raise Switch
        return arguments[0] if kind == "after_request" else None

    app = make_guarded(lambda app: KINDS[kind](app, work))

    assert app.test_client().get("/").status_code == 200
    assert report_of(app).state == "active"
    is_broken = True
    assert app.test_client().get("/").status_code == 200
    assert report_of(app).state == "degraded"


def test_what_is_no_result_is_a_failure(make_guarded: MakeApp) -> None:
    """A response that somebody forgot to return, a context that is no dict, an answer that is none."""
    for kind, f in (
        ("after_request", lambda response: None),
        ("context_processor", lambda: ["word"]),
        ("before_request", lambda: 42),
    ):
        app = make_guarded(lambda app, kind=kind, f=f: KINDS[kind](app, f))
        assert app.test_client().get("/").text == "<p>/</p>", kind
        assert report_of(app).state == "degraded", kind


def test_abort_is_an_answer(make_guarded: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """``abort(403)`` blocks and is no failure, however often; so does an answer that is returned."""
    app = make_guarded(lambda app: app.before_request(lambda: abort(403)))
    client = app.test_client()

    assert {client.get("/").status_code for _ in range(FAILURES + 2)} == {403}
    assert report_of(app).state == "active"
    assert not caplog.records

    app = make_guarded(lambda app: app.before_request(lambda: ("closed", 418)))
    assert (app.test_client().get("/").status_code, app.test_client().get("/").text) == (418, "closed")


@pytest.mark.parametrize("wrong", [RuntimeError, SystemExit])
def test_an_error_that_cannot_be_shown_is_one(
    wrong: type[BaseException], make_guarded: MakeApp, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """At run time and in a hook: what the exception itself raises does not escape."""

    class Unspeakable(AssertionError):
        @property
        def __notes__(self) -> t.NoReturn:  # type: ignore[override]
            raise wrong

        def __str__(self) -> t.NoReturn:
            raise wrong

    def fail(*_: t.Any) -> t.NoReturn:
        raise Unspeakable

    app = make_guarded(lambda app: app.before_request(fail))
    assert app.test_client().get("/").status_code == 200
    broken = make_app(make_plugin(fail), strict=False)

    for report in (report_of(app), report_of(broken)):
        assert report.problem is not None
        # Python 3.13 says by itself what it cannot read, when an Exception keeps it from reading.
        assert "Unspeakable" in report.problem.summary
    assert __file__ in report_of(broken).traceback
    assert caplog.text.count("Unspeakable") >= 2


class Panic(BaseException):
    """What an extension that is not written in Python may raise."""


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), Panic()])
def test_what_is_no_exception_is_a_failure(error: BaseException, make_guarded: MakeApp) -> None:
    """``sys.exit()`` in a request does not end the server, nor does anything else that a function raises."""

    def end() -> None:
        raise error

    app = make_guarded(lambda app: app.before_request(end))
    assert [app.test_client().get("/").status_code for _ in range(2)] == [200, 200]
    assert type(error).__name__ in str(report_of(app).problem)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit(), gevent.Timeout(1)])
def test_what_comes_from_outside_is_none(error: BaseException, make_guarded: MakeApp) -> None:
    """Ctrl-C ends the server, gevent a greenlet or a wait; the plugin is not blamed."""

    def interrupt() -> None:
        raise error

    app = make_guarded(lambda app: app.before_request(interrupt))
    for _ in range(2):
        with pytest.raises(type(error)):
            app.test_client().get("/")
    assert report_of(app).problem is None


def test_five_failures_in_a_row_and_it_is_skipped(make_guarded: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """For a minute; then it is tried once, and every minute again until it works."""
    calls: list[float] = []
    clock = Clock()
    is_broken = True

    def work() -> None:
        calls.append(clock.now)
        if is_broken:
            raise Switch

    app = make_guarded(lambda app: app.before_request(work))
    get_guards(app).clock = clock
    client = app.test_client()

    for _ in range(FAILURES + 3):
        client.get("/")
    assert len(calls) == FAILURES
    clock.now += PAUSE_SECONDS - 1
    client.get("/")
    assert len(calls) == FAILURES
    clock.now += 1
    client.get("/"), client.get("/")
    assert len(calls) == FAILURES + 1
    assert report_of(app).state == "degraded"

    is_broken = False
    clock.now += PAUSE_SECONDS
    client.get("/"), client.get("/")
    assert len(calls) == FAILURES + 3
    assert report_of(app).state == "active"
    assert [record.levelname for record in caplog.records if record.name == "myapp.plugins"] == ["ERROR"]


def test_one_of_many_tries_again(make_guarded: MakeApp) -> None:
    """At the end of the pause; the others do not wait for it."""
    clock, entered, gate = Clock(), threading.Event(), threading.Event()
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        if len(calls) > FAILURES:
            entered.set()
            gate.wait(3)
        raise Switch

    app = make_guarded(lambda app: app.before_request(work))
    get_guards(app).clock = clock
    for _ in range(FAILURES):
        app.test_client().get("/")
    clock.now += PAUSE_SECONDS

    first = threading.Thread(target=app.test_client().get, args=("/",))
    first.start()
    assert entered.wait(30)
    assert app.test_client().get("/").status_code == 200
    gate.set()
    first.join(30)
    assert len(calls) == FAILURES + 1


def test_the_log_is_not_flooded_by_one_that_recovers(make_guarded: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """Failing every second time is one entry a minute; a new failure after a minute is a new entry."""
    clock = Clock()
    app = make_guarded(lambda app: app.before_request(lambda: boom() if request.args else None))
    get_guards(app).clock = clock
    client = app.test_client()

    for _ in range(4):
        client.get("/?a=1"), client.get("/")
    assert len(caplog.records) == 1
    clock.now += PAUSE_SECONDS
    client.get("/?a=1")
    assert len(caplog.records) == 2
    assert get_guards(app).count_failures("shop") == 5


def test_the_signal_tells_once(make_guarded: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """With the app as sender; a receiver that raises is logged."""
    told: list[tuple[t.Any, ...]] = []

    def receive(sender: t.Any, plugin: str, function: str, exception: BaseException) -> None:
        told.append((sender, plugin, function.split(" ")[0], type(exception)))
        raise ZeroDivisionError

    app = make_guarded(lambda app: app.before_request(boom))
    with plugin_degraded.connected_to(receive, app):
        assert {app.test_client().get("/").status_code for _ in range(2)} == {200}

    assert told == [(app, "shop", f"{__name__}.boom", Switch)]
    assert [record.getMessage() for record in caplog.records][1:] == [
        "A receiver of the signal plugin-degraded failed."
    ]


#: What a critical plugin answers for; a teardown function comes after the answer.
REFUSING = [kind for kind in KINDS if "teardown" not in kind]


@pytest.mark.parametrize("kind", REFUSING)
def test_a_critical_plugin_is_never_skipped(kind: str, make_guarded: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """503 with Retry-After every time, and one entry in the log."""
    app = make_guarded(lambda app: KINDS[kind](app, boom), critical=True)
    client = app.test_client()

    answers = [client.get("/", headers={"Accept": accept}) for accept in ("*/*", "text/html") * FAILURES]

    assert {(answer.status_code, answer.headers["Retry-After"]) for answer in answers} == {(503, "5")}
    assert "shop" not in answers[0].text + answers[1].text
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1
    assert report_of(app).is_critical


def test_a_plugin_that_the_operator_requires_is_critical(
    make_plugin_app: MakeApp, plugin_folder: Callable[..., Path]
) -> None:
    """Whatever its manifest says."""
    source = """
from flask import Blueprint

blueprint = Blueprint("shop", __name__)
blueprint.before_app_request(lambda: 1 / 0)


def myapp_blueprints(app, plugin):
    return blueprint
"""
    folder = plugin_folder({"shop/__init__.py": source})
    app = make_plugin_app(folder, MYAPP_REQUIRED_PLUGINS=("shop",), PROPAGATE_EXCEPTIONS=False)

    assert {app.test_client().get("/").status_code for _ in range(FAILURES + 1)} == {503}


@pytest.mark.parametrize("kind", ["teardown_request", "teardown_appcontext"])
def test_a_critical_teardown_comes_too_late(kind: str, make_guarded: MakeApp) -> None:
    """The answer has left: it is logged, and seen in the report."""
    app = make_guarded(lambda app: KINDS[kind](app, boom), critical=True)

    assert app.test_client().get("/").status_code == 200
    assert report_of(app).state == "degraded"


def test_values_of_urls_are_put_back(make_guarded: MakeApp) -> None:
    """A function that takes one away and fails has not taken it."""

    def take(endpoint: str | None, values: dict[str, t.Any] | None) -> None:
        if values:
            values.clear()
            values["wrong"] = 1
            raise Switch

    app = make_guarded(lambda app: (app.url_value_preprocessor(take), app.url_defaults(take)))
    app.add_url_rule("/link", "link", lambda: url_for("item", name="a"))

    assert app.test_client().get("/items/x").text == "x"
    assert app.test_client().get("/link").text == "/items/a"


class TestError(Exception):
    """An error with handlers."""

    __test__ = False


@pytest.fixture
def make_handling(make_guarded: MakeApp) -> MakeApp:
    """Return a function that builds an app whose plugin handles an error, with views that raise."""

    def make(error: t.Any, **manifest: t.Any) -> CustomFlask:
        app = make_guarded(lambda app: app.register_error_handler(error, boom), **manifest)

        @app.get("/missing")
        def missing() -> t.Any:
            abort(404)

        @app.get("/raise")
        def raising() -> t.Any:
            raise TestError

        return app

    return make


def test_an_error_handler_that_fails_is_as_if_it_were_not_there(make_handling: MakeApp) -> None:
    """The core's answer, the handler that it replaced, a less specific one; or the 500."""
    app = make_handling(404)
    answer = app.test_client().get("/missing")
    assert (answer.status_code, answer.json["status"], answer.mimetype) == (404, 404, "application/problem+json")

    app = make_handling(TestError)
    assert app.test_client().get("/raise").status_code == 500
    app = make_handling(TestError)
    app.register_error_handler(Exception, lambda error: (f"less specific: {type(error).__name__}", 409))
    assert app.test_client().get("/raise").text == "less specific: TestError"

    app = make_handling(500)
    assert app.test_client().get("/raise").json["status"] == 500
    assert report_of(app).state == "degraded"


def test_an_error_handler_that_fails_gives_its_place_back(make_app: MakeApp) -> None:
    """The one of an earlier plugin answers."""
    first = make_plugin(lambda app: app.register_error_handler(TestError, lambda error: ("first", 400)), name="first")
    second = make_plugin(lambda app: app.register_error_handler(TestError, boom), name="second")
    app = make_app(first, second, config={"PROPAGATE_EXCEPTIONS": False, "MYAPP_BLUEPRINT_PACKAGES": ()})

    @app.get("/")
    def raising() -> t.Any:
        raise TestError

    assert app.test_client().get("/").text == "first"


def test_the_error_handler_of_a_critical_plugin_answers_503(make_handling: MakeApp) -> None:
    """What it was to do is not done by somebody else."""
    for error, path in ((404, "/missing"), (TestError, "/raise"), (500, "/raise")):
        app = make_handling(error, critical=True)
        assert [app.test_client().get(path).status_code for _ in range(FAILURES + 1)] == [503] * (FAILURES + 1)


def test_build_errors_stay_build_errors(make_guarded: MakeApp) -> None:
    """A handler of them that fails is passed over; one that gives up as Flask documents it has not failed."""

    def give_up(error: BuildError, endpoint: str, values: t.Any) -> str:
        raise error

    for handler, state in ((boom, "degraded"), (give_up, "active")):
        app = make_guarded(lambda app, handler=handler: app.url_build_error_handlers.append(handler))
        with app.test_request_context(), pytest.raises(BuildError):
            url_for("nothing")
        assert report_of(app).state == state


def test_only_what_is_for_the_whole_app_is_guarded(make_app: MakeApp) -> None:
    """A plugin's own pages, and functions for them, are its own business: 500."""
    module = types.ModuleType("shop")
    blueprint = Blueprint("shop", __name__)
    blueprint.add_url_rule("/", "index", lambda: "shop")
    blueprint.before_request(boom)
    module.__dict__["myapp_blueprints"] = lambda app, plugin: blueprint
    app = make_app(module, config={"PROPAGATE_EXCEPTIONS": False})

    assert app.test_client().get("/shop/").status_code == 500
    assert app.test_client().get("/").status_code == 200
    assert report_of(app).state == "active"


def test_what_ready_registers_is_guarded(make_app: MakeApp) -> None:
    """Also when it fails after it has registered."""
    module = types.ModuleType("shop")

    def ready(app: CustomFlask, plugin: t.Any) -> None:
        app.before_request(boom)
        raise Switch

    module.__dict__["myapp_ready"] = ready
    app = make_app(module, config={"PROPAGATE_EXCEPTIONS": False}, strict=False)

    assert app.test_client().get("/").status_code == 200
    assert get_guards(app).count_failures("shop") == 1


def test_two_apps_do_not_share_their_guards(make_app: MakeApp) -> None:
    """The same module in one process: what fails in one app has not failed in the other."""
    module = make_plugin(lambda app: app.before_request(lambda: boom() if request.args else None))
    one, two = (make_app(module, config={"PROPAGATE_EXCEPTIONS": False}) for _ in range(2))

    one.test_client().get("/?a=1")

    assert (report_of(one).state, report_of(two).state) == ("degraded", "active")


def test_guards_work_outside_of_a_task(make_guarded: MakeApp) -> None:
    """A template in a shell or a script: an application context that is no task."""
    app = make_guarded(lambda app: app.context_processor(boom))

    with app.app_context():
        assert render_template_string("a{{ word }}") == "a"
    with app.test_request_context():
        assert render_template_string("a{{ word }}") == "a"
    assert get_guards(app).count_failures("shop") == 2


# What a failed function did to the task.


@pytest.fixture
def make_writing(make_db_app: MakeApp) -> MakeApp:
    """Return a function that builds an app with tables, whose plugin has a function of a kind."""

    def make(kind: str, f: Callable[..., t.Any], view: Callable[[], t.Any] = lambda: "") -> CustomFlask:
        app = make_db_app(make_plugin(lambda app: KINDS[kind](app, f)))

        def page() -> str:
            get_db().add(Item(name=f"view {request.method}"))
            view()
            return render_template_string("<p>{{ word }}</p>")

        app.add_url_rule("/", "page", page, methods=["GET", "POST"])
        return app

    return make


def names_of(app: CustomFlask) -> list[str]:
    with app.task(read_only=True):
        return list(get_db().scalars(sa.select(Item.name).order_by(Item.id)))


WRITING = ["before_request", "after_request", "context_processor"]


@pytest.mark.parametrize("kind", WRITING)
def test_what_it_wrote_is_undone(kind: str, make_writing: MakeApp) -> None:
    """Rows and callbacks; what the view wrote, before and after, is committed."""
    ran: list[str] = []

    def write(*_: t.Any) -> t.Any:
        get_db().add(Item(name="flushed"))
        get_db().flush()
        get_db().add(Item(name="pending"))
        after_commit(ran.append, "lost")
        after_rollback(ran.append, "undone")
        raise Switch

    app = make_writing(kind, write, lambda: after_commit(ran.append, "view"))

    assert app.test_client().post("/").text == "<p></p>"
    assert app.test_client().get("/").text == "<p></p>"
    assert names_of(app) == ["view POST", "view GET"]
    assert sorted(ran) == ["undone", "undone", "view", "view"]


@pytest.mark.parametrize("kind", WRITING)
def test_what_it_wrote_is_kept(kind: str, make_writing: MakeApp) -> None:
    """When it returns; in the transaction of the request."""
    ran: list[str] = []

    def write(*arguments: t.Any) -> t.Any:
        get_db().add(Item(name="plugin"))
        after_commit(ran.append, "plugin")
        return {} if kind == "context_processor" else arguments[0] if arguments else None

    app = make_writing(kind, write)

    assert app.test_client().post("/").status_code == 200
    assert sorted(names_of(app)) == ["plugin", "view POST"]
    assert ran == ["plugin"]


@pytest.mark.parametrize("kind", WRITING)
def test_what_the_database_refuses_is_its_failure(kind: str, make_writing: MakeApp) -> None:
    """What it left pending is sent while it is known whose it is: the view's commit does not fail with it."""

    def write(*arguments: t.Any) -> t.Any:
        get_db().add(Item(name="n" * 50))
        return {} if kind == "context_processor" else arguments[0] if arguments else None

    app = make_writing(kind, write)

    assert app.test_client().post("/").status_code == 200
    assert names_of(app) == ["view POST"]
    assert report_of(app).problem is not None
    assert "IntegrityError" in report_of(app).problem.summary


@pytest.mark.parametrize("kind", WRITING)
def test_what_the_database_refuses_of_the_view_is_not(kind: str, make_writing: MakeApp) -> None:
    """The same 409 as without the plugin, and the plugin has not failed."""

    def spoil() -> None:
        get_db().flush()
        # A change and not a new object: it is sent at the commit, and by whoever asks before.
        get_db().scalars(sa.select(Item)).one().name = "n" * 50

    def read(*arguments: t.Any) -> t.Any:
        get_db().execute(sa.select(Item.id))
        return {} if kind == "context_processor" else arguments[0] if arguments else None

    app = make_writing(kind, read, spoil)

    assert app.test_client().post("/").status_code == 409
    assert names_of(app) == []
    assert report_of(app).state == "active"


def test_a_returned_error_is_not_disturbed(make_db_app: MakeApp) -> None:
    """What it left pending is rolled back, and nobody looks whether it could have been sent."""
    app = make_db_app(make_plugin(lambda app: app.after_request(lambda response: response)))

    @app.post("/")
    def page() -> t.Any:
        get_db().add(Item(name="a"))
        get_db().flush()
        get_db().scalars(sa.select(Item)).one().name = "n" * 50
        return "refused", 400

    answer = app.test_client().post("/")
    assert (answer.status_code, answer.text) == (400, "refused")


def test_a_lookup_of_who_asks_is_made_again(make_writing: MakeApp) -> None:
    """The user that a failed function has loaded belongs to a session that is gone."""
    found: list[bool] = []

    def look() -> None:
        assert get_user() is not None
        raise Switch

    app = make_writing("before_request", look, lambda: found.append(get_user() in get_db()))
    headers = bearer(app, "ann@example.com")

    assert app.test_client().post("/", headers=headers).status_code == 200
    assert found == [True]


def test_templates_of_streamed_bodies(make_writing: MakeApp) -> None:
    """The task of the body is the one whose writes are undone."""

    def write() -> t.Any:
        get_db().add(Item(name="lost"))
        get_db().flush()
        raise Switch

    app = make_writing("context_processor", write)

    @app.get("/stream")
    def stream() -> Response:
        def body() -> t.Any:
            yield "a"
            get_db().add(Item(name="body"))
            yield render_template_string("b{{ word }}")

        return Response(body())

    assert app.test_client().get("/stream").text == "ab"
    assert names_of(app) == ["body"]


@pytest.mark.backend("sqlite")
def test_a_get_with_guards_takes_no_write_lock(make_db_app: MakeApp) -> None:
    """Two functions that read, the second in a savepoint; another task writes meanwhile."""
    names: list[str] = []

    def read() -> None:
        get_db().execute(sa.select(Item.id))
        with get_engine(app).connect() as other:
            other.execute(sa.insert(Item).values(name=f"meanwhile {len(names)}"))
            other.commit()
        names.append("read")

    def register(app: CustomFlask) -> None:
        app.before_request(read)
        app.before_request(lambda: read())

    app = make_db_app(make_plugin(register))
    app.add_url_rule("/", "page", lambda: "page")

    assert app.test_client().get("/").text == "page"
    assert (report_of(app).state, len(names)) == ("active", 2)


def test_unavailable_errors_travel() -> None:
    """The error of a critical plugin survives copies and other processes, as every ApiException does."""
    error = PluginUnavailableError("shop")
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (other.plugin, other.status, type(other).code) == ("shop", 503, 503)


def leave_flush() -> None:
    get_db().add(Item(name="there"))
    with contextlib.suppress(sa.exc.IntegrityError):
        get_db().flush()


def leave_statement() -> None:
    with contextlib.suppress(sa.exc.DBAPIError):
        get_db().execute(sa.text("SELECT nothing FROM nowhere"))


def leave_rollback() -> None:
    get_db().scalar(sa.select(sa.func.count()).select_from(Item))
    get_db().connection().rollback()


@pytest.mark.parametrize(
    ("leave", "kind"),
    [
        (leave_flush, "before_request"),
        (leave_flush, "after_request"),
        (leave_flush, "context_processor"),
        (leave_statement, "before_request"),
        (leave_statement, "after_request"),
        (leave_statement, "context_processor"),
        (leave_rollback, "before_request"),
    ],
)
def test_a_transaction_that_cannot_go_on_is_its_failure(
    leave: Callable[[], None], kind: str, backend: str, make_db_app: MakeApp
) -> None:
    """It has swallowed an error of the database: the site goes on, what the view wrote is there, and it is counted."""

    def function(*args: t.Any) -> t.Any:
        leave()
        return args[0] if args else {} if kind == "context_processor" else None

    app = make_db_app(make_plugin(lambda app: getattr(app, kind)(function)))
    with app.task():
        get_db().add(Item(name="there"))

    @app.post("/<name>")
    def add(name: str) -> str:
        get_db().add(Item(name=name))
        get_db().flush()
        return render_template_string(f"{{{{ {get_db().scalar(sa.select(sa.func.count()).select_from(Item))} }}}}")

    answers = [app.test_client().post(f"/{name}") for name in "ab"]

    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "2"), (200, "3")]
    with app.task(read_only=True):
        assert set(get_db().scalars(sa.select(Item.name))) == {"there", "a", "b"}
    # On SQLite a statement that fails leaves nothing behind.
    is_harmless = leave is leave_statement and backend == "sqlite"
    assert [guard.failures for guard in get_guards(app).guards] == [0 if is_harmless else 2]
