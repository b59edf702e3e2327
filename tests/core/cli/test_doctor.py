"""``flask doctor``: everything that is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t

from click.testing import Result
from flask import Blueprint
from flask.cli import ScriptInfo

from myapp.core.cli.doctor import doctor
from tests.runners import runner

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask
MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"


def invoke(*args: str, app: Callable[[], CustomFlask]) -> Result:
    return runner().invoke(doctor, args, obj=ScriptInfo(create_app=app))


def findings(app: Callable[[], CustomFlask]) -> set[tuple[str, str]]:
    result = invoke("--json", app=app)
    document = json.loads(result.stdout)
    assert document["schema"] == 1
    assert all(set(finding) == {"id", "subject", "summary", "hint"} for finding in document["doctor"])
    assert result.exit_code == (1 if document["doctor"] else 0)
    return {(finding["id"], finding["subject"]) for finding in document["doctor"]}


def test_nothing_is_wrong(make_app: MakeApp) -> None:
    """Exit 0, and a sentence. `home` serves ``/`` beside a blueprint that has claimed it: that is what it is for."""
    result = invoke(app=make_app)

    assert (result.exit_code, result.stdout) == (0, "Everything is fine.\n")


def test_modules_and_plugins(make_app: MakeApp, team: Path, make_folder: Callable[..., Path]) -> None:
    """Each problem of the reports, with its code."""
    folder = make_folder("plugins", {"store.py": "raise RuntimeError('no stock')\n", "Blog.py": ""})

    found = findings(
        lambda: make_app(
            config={"MYAPP_BLUEPRINT_PACKAGES": ("team",), "MYAPP_PLUGIN_DIRS": (str(folder),)},
            plugins=None,
            strict=False,
        )
    )

    assert {
        ("blueprint.broken-import", "team.broken"),
        ("blueprint.broken-register", "team.half"),
        ("blueprint.misspelt-attribute", "team.misspelt"),
        ("blueprint.no-init-file", "team.loose"),
        ("plugin.import-failed", "store"),
        ("plugin.name-invalid", "Blog"),
    } <= found
    assert not [subject for _, subject in found if subject in ("team.disabled", "team.helpers", "team.welcome")]


def test_settings(make_app: MakeApp) -> None:
    """Misspelt ones, names of plugins that there are not, a secret key that is short or missing."""
    config = {"MYAPP_PLUGIN_DIR": "x", "MYAPP_PLUGINS_DISABLED": ("shopp",), "SECRET_KEY": "short"}

    found = findings(lambda: make_app(config=config, plugins=None))

    assert found == {
        ("setting.unknown", "MYAPP_PLUGIN_DIR"),
        ("setting.unknown-plugin", "MYAPP_PLUGINS_DISABLED"),
        ("secret-key.short", "SECRET_KEY"),
    }
    assert findings(lambda: make_app(config={"SECRET_KEY": None})) == {("secret-key.missing", "SECRET_KEY")}


def test_rules_of_two_owners(make_app: MakeApp) -> None:
    """The second is never reached; names of variables make no difference, methods and types do."""

    class Shop:
        name = "shop"

        def myapp_blueprints(self, app: CustomFlask, plugin: t.Any) -> Blueprint:
            blueprint = Blueprint("shop", __name__)
            blueprint.add_url_rule("/add", endpoint="add", view_func=lambda: "")
            blueprint.add_url_rule("/add", endpoint="change", view_func=lambda: "", methods=["PUT"])
            blueprint.add_url_rule("/<int:number>", endpoint="number", view_func=lambda number: "")
            return blueprint

    def make() -> CustomFlask:
        app = make_app(Shop(), config={"MYAPP_BLUEPRINT_PREFIXES": {"shop": "/demo"}})
        app.add_url_rule("/demo/<int:other>", endpoint="other", view_func=lambda other: "")
        app.add_url_rule("/demo/<text>", endpoint="text", view_func=lambda text: "")
        return app

    assert findings(make) == {("rule.twice", "GET /demo/add"), ("rule.twice", "GET /demo/<int:other>")}
    assert "the plugin shop (shop.add)" in invoke(app=make).stdout


def test_database_that_cannot_be_reached(make_app: MakeApp, tmp_path: Path) -> None:
    """With the remedy."""
    (tmp_path / "file").touch()
    url = f"sqlite:///{tmp_path / 'file' / 'below.sqlite3'}"

    result = invoke("--json", app=lambda: make_app(config={"MYAPP_DATABASE_URL": url}))

    [finding] = json.loads(result.stdout)["doctor"]
    assert (result.exit_code, finding["id"]) == (1, "database.unreachable")
    assert "cannot be opened" in finding["hint"]


def test_tables_that_are_behind(make_app: MakeApp) -> None:
    """In production, where nothing upgrades by itself."""
    config = {"TESTING": False, "SECRET_KEY": "a key of the tests, and of nothing else"}

    assert findings(lambda: make_app("realmon", config=config)) == {
        ("database.behind", "core"),
        ("database.behind", "realmon"),
    }


def test_tables_of_a_plugin_that_are_behind(make_app: MakeApp, tmp_path: Path) -> None:
    """In lenient mode they are the problem of the plugin, and of nobody else."""
    config = {
        "TESTING": False,
        "SECRET_KEY": "a key of the tests, and of nothing else",
        "MYAPP_DATABASE_URL": f"sqlite:///{tmp_path / 'x.sqlite3'}",
    }
    assert make_app("realmon", config=config).test_cli_runner().invoke(args=["init-db"]).exit_code == 0
    make_app("realmon", config=config).test_cli_runner().invoke(args=["db", "downgrade", "--of", "realmon", "base"])

    assert findings(lambda: make_app("realmon", config=config, strict=False)) == {("plugin.tables-failed", "realmon")}


def test_json_is_all_that_is_printed(tmp_path: Path) -> None:
    """In a process of its own: what Alembic prints goes past a runner of tests."""
    own = {"FLASK_APP": "myapp:create_app()", "MYAPP_PROFILE": "development", "MYAPP_INSTANCE_PATH": str(tmp_path)}
    command = [sys.executable, "-m", "myapp", "doctor", "--json"]

    ended = subprocess.run(command, env=os.environ | own, cwd=tmp_path, capture_output=True, timeout=60, check=False)

    assert (ended.returncode, json.loads(ended.stdout)) == (0, {"schema": 1, "doctor": []})


def test_instance_folder_that_cannot_be_written(make_app: MakeApp, tmp_path: Path) -> None:
    """A file stands in its place."""
    (tmp_path / "file").touch()
    config = {
        "MYAPP_INSTANCE_PATH": str(tmp_path / "file"),
        "MYAPP_DATABASE_URL": f"sqlite:///{tmp_path / 'x.sqlite3'}",
    }

    assert findings(lambda: make_app(config=config)) == {("instance.not-writable", "MYAPP_INSTANCE_PATH")}


def test_app_that_cannot_boot(monkeypatch: t.Any, make_folder: Callable[..., Path]) -> None:
    """What can be said without it is said: the cause, and the plugins whose text is wrong; exit 2."""

    def fail() -> CustomFlask:
        raise RuntimeError("the app cannot be built")

    folder = make_folder("plugins", {"shop.py": "def (:\n"})
    monkeypatch.setenv("MYAPP_PLUGIN_DIRS", str(folder))
    result = invoke("--json", app=fail)

    found = {(finding["id"], finding["subject"]) for finding in json.loads(result.stdout)["doctor"]}
    assert result.exit_code == 2
    assert found == {("app.not-loaded", "the application"), ("plugin.syntax-error", "shop")}
    assert result.stderr.splitlines()[-1].endswith("RuntimeError: the app cannot be built")
