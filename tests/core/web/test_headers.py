"""What a browser is told about a page: policy, nonce, sniffing, referrer."""

from __future__ import annotations

import re
import types
import typing as t

import pytest
from flask import Blueprint, Response, abort, make_response, render_template_string, stream_template_string

from myapp import ApiException
from myapp.core.errors import PluginError

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

    from myapp import CustomFlask

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"
DEFAULT = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none';"
    " frame-ancestors 'none'; form-action 'self'"
)


@pytest.fixture
def page_client(make_app: MakeApp) -> FlaskClient:
    """Return a client of an app with a page of each kind."""
    app = make_app(config={"MYAPP_BLUEPRINT_PACKAGES": (), "PROPAGATE_EXCEPTIONS": False})
    app.add_url_rule("/page", "page", lambda: "page")
    app.add_url_rule("/json", "json", lambda: {"a": 1})
    app.add_url_rule("/text", "text", lambda: ("a", {"Content-Type": "text/plain"}))
    app.add_url_rule("/stream", "stream", lambda: Response(iter(["a", "b"])))
    app.add_url_rule("/error", "error", lambda: abort(400))
    app.add_url_rule("/broken", "broken", lambda: 1 / 0)
    app.add_url_rule("/nonce", "nonce", lambda: render_template_string("{{ csp_nonce() }} {{ csp_nonce() }}"))
    return app.test_client()


@pytest.mark.parametrize("path", ["/page", "/stream", "/error", "/broken", "/nothing"])
def test_pages_have_a_policy(page_client: FlaskClient, path: str) -> None:
    """Answers of views, streams and errors alike."""
    headers = page_client.get(path, headers={"Accept": "text/html"}).headers

    assert headers["Content-Security-Policy"] == DEFAULT
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_what_is_no_page_has_none(page_client: FlaskClient) -> None:
    """Nothing is sniffed."""
    for path, sniffed in (("/json", "nosniff"), ("/text", "nosniff"), ("/static/myapp.css", "nosniff")):
        with page_client.get(path) as answer:
            assert "Content-Security-Policy" not in answer.headers, path
            assert answer.headers.get("X-Content-Type-Options") == sniffed, path
    later = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    with page_client.get("/static/myapp.css", headers=later) as not_modified:
        pass
    assert (not_modified.status_code, "Content-Security-Policy" in not_modified.headers) == (304, False)


def test_a_nonce_is_made_when_it_is_asked_for(page_client: FlaskClient) -> None:
    """One for each answer, in the page and in the header, for scripts and sheets."""
    nonces = set()
    for _ in range(3):
        answer = page_client.get("/nonce")
        first, second = answer.text.split()
        assert first == second
        assert re.fullmatch(r"[A-Za-z0-9_-]{22}", first)
        directives = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        assert directives["script-src"] == f"'self' 'nonce-{first}'"
        assert directives["style-src"] == f"'self' 'nonce-{first}'"
        assert "nonce" not in directives["default-src"]
        nonces.add(first)
    assert len(nonces) == 3


def test_what_a_view_sets_wins(make_app: MakeApp) -> None:
    """Each of the headers; also one that an ``after_request`` function has set."""
    app = make_app()
    own = {
        "Content-Security-Policy": "default-src *",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "own",
    }

    @app.get("/own")
    def view() -> Response:
        answer = make_response(render_template_string("{{ csp_nonce() }}"))
        answer.headers.update(own)
        return answer

    headers = app.test_client().get("/own").headers
    assert {name: headers[name] for name in own} == own
    assert len(headers.getlist("Content-Security-Policy")) == 1


def test_a_nonce_cannot_come_after_the_headers(make_app: MakeApp) -> None:
    """A streamed template asks in the view, or is told why its scripts would not run."""
    app = make_app()
    app.add_url_rule("/late", "late", lambda: Response(stream_template_string("a{{ csp_nonce() }}")))

    @app.get("/early")
    def early() -> Response:
        return Response(stream_template_string("{{ nonce }}", nonce=render_template_string("{{ csp_nonce() }}")))

    with pytest.raises(RuntimeError, match="before the response is made"):
        _ = app.test_client().get("/late").data
    answer = app.test_client().get("/early")
    assert f"'nonce-{answer.text}'" in answer.headers["Content-Security-Policy"]


def test_the_last_resort_has_a_policy(make_app: MakeApp) -> None:
    """The 500 for an error that comes up while another one is answered."""
    app = make_app(config={"PROPAGATE_EXCEPTIONS": False})
    app.add_url_rule("/broken", "broken", lambda: 1 / 0)

    @app.after_request
    def fail(response: Response) -> Response:
        raise ZeroDivisionError

    answer = app.test_client().get("/broken", headers={"Accept": "text/html"})
    assert answer.status_code == 500
    assert answer.headers["Content-Security-Policy"] == DEFAULT


def make_plugin(name: str, csp: t.Any) -> types.ModuleType:
    """Return a plugin with two blueprints and a slot, which adds to the policy."""
    module = types.ModuleType(name)
    module.__dict__["__plugin__"] = {"name": name, "version": "1.0", "csp": csp}
    own, admin = Blueprint(name, __name__), Blueprint("admin", __name__, url_prefix="/admin")
    own.add_url_rule("/", "index", lambda: render_template_string("{{ csp_nonce() }}"))
    own.add_url_rule("/gone", "gone", lambda: abort(410))
    admin.add_url_rule("/", "index", lambda: "admin")
    module.__dict__["myapp_blueprints"] = lambda app, plugin: [own, admin]
    return module


def test_a_plugin_adds_to_its_own_pages(make_app: MakeApp) -> None:
    """All its blueprints and their errors; no other page, of the core or of another plugin."""
    shop = make_plugin(
        "shop",
        {"script-src": ["https://cdn.example.com"], "object-src": ["'self'"], "connect-src": ["wss://x.test:1/a"]},
    )
    client = make_app(shop, make_plugin("other", {})).test_client()
    directives = {
        path: dict(
            part.split(" ", 1)
            for part in client.get(path, headers={"Accept": "text/html"}).headers["Content-Security-Policy"].split("; ")
        )
        for path in ("/shop/admin/", "/shop/gone", "/shop/", "/other/", "/other/admin/", "/", "/shop/nothing")
    }

    for path in ("/shop/admin/", "/shop/gone", "/shop/"):
        assert directives[path]["script-src"].startswith("'self' https://cdn.example.com"), path
        assert directives[path]["object-src"] == "'self'"
        assert directives[path]["connect-src"] == "'self' wss://x.test:1/a"
        assert directives[path]["style-src"].startswith("'self'")
    assert "'nonce-" in directives["/shop/"]["script-src"]
    for path in ("/other/", "/other/admin/", "/", "/shop/nothing"):
        assert "cdn" not in str(directives[path]), path


@pytest.mark.parametrize(
    ("csp", "said"),
    [
        ({"script-scr": ["'self'"]}, "Did you mean script-src?"),
        ({"sandbox": ["allow-forms"]}, "is not a directive"),
        ({7: []}, "is not a directive"),
        ({"img-src": "https://a.test"}, "is not a list"),
        ({"img-src": [1]}, "is not a list"),
        ({"script-src": ["*"]}, "lets everything in"),
        ({"script-src": ["https:"]}, "lets everything in"),
        ({"script-src": ["'unsafe-inline'"]}, "csp_nonce()"),
        ({"script-src": ["'unsafe-eval'"]}, "csp_nonce()"),
        ({"script-src": ["'nonce-abc'"]}, "csp_nonce()"),
        ({"script-src": ["'none'"]}, "cannot be added"),
        ({"script-src": ["data:"]}, "code from anywhere"),
        ({"img-src": ["https://a.test; script-src *"]}, "is not a source"),
        ({"img-src": ["https://a.test, *"]}, "is not a source"),
        ({"img-src": ["https://a.test\r\nX: y"]}, "is not a source"),
        ({"img-src": ["a.test\n"]}, "is not a source"),
        ({"img-src": [""]}, "is not a source"),
        ({"img-src": ["https://*"]}, "is not a source"),
        ({"img-src": ["*."]}, "is not a source"),
        ({"img-src": ["javascript:alert(1)"]}, "is not a source"),
    ],
)
def test_a_policy_that_cannot_be_added_is_said(make_app: MakeApp, csp: t.Any, said: str) -> None:
    """When the plugin is read, with what to do; nothing of it reaches a header."""
    with pytest.raises(PluginError, match=re.escape(said)) as caught:
        make_app(make_plugin("shop", csp))
    assert caught.value.code == "manifest-invalid"


@pytest.mark.parametrize(
    "source",
    [
        "https://a.test",
        "https://*.a.test:8443/js/",
        "a.test",
        "'self'",
        "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='",
        "http://127.0.0.1:*",
        "wss://a.test",
        "data:",
        "blob:",
    ],
)
def test_sources_that_can_be_added(make_app: MakeApp, source: str) -> None:
    """Origins, their ports and paths, hashes; for pictures also data."""
    client = make_app(make_plugin("shop", {"img-src": [source]})).test_client()

    assert source in client.get("/shop/admin/").headers["Content-Security-Policy"]


def test_errors_in_json_have_no_policy(make_app: MakeApp) -> None:
    """A problem is no page."""
    app = make_app()

    @app.get("/problem")
    def view() -> t.Any:
        raise ApiException("no", 409)

    assert "Content-Security-Policy" not in app.test_client().get("/problem").headers
