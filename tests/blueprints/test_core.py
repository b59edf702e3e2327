"""The blueprints that come with the core: home, status, the probes."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from pathlib import Path

    from myapp import CustomFlask


def test_home_welcomes_without_a_cookie(make_app: t.Any) -> None:
    """Founding document 002's test; in development it names the file to edit first and what is loaded."""
    page = make_app(config={"MYAPP_PROFILE": "development"}, plugins=None).test_client().get("/")
    assert page.status_code == 200
    assert b"Welcome" in page.data
    assert "Set-Cookie" not in page.headers
    for text in ("myapp/blueprints/hello.py", "GET /demo/add", "/realmon/"):
        assert text in page.text


def test_home_tells_nothing_of_a_production_site(app: CustomFlask) -> None:
    """What is loaded concerns its developers alone."""
    page = app.test_client().get("/")
    assert b"Welcome" in page.data
    assert "demo" not in page.text


def test_blueprint_that_claims_the_root_replaces_home(make_app: t.Any, tmp_path: Path, monkeypatch: t.Any) -> None:
    """Whatever its name, and without configuration."""
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "__init__.py").touch()
    (tmp_path / "zoo" / "zebra.py").write_text(
        "from flask import Blueprint\nblueprint = Blueprint('zebra', __name__)\nblueprint.get('/')(lambda: 'stripes')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    app = make_app(config={"MYAPP_BLUEPRINT_PACKAGES": ("myapp.blueprints", "zoo")})
    assert app.test_client().get("/").text == "stripes"


def test_status_says_ok_or_degraded(make_app: t.Any, tmp_path: Path) -> None:
    """Everybody learns one word; a plugin that is broken makes it another."""
    assert make_app().test_client().get("/status").json == {"status": "ok"}
    (tmp_path / "plugins" / "broken").mkdir(parents=True)
    (tmp_path / "plugins" / "broken" / "__init__.py").write_text("1 / 0")
    app = make_app(config={"MYAPP_PLUGIN_DIRS": (str(tmp_path / "plugins"),)}, strict=False, plugins=None)
    answer = app.test_client().get("/status")
    assert (answer.status_code, answer.json) == (200, {"status": "degraded"})
    assert answer.headers["Cache-Control"] == "no-store"


def test_probes_are_outside_of_flask(make_app: t.Any) -> None:
    """A wrong Host and a broken hook cannot touch them; only GET and HEAD."""
    app = make_app(config={"TRUSTED_HOSTS": ["example.com"], "PROPAGATE_EXCEPTIONS": False})

    @app.before_request
    def broken() -> t.NoReturn:
        raise ZeroDivisionError

    client = app.test_client()
    for path in ("/livez", "/readyz"):
        assert client.get(path, base_url="http://10.0.0.7").status_code == 200
        assert client.head(path).data == b""
        assert (client.post(path).status_code, client.post(path).headers["Allow"]) == (405, "GET, HEAD")
    assert client.get("/status", base_url="http://10.0.0.7").status_code == 500


def test_not_ready_without_a_database(make_app: t.Any, tmp_path: Path, caplog: t.Any) -> None:
    """503 with Retry-After, the remedy in the log; alive all the same."""
    (tmp_path / "folder.sqlite3").mkdir()
    app = make_app(config={"MYAPP_DATABASE_URL": f"sqlite:///{tmp_path / 'folder.sqlite3'}"})
    client = app.test_client()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (503, {"status": "down", "checks": {"database": "unreachable"}})
    assert "Retry-After" in answer.headers
    assert "cannot be opened" in caplog.text
    assert client.get("/livez").status_code == 200
