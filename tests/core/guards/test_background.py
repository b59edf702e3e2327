"""``background``: a view that runs as a job, wherever it stands and whatever it returns."""

from __future__ import annotations

import enum
import functools
import io
import typing as t
import uuid
from datetime import UTC, datetime

import pydantic
import pytest
import sqlalchemy as sa
from flask import Blueprint, Response, abort, has_request_context, jsonify, redirect
from flask.views import MethodView, View
from werkzeug.routing import BaseConverter

from myapp import ApiException, ApiResult, CustomFlask, background, get_db, get_user, hookimpl, public, scopes
from myapp.core.data import get_engine
from myapp.core.work import Failure, Job, drain
from myapp.testing import bearer
from tests.conftest import Item

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.test import TestResponse

    from tests.databases import Tables


class Thing:
    """Something with a ``to_json``."""

    def to_json(self) -> dict[str, t.Any]:
        """Return plain data, but for what the provider encodes."""
        return {"at": datetime(2026, 1, 2, tzinfo=UTC), "ids": {2, 1}}


class Order(pydantic.BaseModel):
    """A body, as strict as they come."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid")

    name: str
    due: datetime


@pytest.fixture
def make(make_app: Callable[..., CustomFlask], tables: Tables) -> Callable[..., CustomFlask]:
    """Return a function that builds an app whose database has items; on SQLite: none of this is about databases."""

    def build(*plugins: t.Any, **config: t.Any) -> CustomFlask:
        app = make_app(*plugins, config={"PROPAGATE_EXCEPTIONS": False, "MYAPP_PROFILE": "development", **config})
        tables.make(app)
        Item.metadata.create_all(get_engine(app))
        return app

    return build


@pytest.fixture
def app(make: Callable[..., CustomFlask]) -> CustomFlask:
    """Return an app with the blueprints of the core."""
    return make()


def find(app: CustomFlask, job_id: str) -> Job:
    with app.task(read_only=True):
        return t.cast("Job", get_db().get(Job, job_id))


def names(app: CustomFlask) -> list[str]:
    with app.task(read_only=True):
        return list(get_db().scalars(sa.select(Item.name)))


def run(app: CustomFlask, answer: TestResponse) -> t.Any:
    """Check that the answer is a 202, run the job, and return what it returned."""
    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "1")
    job_id = answer.json["job"]
    assert answer.headers["Location"] == f"/jobs/{job_id}"
    assert answer.json == {"job": job_id, "status": "queued", "href": f"/jobs/{job_id}"}
    assert [(ended.claim.id, ended.state, ended.error) for ended in drain(app)] == [(job_id, "done", None)]
    return find(app, job_id).value


def failure(app: CustomFlask, answer: TestResponse) -> Failure:
    """Run the job of an answer, which fails for good at its first attempt, and return why."""
    assert answer.status_code == 202
    [ended] = drain(app)
    assert ended.state == "failed"
    return t.cast("Failure", Failure.from_text(find(app, ended.claim.id).error))


def test_view_runs_as_a_job_without_a_request(app: CustomFlask) -> None:
    """The answer comes before the view has run; its arguments come with their types, its writes commit."""
    seen: list[t.Any] = []

    @app.post("/reports/<int:year>/<name>", defaults={"kind": "power"})
    @background
    def report(year: int, name: str, kind: str) -> dict[str, t.Any]:
        seen.append((year, name, kind, has_request_context()))
        get_db().add(Item(name=name))
        return {"year": year}

    answer = app.test_client().post("/reports/2024/a%20b")
    assert (seen, names(app)) == ([], [])
    assert run(app, answer) == {"year": 2024}
    assert (seen, names(app)) == ([(2024, "a b", "power", False)], ["a b"])


def test_rolled_back_request_leaves_no_job(app: CustomFlask) -> None:
    """An ``after_request`` function that fails: 500, and nothing runs."""

    @app.post("/view")
    @background
    def view() -> str:
        return "done"

    @app.after_request
    def fail(_response: t.Any) -> t.NoReturn:
        raise ZeroDivisionError

    assert app.test_client().post("/view").status_code == 500
    assert drain(app) == []


def with_parentheses(view: t.Any) -> t.Any:
    return background(queue="slow", retries=0, timeout=7)(view)


@pytest.mark.parametrize("decorator", [background, background(), with_parentheses], ids=["bare", "called", "options"])
def test_with_and_without_parentheses(app: CustomFlask, decorator: t.Any) -> None:
    """And with options, which are those of the job."""

    @app.post("/view")
    @decorator
    def view() -> str:
        return "done"

    answer = app.test_client().post("/view")
    row = find(app, answer.json["job"])
    expected = ("slow", 1, 7.0) if decorator is with_parentheses else ("default", 5, 3600.0)
    assert (row.queue, row.max_attempts, row.timeout) == expected
    assert run(app, answer) == "done"


def test_async_view(app: CustomFlask) -> None:
    """It runs to its end in the job."""

    @app.get("/<int:number>")
    @background
    async def view(number: int) -> dict[str, int]:
        return {"number": number}

    assert run(app, app.test_client().get("/3")) == {"number": 3}


class Methods(MethodView):
    """Around a method; the class has arguments of its own."""

    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    def get(self, name: str) -> str:
        """Answer at once."""
        return f"now {name}"

    @scopes("greet")
    @background
    def post(self, name: str) -> str:
        """Answer later."""
        return f"{self.greeting} {name}"

    @background
    @scopes("greet")
    async def put(self, name: str) -> str:
        """Answer later."""
        return f"{self.greeting} {name}!"


class Kept(Methods):
    """One object for all requests."""

    init_every_request = False


class Whole(MethodView):
    """Around the whole class; a method asks for a scope."""

    decorators: t.ClassVar[t.Any] = [scopes("see"), background]

    def get(self, name: str) -> str:
        """Answer HEAD too."""
        return f"see {name}"

    @scopes("greet")
    def post(self, name: str) -> str:
        """Need both scopes."""
        return f"greet {name}"


class Plain(View):
    """A class without methods."""

    decorators: t.ClassVar[t.Any] = [background]
    methods: t.ClassVar[t.Any] = ["POST"]

    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    def dispatch_request(self, name: str) -> str:
        """Answer everything."""
        return f"{self.greeting} {name}"


def test_class_based_views(app: CustomFlask) -> None:
    """Around methods and around classes, with the arguments of ``as_view``; scopes are asked for before the answer."""
    for cls in (Methods, Kept):
        app.add_url_rule(f"/{cls.__name__}/<name>", view_func=cls.as_view(cls.__name__, "hello"))
    app.add_url_rule("/plain/<name>", view_func=Plain.as_view("plain", greeting="bye"))
    app.add_url_rule("/whole/<name>", view_func=Whole.as_view("whole"))
    client = app.test_client()
    headers = bearer(app, "ann@example.com", "greet", "see")

    assert client.get("/Methods/ann").text == "now ann"
    for cls in (Methods, Kept):
        assert run(app, client.post(f"/{cls.__name__}/ann", headers=headers)) == "hello ann"
        assert run(app, client.put(f"/{cls.__name__}/ann", headers=headers)) == "hello ann!"
        assert client.post(f"/{cls.__name__}/ann").status_code == 401
        assert client.put(f"/{cls.__name__}/ann", headers=bearer(app, "ann@example.com")).status_code == 403
    assert run(app, client.post("/plain/ann")) == "bye ann"
    assert run(app, client.get("/whole/ann", headers=headers)) == "see ann"
    assert run(app, client.post("/whole/ann", headers=headers)) == "greet ann"
    assert client.post("/whole/ann", headers=bearer(app, "ann@example.com", "see")).status_code == 403
    assert client.head("/whole/ann", headers=headers).status_code == 202
    assert [ended.state for ended in drain(app)] == ["done"]


def test_class_with_a_foreign_decorator_below_is_refused(app: CustomFlask) -> None:
    """It would be left out, and it may be the one that asks who may: the request fails, and says what to do."""

    def foreign(view: t.Any) -> t.Any:
        @functools.wraps(view)
        def wrapped(*args: t.Any, **kwargs: t.Any) -> t.Any:
            return view(*args, **kwargs)

        return wrapped

    class Guarded(MethodView):
        decorators: t.ClassVar[t.Any] = [foreign, background]

        def post(self) -> str:
            return "done"

    app.add_url_rule("/view", view_func=Guarded.as_view("guarded"))
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(TypeError, match="around the methods"):
        app.test_client().post("/view")
    assert drain(app) == []


def test_blueprints_and_plugins(make: Callable[..., CustomFlask]) -> None:
    """The endpoint of a nested blueprint, and of a plugin's, leads to the view in the job."""
    outer, inner = Blueprint("outer", __name__, url_prefix="/outer"), Blueprint("inner", __name__, url_prefix="/inner")

    @inner.get("/<uuid:key>")
    @background
    def view(key: uuid.UUID) -> str:
        assert isinstance(key, uuid.UUID)
        return f"inner {key}"

    outer.register_blueprint(inner)
    plugin_blueprint = Blueprint("shop", __name__)

    @plugin_blueprint.post("/sell")
    @public
    @background
    def sell() -> str:
        return "sold"

    class Shop:
        __name__ = "shop"

        @hookimpl
        def myapp_blueprints(self, app: t.Any, plugin: t.Any) -> Blueprint:
            return plugin_blueprint

    app = make(Shop())
    app.register_blueprint(outer)
    key = uuid.uuid4()
    assert run(app, app.test_client().get(f"/outer/inner/{key}")) == f"inner {key}"
    assert run(app, app.test_client().post("/shop/sell")) == "sold"


class Color(enum.StrEnum):
    """What a converter may make of a part of the URL."""

    RED = "red"


class ColorConverter(BaseConverter):
    """Gives a member, which is a text and more than that."""

    def to_python(self, value: str) -> Color:
        return Color(value)


def test_arguments_that_are_more_than_a_text(app: CustomFlask) -> None:
    """A member of an enum is one in the job, too."""
    app.url_map.converters["color"] = ColorConverter

    @app.post("/paint/<color:color>")
    @background
    def paint(color: Color) -> str:
        return type(color).__name__

    assert run(app, app.test_client().post("/paint/red")) == "Color"


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (lambda: {"a": [1, 2.5, None]}, {"a": [1, 2.5, None]}),
        (lambda: [Thing()], [{"at": "2026-01-02T00:00:00Z", "ids": [1, 2]}]),
        (lambda: (Thing(), 201), {"at": "2026-01-02T00:00:00Z", "ids": [1, 2]}),
        (lambda: ({"a": 2**70}, 201, {"X-A": "b"}), {"a": 2**70}),
        (lambda: ApiResult([1], 201), [1]),
        (lambda: jsonify(a=1), {"a": 1}),
        (lambda: "text", "text"),
        (lambda: ("", 204), ""),
        (lambda: Item(id=1, name="a", secret="hash"), {"id": 1, "name": "a"}),
    ],
    ids=["dict", "list", "tuple", "headers", "ApiResult", "jsonify", "text", "nothing", "model"],
)
def test_whatever_a_view_returns_is_the_result(app: CustomFlask, answer: t.Any, result: t.Any) -> None:
    """As JSON, encoded as an answer would be; the status of a success is dropped."""
    app.add_url_rule("/view", view_func=background(lambda: answer()), endpoint="view", methods=["POST"])
    assert run(app, app.test_client().post("/view")) == result


@pytest.mark.parametrize(
    "answer", [lambda: None, lambda: (None, 200), object, lambda: Response(b"\0", mimetype="image/png")]
)
def test_what_no_view_may_return_fails_the_job(app: CustomFlask, answer: t.Any) -> None:
    """As it is a 500 in a request; it is tried again, as every error of the code is."""
    app.add_url_rule("/view", view_func=background(retries=0)(lambda: answer()), endpoint="view")
    app.test_client().get("/view")
    assert [(ended.state, type(ended.error)) for ended in drain(app)] == [("dead", TypeError)]


def test_an_error_on_purpose_is_the_failure_and_rolls_back(app: CustomFlask) -> None:
    """An ApiException, ``abort``, and a returned status of 400 or more: once, with the problem, and without a write."""

    @app.post("/<kind>")
    @background
    def view(kind: str) -> t.Any:
        get_db().add(Item(name=kind))
        if kind == "raised":
            raise ApiException("No meter.", 404, type="https://example.com/no-meter", meter="south")
        if kind == "response":
            abort(Response("short and stout", 418))
        return (Thing(), 422) if kind == "object" else ("Too late.", 409)

    client = app.test_client()
    problem = t.cast("dict[str, t.Any]", failure(app, client.post("/raised")).problem)
    assert problem["type"] == "https://example.com/no-meter"
    assert (problem["status"], problem["detail"], problem["meter"]) == (404, "No meter.", "south")
    problem = t.cast("dict[str, t.Any]", failure(app, client.post("/object")).problem)
    assert (problem["status"], problem["result"]["ids"]) == (422, [1, 2])
    problem = t.cast("dict[str, t.Any]", failure(app, client.post("/text")).problem)
    assert (problem["status"], problem["detail"]) == (409, "Too late.")
    problem = t.cast("dict[str, t.Any]", failure(app, client.post("/response")).problem)
    assert (problem["status"], problem["title"]) == (418, "I'm a teapot")
    assert names(app) == []


def test_principal_travels(app: CustomFlask) -> None:
    """``get_user()`` and its scopes are those of the request, not of its end; nobody stays nobody."""

    @app.get("/who")
    @background
    def who() -> dict[str, t.Any]:
        user = get_user()
        return {"address": None if user is None else user.address}

    client = app.test_client()
    assert run(app, client.get("/who", headers=bearer(app, "ann@example.com"))) == {"address": "ann@example.com"}
    assert run(app, client.get("/who")) == {"address": None}
    assert client.get("/who", headers={"Authorization": "Bearer rubbish"}).status_code == 401


@pytest.mark.parametrize("turned", [False, True], ids=["above", "below"])
def test_scopes_are_asked_for_before_the_answer(app: CustomFlask, turned: bool) -> None:
    """Whichever of the two is written first; the job has them, and is not stopped by them."""
    decorators = [scopes("reports"), background]
    first, second = reversed(decorators) if turned else decorators

    @app.post("/view")
    @first
    @second
    def view() -> str:
        return t.cast("t.Any", get_user()).address

    client = app.test_client()
    assert client.post("/view").status_code == 401
    assert client.post("/view", headers=bearer(app, "ann@example.com")).status_code == 403
    assert drain(app) == []
    assert run(app, client.post("/view", headers=bearer(app, "ann@example.com", "reports"))) == "ann@example.com"


def test_foreign_decorators_run_where_they_stand(app: CustomFlask) -> None:
    """Above with the request, below in the job; one above that hides the view is told so."""
    calls: list[tuple[str, bool]] = []

    def foreign(name: str, *, hides: bool = False) -> t.Any:
        def decorate(view: t.Any) -> t.Any:
            def wrapped(*args: t.Any, **kwargs: t.Any) -> t.Any:
                calls.append((name, has_request_context()))
                return view(*args, **kwargs)

            return wrapped if hides else functools.wraps(view)(wrapped)

        return decorate

    def view() -> str:
        return "done"

    app.add_url_rule("/view", "view", foreign("above")(background(foreign("below")(view))))
    app.add_url_rule("/hidden", "hidden", foreign("above", hides=True)(background(view)))
    assert run(app, app.test_client().get("/view")) == "done"
    assert calls == [("above", True), ("below", False)]
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(TypeError, match=r"functools\.wraps"):
        app.test_client().get("/hidden")


def test_validated_body_travels(app: CustomFlask) -> None:
    """It is validated before the answer, and is the model in the job, also what JSON has no type for."""

    @app.post("/orders/<name>")
    @background
    def order(name: str, body: Order) -> dict[str, t.Any]:
        assert isinstance(body, Order)
        return {"of": name, "name": body.name, "year": body.due.year}

    client = app.test_client()
    answer = client.post("/orders/ann", json={"name": "tea", "due": "2027-01-01T00:00:00Z"})
    assert run(app, answer) == {"of": "ann", "name": "tea", "year": 2027}
    wrong = client.post("/orders/ann", json={"name": 1, "due": "soon", "a/b": 3})
    assert (wrong.status_code, {error["pointer"] for error in wrong.json["errors"]}) == (
        422,
        {"/name", "/due", "/a~1b"},
    )
    assert client.post("/orders/ann", data="name=tea").status_code == 415
    assert client.post("/orders/ann", data="{", content_type="application/json").status_code == 400
    deep = "[" * 500 + "]" * 500
    assert client.post("/orders/ann", data=deep, content_type="application/json").status_code == 400
    assert drain(app) == []


def test_plain_body_and_none_at_all(app: CustomFlask) -> None:
    """Without an annotation the body is what JSON says; with a default it may be absent."""

    @app.post("/any")
    @background
    def anything(body):  # type: ignore[no-untyped-def]
        return {"got": body}

    @app.post("/maybe")
    @background
    def maybe(body: Order | None = None) -> dict[str, t.Any]:
        return {"got": body}

    client = app.test_client()
    assert run(app, client.post("/any", json=["é", None, 2**70])) == {"got": ["é", None, 2**70]}
    assert client.post("/any").status_code == 415
    assert run(app, client.post("/maybe")) == {"got": None}
    # As servers pass a chunked body on: it has an end, and no length.
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_TYPE": "application/json"}
    body = io.BytesIO(b'{"name": "tea", "due": "2027-01-01T00:00:00Z"}')
    answer = client.post("/maybe", input_stream=body, environ_overrides=chunked)
    assert run(app, answer)["got"]["name"] == "tea"


def test_view_that_is_gone_is_a_dead_letter(make: Callable[..., CustomFlask], tmp_path: t.Any) -> None:
    """After a deployment without it: dead, with what to do, and tried again by hand once it is back."""
    shared = {"MYAPP_DATABASE_URL": f"sqlite:///{tmp_path}/shared.sqlite3", "MYAPP_BLUEPRINT_PACKAGES": ()}
    old, new = make(**shared), make(**shared)
    old.add_url_rule("/view", "view", background(lambda: "done"))
    answer = old.test_client().get("/view")
    assert answer.status_code == 202
    # Without the blueprint `jobs` there is no address to send the client to.
    assert answer.json == {"job": answer.json["job"], "status": "queued"}
    [ended] = drain(new)
    assert (ended.state, "endpoint view" in str(ended.error)) == ("dead", True)


def test_outside_of_a_request_a_call_runs_the_view(app: CustomFlask) -> None:
    """In a command or another job it is the function that it looks like."""

    @background
    def view(number: int) -> int:
        return number + 1

    with app.task():
        assert view(1) == 2
    assert drain(app) == []


def test_mistakes_are_found_where_they_are_written() -> None:
    """A class, an unknown option, a wrong value."""
    with pytest.raises(TypeError, match="decorators"):
        background(Plain)
    with pytest.raises(TypeError, match="has no option que; it has atomic"):
        background(que="slow")
    with pytest.raises(ValueError, match="retries"):
        background(retries=-1)


def test_redirect_is_no_result_of_a_job(app: CustomFlask) -> None:
    """Nobody is there to follow it: what it returns is its text."""
    app.add_url_rule("/view", "view", background(lambda: redirect("/elsewhere")))
    assert "elsewhere" in run(app, app.test_client().get("/view"))
