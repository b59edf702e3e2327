"""Every shape of make_response."""

from __future__ import annotations

import dataclasses
import typing as t
from collections import namedtuple
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from uuid import UUID

import pytest
from flask import Blueprint, Flask, Response, jsonify
from flask.views import MethodView, View

from myapp import ApiException, ApiResult, CustomFlask
from myapp.core.web.json import StrictJSONProvider


class User:
    """The founding example (document 003, slide 26)."""

    def __init__(self, id: int, username: str) -> None:
        self.id = id
        self.username = username

    def to_json(self) -> dict[str, t.Any]:
        return {"id": self.id, "username": self.username}


class Custom:
    """An object that makes its own response."""

    def to_response(self) -> t.Any:
        return {"made": "by hand"}, 203, {"X-Made": "yes"}


class Both(Custom):
    """to_response wins over to_json."""

    def to_json(self) -> t.Any:
        raise AssertionError


JOHN = {"id": 42, "username": "john"}
john = User(42, "john")
Point = namedtuple("Point", "x y")

SHAPES = [
    pytest.param(lambda: john, 200, JOHN, {}, id="obj"),
    pytest.param(lambda: (john, 201), 201, JOHN, {}, id="(obj, status)"),
    pytest.param(lambda: (john, {"X-A": "1"}), 200, JOHN, {"X-A": "1"}, id="(obj, headers)"),
    pytest.param(lambda: (john, "202 Fine", [("X-A", "1")]), 202, JOHN, {"X-A": "1"}, id="(obj, text, list)"),
    pytest.param(lambda: (john, 201, {"X-A": "1"}), 201, JOHN, {"X-A": "1"}, id="(obj, status, headers)"),
    pytest.param(lambda: [john, john], 200, [JOHN, JOHN], {}, id="[obj, obj]"),
    pytest.param(lambda: ([john], 201), 201, [JOHN], {}, id="([obj], status)"),
    pytest.param(
        lambda: {"user": john, "more": {"deep": [john]}}, 200, {"user": JOHN, "more": {"deep": [JOHN]}}, {}, id="dict"
    ),
    pytest.param(lambda: ({"user": john}, 201), 201, {"user": JOHN}, {}, id="(dict, status)"),
    pytest.param(lambda: jsonify(user=john), 200, {"user": JOHN}, {}, id="jsonify"),
    pytest.param(lambda: ApiResult(john), 200, JOHN, {}, id="ApiResult"),
    pytest.param(lambda: ApiResult([john], 201, {"X-A": "1"}), 201, [JOHN], {"X-A": "1"}, id="ApiResult all"),
    pytest.param(lambda: (ApiResult(john, 201), 202, {"X-A": "1"}), 202, JOHN, {"X-A": "1"}, id="(ApiResult, …)"),
    pytest.param(lambda: Custom(), 203, {"made": "by hand"}, {"X-Made": "yes"}, id="to_response"),
    pytest.param(lambda: (Custom(), 418), 418, {"made": "by hand"}, {"X-Made": "yes"}, id="(to_response, status)"),
    pytest.param(lambda: Both(), 203, {"made": "by hand"}, {}, id="both"),
    pytest.param(
        lambda: Response('{"plain": 1}', 206, mimetype="application/json"), 206, {"plain": 1}, {}, id="Response"
    ),
]


def mount_plain(app: Flask, view: t.Any) -> None:
    app.add_url_rule("/", view_func=view, endpoint="view")


def mount_async(app: Flask, view: t.Any) -> None:
    async def asynchronous() -> t.Any:
        return view()

    app.add_url_rule("/", view_func=asynchronous, endpoint="view")


def mount_class(app: Flask, view: t.Any) -> None:
    class Index(View):
        def dispatch_request(self) -> t.Any:
            return view()

    app.add_url_rule("/", view_func=Index.as_view("view"))


def mount_method(app: Flask, view: t.Any) -> None:
    class Index(MethodView):
        def get(self) -> t.Any:
            return view()

    app.add_url_rule("/", view_func=Index.as_view("view"))


def mount_handler(app: Flask, view: t.Any) -> None:
    app.register_error_handler(ZeroDivisionError, lambda _error: view())
    app.add_url_rule("/", view_func=lambda: 1 / 0, endpoint="view")  # type: ignore[arg-type,return-value]


def mount_status_handler(app: Flask, view: t.Any) -> None:
    app.register_error_handler(410, lambda _error: view())

    def gone() -> t.NoReturn:
        raise ApiException("gone", 410)

    app.add_url_rule("/", view_func=gone, endpoint="view")


def mount_before_request(app: Flask, view: t.Any) -> None:
    app.before_request(view)
    app.add_url_rule("/", view_func=lambda: "never", endpoint="view")


def mount_blueprint(app: Flask, view: t.Any) -> None:
    blueprint = Blueprint("shapes", __name__)
    blueprint.add_url_rule("/", view_func=view, endpoint="view")
    app.register_blueprint(blueprint)


MOUNTS = [
    mount_plain,
    mount_async,
    mount_class,
    mount_method,
    mount_handler,
    mount_status_handler,
    mount_before_request,
    mount_blueprint,
]


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize(("view", "status", "body", "headers"), SHAPES)
def test_shape(
    make_db_app: t.Any, mount: t.Any, view: t.Any, status: int, body: t.Any, headers: dict[str, str]
) -> None:
    """From views of every kind and from error handlers alike."""
    app = make_db_app()
    mount(app, view)
    answer = app.test_client().get("/")
    assert (answer.status_code, answer.json) == (status, body)
    assert {name: answer.headers[name] for name in headers} == headers


@pytest.mark.parametrize(("view", "status", "body", "headers"), SHAPES)
def test_shape_with_custom_flask_alone(view: t.Any, status: int, body: t.Any, headers: dict[str, str]) -> None:
    """Without create_app, with Flask's own JSON provider."""
    app = CustomFlask(__name__)
    mount_plain(app, view)
    answer = app.test_client().get("/")
    assert (answer.status_code, answer.json) == (status, body)
    assert {name: answer.headers[name] for name in headers} == headers


class Text:
    def to_json(self) -> str:
        return '{"encoded": "twice"}'


@pytest.mark.parametrize(
    ("view", "words"),
    [
        pytest.param(lambda: None, "did not return a valid response", id="None"),
        pytest.param(lambda: User, "Return User(…)", id="class"),
        pytest.param(lambda: [User], "Return User(…)", id="class in a list"),
        pytest.param(lambda: {"user": User}, "Return User(…)", id="class in a dict"),
        pytest.param(lambda: Text(), "returned text", id="text"),
        pytest.param(lambda: [Text()], "returned text", id="text in a list"),
        pytest.param(lambda: [object()], "to_json()", id="object"),
        pytest.param(lambda: object(), "valid response", id="bare object"),
        pytest.param(lambda: (1, 2, 3, 4), "valid response", id="tuple of four"),
    ],
)
def test_mistake_is_a_500_with_a_clear_line(make_db_app: t.Any, caplog: t.Any, view: t.Any, words: str) -> None:
    """The client learns nothing of it; the log says what to return."""
    app = make_db_app()
    mount_plain(app, view)
    answer = app.test_client().get("/")
    assert answer.status_code == 500
    assert answer.mimetype == "application/problem+json"
    assert words in caplog.text
    assert words not in answer.text


class Color(Enum):
    RED = "red"


@dataclasses.dataclass
class Row:
    name: str
    at: date


@dataclasses.dataclass
class Guarded:
    name: str
    password: str

    def to_json(self) -> dict[str, str]:
        return {"name": self.name}


class Markup:
    def __html__(self) -> str:
        return "<b>"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "null"),
        ([float("inf"), -float("inf")], "[null,null]"),
        (datetime(2026, 1, 2, 3, 4, 5), '"2026-01-02T03:04:05Z"'),
        (datetime(2026, 1, 2, 3, 4, 5, 6, timezone(timedelta(hours=2))), '"2026-01-02T01:04:05.000006Z"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (time(3, 4), '"03:04:00"'),
        (Decimal("1.10"), '"1.10"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        ({3, 1, 2}, "[1,2,3]"),
        (frozenset({"b", 1}), '[1,"b"]'),
        (2**70, "1180591620717411303424"),
        ({"n": [2**70, Decimal("1.5"), {2}, None, float("nan")]}, '{"n":[1180591620717411303424,"1.5",[2],null,null]}'),
        ({1: "a", None: "b", False: "c"}, '{"1":"a","null":"b","false":"c"}'),
        (Color.RED, '"red"'),
        (Row("a", date(2026, 1, 2)), '{"name":"a","at":"2026-01-02"}'),
        ([Guarded("a", "secret")], '[{"name":"a"}]'),
        (Markup(), '"<b>"'),
        (Point(1, 2), "[1,2]"),
        ("ü\u2028", '"ü\u2028"'),
    ],
)
def test_json_is_strict(app: CustomFlask, value: t.Any, text: str) -> None:
    """NaN, datetimes, Decimal, UUID, sets, big integers, dataclasses: readable by every client."""
    assert app.json.dumps(value) == text
    assert app.json.response(value).get_data(as_text=True) == text


def test_json_options(app: CustomFlask) -> None:
    """indent, sort_keys and separators as in the standard library, with the same strictness."""
    value = {"b": Decimal("1"), "a": float("nan")}
    assert app.json.dumps(value, sort_keys=True) == '{"a":null,"b":"1"}'
    assert app.json.dumps(value, indent=2) == '{\n  "b": "1",\n  "a": null\n}'
    assert app.json.dumps(value, separators=(", ", ": ")) == '{"b": "1", "a": null}'
    assert app.json.dumps(value, separators=(",", ":")) == '{"b":"1","a":null}'


#: With a number that orjson would not read exactly; nested too deeply for any decoder that recurses.
DEEP = "[" * 100_000 + "1180591620717411303424"


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[Infinity]",
        "{",
        "'a'",
        b"\xff",
        "",
        "1180591620717411303424 NaN",
        "[1e400,1180591620717411303424]",
        '["\\ud800",1180591620717411303424]',
        pytest.param(DEEP, id="deep"),
    ],
)
def test_json_that_is_none_is_refused(app: CustomFlask, text: str | bytes) -> None:
    """A ValueError for whatever RFC 8259 does not allow."""
    with pytest.raises(ValueError):  # noqa: PT011 - its text is the decoder's.
        app.json.loads(text)


def test_json_reads_integers_exactly(app: CustomFlask) -> None:
    """Not through a float, whatever their size."""
    assert app.json.loads(f'{{"n": {2**70}, "m": [{2**63}, -{2**64}]}}') == {"n": 2**70, "m": [2**63, -(2**64)]}
    assert app.json.loads(b'{"a": 1.5}') == {"a": 1.5}


def test_json_error_of_an_object_keeps_its_own_traceback(app: CustomFlask) -> None:
    """An exception in to_json is shown as itself, not as a TypeError of the encoder."""

    class Broken:
        def to_json(self) -> t.Any:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        app.json.dumps([Broken()])


def test_json_answers_are_not_sniffed(app: CustomFlask) -> None:
    """nosniff, and the media type without a charset (RFC 8259)."""
    assert isinstance(app.json, StrictJSONProvider)
    headers = app.test_client().get("/demo/add?a=1&b=2").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Type"] == "application/json"
