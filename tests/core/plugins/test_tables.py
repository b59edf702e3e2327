"""A plugin whose tables are not those of its code: it is refused, and everybody else is served."""

from __future__ import annotations

import json
import logging
import typing as t

import pytest
import sqlalchemy as sa
from flask.cli import ScriptInfo

from myapp import get_db
from myapp.core import work
from myapp.core.cli.doctor import doctor
from myapp.core.cli.plugins import plugins as plugins_command
from myapp.core.cli.why import why
from myapp.core.errors import SchemaError
from myapp.core.ops import check_health, read_status
from myapp.core.plugins import get_report
from tests.core.plugins.test_migrations import VERSION
from tests.runners import runner

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask

    from .conftest import MakeFolder

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"

MODULE = """
import click
from flask import Blueprint
from sqlalchemy import select
from sqlalchemy.orm import Mapped, mapped_column
from myapp import Model, get_db, job

__plugin__ = {manifest}

blueprint = Blueprint("{name}", __name__)


class Item(Model):
    __tablename__ = "{name}_items"
    id: Mapped[int] = mapped_column(primary_key=True)


@blueprint.before_request
def look():
    list(get_db().scalars(select(Item)))


@blueprint.get("/")
def index():
    return "{name}"


@click.command("list")
def list_items():
    click.echo(len(list(get_db().scalars(select(Item)))))


@job
def clean():
    get_db().query(Item).delete()


def myapp_blueprints(app, plugin):
    return blueprint


def myapp_commands(app, plugin):
    return list_items


def myapp_migrations(plugin):
    return "versions"
"""
FAILS = "def upgrade():\n    raise RuntimeError('no paper')"
KEY = {"TESTING": False, "SECRET_KEY": "a key of the tests, and of nothing else"}


def files(name: str, *, fails: bool = False, **manifest: t.Any) -> dict[str, str]:
    version = VERSION.format(name=name)
    return {
        f"{name}/__init__.py": MODULE.format(name=name, manifest={"name": name, **manifest}),
        f"{name}/versions/0001_items.py": version.replace("def upgrade():", FAILS) if fails else version,
    }


@pytest.fixture
def make(make_plugin_app: MakeApp, make_folder: MakeFolder, database_config: Callable[[], t.Any]) -> MakeApp:
    """Return a function that builds an app: the plugin `guests`, with the given manifest, beside `shop`."""

    def build(
        *, fails: bool = True, manifest: t.Any = None, shop: t.Any = None, strict: bool = False, **config: t.Any
    ) -> CustomFlask:
        folder = make_folder("plugins", files("guests", fails=fails, **(manifest or {})) | files("shop", **shop or {}))
        app = make_plugin_app(folder, strict=strict, **database_config(), **config)
        app.get("/core")(lambda: str(len(list_tables(app))))
        return app

    return build


def list_tables(app: CustomFlask) -> list[str]:
    return sa.inspect(get_db().connection()).get_table_names()


def answers(app: CustomFlask) -> dict[str, int]:
    client = app.test_client()
    return {path: client.get(path).status_code for path in ("/guests/", "/shop/", "/core", "/readyz")}


def problems(app: CustomFlask) -> dict[str, str]:
    return {report.name: report.problem.code for report in get_report(app) if report.problem is not None}


def test_failing_migration_costs_its_plugin_only(make: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """One line names plugin, file and remedy; its pages are 503, the rest is served, and the tables of others made."""
    app = make()

    assert answers(app) == {"/guests/": 503, "/shop/": 200, "/core": 200, "/readyz": 200}

    assert app.test_client().get("/guests/").headers["Retry-After"] == "30"
    assert problems(app) == {"guests": "tables-failed"}
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert all(
        part in errors[0] for part in ("guests", "0001_items.py:", "RuntimeError: no paper", "flask db upgrade")
    ), errors
    assert "shop_items" in list_tables_of(app)


def list_tables_of(app: CustomFlask) -> list[str]:
    with app.task():
        return list_tables(app)


def test_commands_and_jobs_of_it_are_refused(make: MakeApp) -> None:
    """With the sentence; those of others run, and so do the core's."""
    app = make()

    def run(*args: str) -> t.Any:
        return app.test_cli_runner().invoke(args=list(args))

    refused = run("guests", "list")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: A migration of guests fails at ")
    assert run("shop", "list").output == "0\n"
    assert run("users", "list").exit_code == 0
    # A plugin of the same name in another folder of this process has another module.
    jobs = {report.name: f"{report.module}:clean" for report in get_report(app)}
    with app.task():
        for name in jobs.values():
            work.find_function(name).enqueue()
    ended = {one.claim.func: one for one in work.drain(app)}
    assert isinstance(ended[jobs["guests"]].error, SchemaError)
    assert ended[jobs["shop"]].state == "done"


def test_list_doctor_why_and_status_say_it(make: MakeApp) -> None:
    """As a problem of the plugin, with its code and the remedy."""
    app = make()

    def run(command: t.Any, *args: str) -> t.Any:
        return runner().invoke(command, args, obj=ScriptInfo(create_app=lambda: make()))

    listed = run(plugins_command, "list", "--json")
    assert listed.exit_code == 1
    found = {one["name"]: one for one in json.loads(listed.stdout)["plugins"]}
    assert (found["guests"]["state"], found["guests"]["problem"]["code"]) == ("degraded", "tables-failed")
    assert "no paper" in found["guests"]["problem"]["summary"]
    assert found["shop"]["state"] == "active"
    [finding] = json.loads(run(doctor, "--json").stdout)["doctor"]
    assert (finding["id"], finding["subject"]) == ("plugin.tables-failed", "guests")
    assert "flask plugins disable" in finding["hint"]

    explained = run(why, "/guests/", "--json")
    [entry] = json.loads(explained.stdout)["why"]
    assert (explained.exit_code, entry["state"], entry["is_problem"]) == (1, "503", True)
    assert entry["reason"].startswith("The plugin guests is degraded (tables-failed): A migration of guests fails at ")
    assert entry["reason"].endswith(finding["hint"])
    assert run(why, "/shop/").stdout.startswith("path GET /shop/: 200\n")

    with app.test_request_context("/status"):
        told = read_status(app, is_complete=True)
    assert told["status"] == "degraded"
    assert [check for check in told["checks"] if check["status"] != "ok"] == []
    assert [one["name"] for one in told["plugins"] if one["problem"]] == ["guests"]


def test_production_serves_everybody_else_until_it_is_upgraded(make: MakeApp) -> None:
    """Behind is enough there. No restart is needed after the upgrade."""
    app = make(fails=False, **KEY)
    assert runner().invoke(plugins_command, ["migrate", "shop"], obj=ScriptInfo(create_app=lambda: app)).exit_code == 0

    assert answers(app) == {"/guests/": 503, "/shop/": 200, "/core": 200, "/readyz": 200}
    assert problems(app) == {"guests": "tables-failed"}
    assert app.test_cli_runner().invoke(args=["db", "upgrade"]).exit_code == 0
    assert answers(app) == {"/guests/": 200, "/shop/": 200, "/core": 200, "/readyz": 200}
    assert problems(app) == {}


@pytest.mark.parametrize(
    ("manifest", "shop", "required"),
    [
        ({"critical": True}, {}, ()),
        ({}, {}, ("guests",)),
        ({}, {"critical": True, "requires": {"guests": ""}}, ()),
    ],
)
def test_critical_plugin_stays_strict(make: MakeApp, manifest: t.Any, shop: t.Any, required: t.Any) -> None:
    """Nothing is served without the tables of a critical plugin, nor of one that it requires."""
    app = make(manifest=manifest, shop=shop, MYAPP_REQUIRED_PLUGINS=required, **KEY)
    app.test_cli_runner().invoke(args=["db", "upgrade"])

    assert set(answers(app).values()) == {503}
    assert not check_health(app)[0].is_ok


def test_who_requires_it_is_refused_too(make: MakeApp) -> None:
    """Its code counts on those tables."""
    app = make(shop={"requires": {"guests": ""}})

    assert answers(app) == {"/guests/": 503, "/shop/": 503, "/core": 200, "/readyz": 200}
    assert problems(app) == {"guests": "tables-failed", "shop": "tables-failed"}


def test_strict_mode_raises(make: MakeApp) -> None:
    """A failing migration is not overlooked in a test: everything is refused."""
    app = make(strict=True)

    assert set(answers(app).values()) == {503}
    with pytest.raises(SchemaError, match="no paper"), app.task():
        get_db()


def test_upgrade_goes_on_with_the_others(make: MakeApp) -> None:
    """And ends with 1 and the sentence of the one that failed."""
    app = make(**KEY)

    result = app.test_cli_runner().invoke(args=["db", "upgrade"])

    assert result.exit_code == 1
    assert "The tables of shop are at" in result.stdout
    assert "no paper" in result.stderr
