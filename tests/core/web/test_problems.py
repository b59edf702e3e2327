"""Errors as problem+json or as pages."""

from __future__ import annotations

import copy
import pickle
import typing as t

import pytest
from flask import Response, abort, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import HTTPException, NotFound, Unauthorized

from myapp import ApiException, ApiResult, ValidationError
from myapp.core.web import read_json

if t.TYPE_CHECKING:
    from myapp import CustomFlask


def test_problem_has_every_member(db_app: CustomFlask) -> None:
    """RFC 9457's members, the request id, and the exception's own."""

    @db_app.get("/teapot")
    def view() -> t.NoReturn:
        raise ApiException(
            "Short and stout.", 418, type="/problems/teapot", headers={"X-Tea": "1"}, pot="big", status2=1
        )

    answer = db_app.test_client().get("/teapot")
    assert answer.mimetype == "application/problem+json"
    assert answer.json == {
        "type": "/problems/teapot",
        "title": "I'm a teapot",
        "status": 418,
        "detail": "Short and stout.",
        "instance": "/teapot",
        "request_id": answer.headers["X-Request-ID"],
        "pot": "big",
        "status2": 1,
    }
    assert answer.headers["X-Tea"] == "1"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_validation_error_lists_every_failure(db_app: CustomFlask) -> None:
    """422 with a pointer or a parameter for each; the input is never echoed."""

    @db_app.get("/one")
    def one() -> t.NoReturn:
        raise ValidationError("a/b", "must be shorter")

    @db_app.get("/two")
    def two() -> t.NoReturn:
        raise ValidationError(
            errors=[{"parameter": "a", "detail": "no"}, {"pointer": "/b", "code": "x", "detail": "no"}]
        )

    client = db_app.test_client()
    first = client.get("/one").json
    assert (first["status"], first["title"]) == (422, "Unprocessable Content")
    assert first["errors"] == [{"pointer": "/a~1b", "detail": "must be shorter"}]
    assert [set(entry) for entry in client.get("/two").json["errors"]] == [
        {"parameter", "detail"},
        {"pointer", "code", "detail"},
    ]
    with pytest.raises(ValueError, match="names what is wrong"):
        ValidationError()
    with pytest.raises(ValueError, match="400 to 599"):
        ApiException("fine", 200)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/problem+json"),
        ("*/*", "application/problem+json"),
        ("text/*", "application/problem+json"),
        ("application/json", "application/problem+json"),
        ("text/html", "text/html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/html;q=0.5, application/json", "application/problem+json"),
        ("text/html, application/problem+json;q=0.9", "text/html"),
        ("text/html, application/json", "application/problem+json"),
        ("garbage;;;q=x", "application/problem+json"),
    ],
)
def test_html_only_for_who_prefers_it(db_app: CustomFlask, accept: str | None, media_type: str) -> None:
    """Where Accept names text/html with a higher quality than any JSON type."""
    answer = db_app.test_client().get("/nowhere", headers={} if accept is None else {"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (404, media_type)
    if media_type == "text/html":
        assert answer.headers["X-Request-ID"] in answer.text


def test_page_escapes_and_does_not_depend_on_what_broke(db_app: CustomFlask, caplog: t.Any) -> None:
    """A context processor that raises on every page: the error is still answered, as a bare page."""
    broken = False
    db_app.get("/x")(lambda: abort(400, "<script>alert(1)</script>"))
    db_app.context_processor(lambda: {"broken": 1 / 0} if broken else {})
    client = db_app.test_client()
    page = client.get("/x", headers={"Accept": "text/html"})
    assert "<script>" not in page.text
    assert "myapp.css" in page.text
    broken = True
    bare = client.get("/x", headers={"Accept": "text/html"})
    assert (bare.status_code, bare.mimetype) == (400, "text/html")
    assert "<script>" not in bare.text
    assert "could not be rendered" in caplog.text


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"pin": hunter2}', "expected a JSON value (line 1, column 9)."),
        (b'{"pin": 1,\n "hunter2": }', "(line 2, column 13)."),
        (b"", "zero-length, empty document (line 1, column 1)."),
        (b'["hunter2\xff"]', "(line 1, column "),
        (b"[" * 5000 + b"1" * 30 + b"]" * 5000, "The body is not JSON"),
    ],
)
def test_json_that_cannot_be_read_is_a_400_that_says_where(db_app: CustomFlask, body: bytes, says: str) -> None:
    """The place, for `get_json()` and for what reads a body for `@background`, and nothing of what was sent."""
    db_app.post("/plain", endpoint="plain")(lambda: {"got": request.get_json()})
    db_app.post("/ours", endpoint="ours")(lambda: {"got": read_json()})
    for path in ("/plain", "/ours"):
        answer = db_app.test_client().post(path, data=body, content_type="application/json")
        assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
        assert says in answer.json["detail"]
        assert "hunter2" not in answer.text
    form = db_app.test_client().post("/plain", data={"pin": "hunter2"})
    assert form.status_code == 415
    assert "application/json" in form.json["detail"]


def test_headers_of_the_exception_stay(db_app: CustomFlask) -> None:
    """405 Allow, 401 WWW-Authenticate, 429 and 503 Retry-After; HEAD has the same headers and no body."""
    db_app.post("/post")(lambda: "ok")
    db_app.add_url_rule(
        "/401", "a", lambda: (_ for _ in ()).throw(Unauthorized(www_authenticate=WWWAuthenticate("bearer")))
    )
    db_app.add_url_rule(
        "/429", "b", lambda: (_ for _ in ()).throw(ApiException("slow", 429, headers={"Retry-After": "7"}))
    )
    client = db_app.test_client()
    assert set(client.get("/post").headers["Allow"].split(", ")) == {"POST", "OPTIONS"}
    assert client.get("/401").headers["WWW-Authenticate"].lower().startswith("bearer")
    assert client.get("/429").headers["Retry-After"] == "7"
    head, get = client.head("/429"), client.get("/429")
    assert head.data == b""
    varying = {"X-Request-ID", "Content-Length"}
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in get.headers.items() if k not in varying
    }


def test_500_tells_the_request_id_and_nothing_else(db_app: CustomFlask) -> None:
    """No text of the exception, no path, as JSON and as a page."""

    @db_app.get("/")
    def view() -> t.NoReturn:
        raise RuntimeError("password=hunter2")

    for accept in ("*/*", "text/html"):
        answer = db_app.test_client().get("/", headers={"Accept": accept})
        assert answer.status_code == 500
        assert answer.headers["X-Request-ID"] in answer.text
        assert not any(word in answer.text for word in ("hunter2", "RuntimeError", "Traceback", "/tests/"))


def test_handlers_of_the_team_win(db_app: CustomFlask) -> None:
    """For a status, for a class and for HTTPException itself."""
    db_app.register_error_handler(404, lambda _e: ("mine: 404", 404))
    db_app.register_error_handler(LookupError, lambda _e: ("mine: lookup", 400))
    db_app.add_url_rule("/lookup", "lookup", lambda: (_ for _ in ()).throw(KeyError("x")))
    db_app.register_error_handler(HTTPException, lambda e: (f"mine: {e.code}", e.code))
    client = db_app.test_client()
    assert client.get("/nowhere").text == "mine: 404"
    assert client.get("/lookup").text == "mine: lookup"
    assert client.post("/lookup").text == "mine: 405"


def test_returned_exception_is_a_problem_too(db_app: CustomFlask) -> None:
    """`return e` in a handler, and `return NotFound()` in a view."""
    db_app.register_error_handler(410, lambda e: e)
    db_app.get("/gone")(lambda: abort(410))
    db_app.add_url_rule("/none", "none", lambda: (NotFound("nothing here"), {"X-A": "1"}))
    client = db_app.test_client()
    assert client.get("/gone").json["status"] == 410
    answer = client.get("/none")
    assert (answer.status_code, answer.json["detail"], answer.headers["X-A"]) == (404, "nothing here", "1")


def test_exception_that_makes_its_own_answer(db_app: CustomFlask) -> None:
    """Werkzeug's documented way: a class that overrides get_response()."""

    class Payment(HTTPException):
        code = 402

        def get_response(self, environ: t.Any = None, scope: t.Any = None) -> t.Any:
            return Response("pay first", 402)

    db_app.add_url_rule("/", "view", lambda: (_ for _ in ()).throw(Payment()))
    answer = db_app.test_client().get("/")
    assert (answer.status_code, answer.text) == (402, "pay first")


def test_problem_that_cannot_be_encoded_is_answered(db_app: CustomFlask, caplog: t.Any) -> None:
    """Lone surrogates, members without a JSON form: the status stays."""
    # A log line with a lone surrogate cannot be sent from one test process to another.
    caplog.set_level("CRITICAL", logger="myapp.web")
    db_app.add_url_rule("/a", "a", lambda: (_ for _ in ()).throw(ApiException("\ud800", 410)))
    db_app.add_url_rule("/b", "b", lambda: (_ for _ in ()).throw(ApiException("x", 411, more=object())))
    client = db_app.test_client()
    assert (client.get("/a").status_code, client.get("/a").json["detail"]) == (410, "?")
    assert client.get("/b").status_code == 411


def test_api_exception_can_be_copied_and_sent_elsewhere() -> None:
    """Between processes, with its status and what it carries; also as Werkzeug's exception of the status."""
    for error in (ApiException("gone", 410, headers={"X-A": "1"}, more=1), ValidationError("a", "bad")):
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert (type(twin), str(twin), twin.extra) == (type(error), str(error), error.extra)
    assert isinstance(ApiException("none", 404), NotFound)


def test_headers_may_repeat(db_app: CustomFlask) -> None:
    """Two links are two headers, of an exception and of a result."""
    links = [("Link", "</a>"), ("Link", "</b>")]
    db_app.add_url_rule("/e", "e", lambda: (_ for _ in ()).throw(ApiException("x", headers=links)))
    db_app.add_url_rule("/r", "r", lambda: ApiResult({}, headers=links))
    for path in ("/e", "/r"):
        assert db_app.test_client().get(path).headers.getlist("Link") == ["</a>", "</b>"]


def test_slash_redirect_is_no_error(db_app: CustomFlask) -> None:
    """Werkzeug's routing redirects pass."""
    db_app.get("/folder/")(lambda: "ok")
    answer = db_app.test_client().get("/folder")
    assert (answer.status_code, answer.headers["Location"]) == (308, "http://localhost/folder/")


def test_demo_names_both_bad_numbers(app: CustomFlask) -> None:
    """GET /demo/add: the founding example, and one 422 for everything that is wrong."""
    client = app.test_client()
    assert client.get("/demo/add?a=2&b=3").json == {"sum": 5}
    assert client.get("/demo/add?a=-2&b=%2B3").json == {"sum": 1}
    for query in ("", "?a=x&b=1.5", "?a=²&b=١", f"?a={'9' * 31}&b=1_0"):
        answer = client.get(f"/demo/add{query}")
        assert answer.status_code == 422
        assert [entry["parameter"] for entry in answer.json["errors"]] == ["a", "b"]
