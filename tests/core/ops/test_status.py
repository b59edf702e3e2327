"""``/status``: one word for everybody, everything for an operator, in time."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest
from flask import Blueprint

import myapp
from myapp.core.plugins import get_guards
from myapp.testing import bearer
from tests.core.plugins.test_guards import Clock
from tests.core.plugins.test_health import make_plugin

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"


@pytest.fixture
def make_status(make_app: MakeApp) -> MakeApp:
    """Return a function that builds an app with one plugin, whose health is what it is told."""

    def make(health: t.Any = None, **config: t.Any) -> CustomFlask:
        app = make_app(make_plugin(lambda: health), config=config)
        get_guards(app).clock = Clock()
        return app

    return make


def test_an_operator_is_told_everything(make_status: MakeApp) -> None:
    """With a token that has the scope: version, uptime, each check, each plugin."""
    app = make_status(("degraded", "low stock"))
    client = app.test_client()
    headers = bearer(app, "ann@example.com", "status:read")

    told = client.get("/status", headers=headers).json

    assert (told["status"], told["version"]) == ("degraded", myapp.__version__)
    assert told["uptime_seconds"] >= 0
    assert [(check["name"], check["status"], check["detail"]) for check in told["checks"]] == [
        ("database", "ok", "current"),
        ("shop", "degraded", "low stock"),
    ]
    assert all(check["milliseconds"] >= 0 for check in told["checks"])
    assert told["plugins"] == [{"name": "shop", "version": "1.0", "state": "active", "problem": None, "failures": 0}]
    assert told["blueprints"] == []


def test_everybody_else_learns_one_word(make_status: MakeApp) -> None:
    """Without a token, and with one that is for something else; in production on loopback too."""
    app = make_status(("down", "a secret"))
    client = app.test_client()

    assert client.get("/status").json == {"status": "degraded"}
    assert client.get("/status", headers=bearer(app, "ann@example.com", "orders:read")).json == {"status": "degraded"}
    assert client.get("/status", headers={"Authorization": "Bearer nonsense"}).status_code == 401


LOCAL = {"REMOTE_ADDR": "127.0.0.1"}


@pytest.mark.parametrize(
    ("environ", "host", "is_told"),
    [
        (LOCAL, "localhost:5000", True),
        (LOCAL, "127.0.0.1:5000", True),
        ({"REMOTE_ADDR": "::1"}, "[::1]:5000", True),
        ({"REMOTE_ADDR": "10.0.0.7"}, "localhost", False),
        ({"REMOTE_ADDR": "10.0.0.7", "HTTP_X_FORWARDED_FOR": "127.0.0.1"}, "localhost", False),
        ({"REMOTE_ADDR": "10.0.0.7", "HTTP_FORWARDED": "for=127.0.0.1"}, "localhost", False),
        (LOCAL | {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, "localhost", False),
        (LOCAL | {"werkzeug.proxy_fix.orig": {"REMOTE_ADDR": "10.0.0.7"}}, "localhost", False),
        (LOCAL, "evil.example", False),
        ({"REMOTE_ADDR": ""}, "localhost", False),
        ({"REMOTE_ADDR": "localhost"}, "localhost", False),
    ],
)
def test_development_tells_its_own_machine(
    make_status: MakeApp, environ: dict[str, t.Any], host: str, is_told: bool
) -> None:
    """Not whoever says so in a header, not who comes through a proxy, not a page whose name leads here."""
    app = make_status(MYAPP_PROFILE="development")

    told = app.test_client().get("/status", environ_overrides=environ, base_url=f"http://{host}").json

    assert ("version" in told) == is_told


def test_safe_mode_is_told(make_status: MakeApp) -> None:
    """No plugin is loaded, not even a critical one: that is not well, and an operator learns why."""
    for is_safe, word in ((True, "degraded"), (False, "ok")):
        app = make_status(MYAPP_SAFE_MODE=is_safe)
        told = app.test_client().get("/status", headers=bearer(app, "ann@example.com", "status:read")).json
        assert (told["status"], told["safe_mode"]) == (word, is_safe)


def test_a_hung_check_does_not_hang_the_page(make_app: MakeApp) -> None:
    """Two at once are both answered in a good second."""
    gate = threading.Event()
    app = make_app(make_plugin(lambda: gate.wait(60)))
    answers: list[t.Any] = []

    def ask() -> None:
        answers.append(app.test_client().get("/status").json)

    started = time.monotonic()
    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(timeout=30)
    took = time.monotonic() - started
    gate.set()

    assert answers == [{"status": "degraded"}] * 2
    # The first look at the database imports what it needs, and has its own time.
    assert took < 5


def test_without_a_database_it_is_told_without_it(make_app: MakeApp, tmp_path: t.Any) -> None:
    """Who asks cannot be looked up: the one word, and no 500."""
    (tmp_path / "folder.sqlite3").mkdir()
    app = make_app(
        config={"MYAPP_DATABASE_URL": f"sqlite:///{tmp_path / 'folder.sqlite3'}", "PROPAGATE_EXCEPTIONS": False}
    )

    answer = app.test_client().get("/status", headers={"Authorization": "Bearer " + "a" * 40})

    assert (answer.status_code, answer.json) == (200, {"status": "degraded"})


def test_a_broken_blueprint_module_is_named(make_app: MakeApp, tmp_path: t.Any, monkeypatch: t.Any) -> None:
    """To an operator, with what is wrong with it."""
    (tmp_path / "menagerie").mkdir()
    (tmp_path / "menagerie" / "__init__.py").touch()
    (tmp_path / "menagerie" / "ape.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    config = {"MYAPP_BLUEPRINT_PACKAGES": ("myapp.blueprints", "menagerie"), "MYAPP_PROFILE": "development"}
    app = make_app(config=config, strict=False)

    told = app.test_client().get("/status").json

    assert told["status"] == "degraded"
    assert [(one["name"], one["problem"]["code"]) for one in told["blueprints"]] == [("ape", "broken-import")]


def test_failures_are_counted(make_app: MakeApp) -> None:
    """Also of a plugin whose last call was well again."""
    calls: list[int] = []

    def flaky() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError

    module = make_plugin(lambda: None)
    blueprint = Blueprint("shop", __name__)
    blueprint.before_app_request(flaky)
    module.__dict__["myapp_blueprints"] = lambda app, plugin: blueprint
    app = make_app(module, config={"MYAPP_PROFILE": "development"})
    client = app.test_client()

    first, second = client.get("/status").json, client.get("/status").json

    assert (first["status"], first["plugins"][0]["state"]) == ("degraded", "degraded")
    assert first["plugins"][0]["problem"]["code"] == "runtime-failed"
    assert (second["status"], second["plugins"][0]["failures"]) == ("ok", 1)


@pytest.mark.parametrize("debug", [False, True])
def test_debug_mode_names_what_is_not_well(make_app: MakeApp, tmp_path: t.Any, monkeypatch: t.Any, debug: bool) -> None:
    """In a header of every answer: plugins that fail or were not loaded, and broken modules."""
    (tmp_path / "vivarium").mkdir()
    (tmp_path / "vivarium" / "__init__.py").touch()
    (tmp_path / "vivarium" / "äffchen.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    module = make_plugin(lambda: None)
    module.__dict__["myapp_slot"] = lambda name: 1 / 0
    config = {"MYAPP_BLUEPRINT_PACKAGES": ("myapp.blueprints", "vivarium"), "DEBUG": debug}
    client = make_app(module, config=config, strict=False).test_client()

    first, page, second = (client.get(path).headers.get("X-Myapp-Degraded") for path in ("/livez", "/", "/status"))

    assert first is None
    assert (page, second) == (("?ffchen, shop", "?ffchen, shop") if debug else (None, None))
