"""What each hook is given and what becomes of its result: one test for each, named after it."""

from __future__ import annotations

import ast
import inspect
import typing as t
from pathlib import Path

import click
import pytest
import sqlalchemy as sa
from flask import Blueprint
from markupsafe import Markup

from myapp import Model, get_db
from myapp.core.errors import PluginError
from myapp.core.plugins import get_probes, get_report, hookspecs, measure
from myapp.core.plugins.hooks import HOOKS
from tests.conftest import Item

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Flask

    from myapp import CustomFlask, PluginContext

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_and_tested(hook: str) -> None:
    """It has a docstring, which is its entry in the reference, and a test below this folder that bears its name."""
    tests = [
        node.name
        for file in Path(__file__).parent.glob("test_*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    ]

    assert inspect.getdoc(getattr(hookspecs, hook))
    assert [name for name in tests if name.startswith(f"test_{hook}_")], f"No test is called test_{hook}_…"


def test_myapp_configure_comes_first_with_the_app(make_app: MakeApp) -> None:
    """Before any blueprint of any plugin is registered; what it attaches is there."""
    seen: list[t.Any] = []

    class First:
        def myapp_configure(self, app: Flask, plugin: PluginContext) -> None:
            seen.append((plugin.name, "first.page" in app.view_functions))
            app.jinja_env.filters["shout"] = str.upper

        def myapp_blueprints(self, app: Flask) -> Blueprint:
            seen.append("blueprints")
            blueprint = Blueprint("first", __name__)
            blueprint.add_url_rule("/page", "page", lambda: app.jinja_env.from_string("{{ 'a'|shout }}").render())
            return blueprint

    class Second:
        def myapp_configure(self, plugin: PluginContext) -> None:
            seen.append(plugin.name)

    app = make_app(First(), Second())

    assert seen == [("first", False), "second", "blueprints"]
    assert app.test_client().get("/first/page").text == "A"


def test_myapp_blueprints_may_return_several(make_app: MakeApp) -> None:
    """One, several, none; anything else is the plugin's mistake, with the name of what it returned."""

    class Several:
        result: t.Any = (Blueprint("several", __name__), Blueprint("more", __name__, url_prefix="/more"))

        def myapp_blueprints(self, app: Flask) -> t.Any:
            return self.result

    app = make_app(Several())
    assert sorted(name for name in app.blueprints if "several" in name) == ["several", "several.more"]

    nothing, wrong = Several(), Several()
    nothing.result, wrong.result = (), ["several"]
    make_app(nothing)
    with pytest.raises(PluginError, match="returned a str and not a Blueprint"):
        make_app(wrong)


def test_a_forgotten_return_is_said(make_plugin_app: MakeApp, make_folder: Callable[..., Path], caplog: t.Any) -> None:
    """A hook that is there for what it returns, and returns nothing, is a mistake more often than not."""
    text = (
        "from flask import Blueprint\nbp = Blueprint('shop', __name__)\n"
        "def myapp_blueprints(app, plugin):\n    bp\n"
        "def myapp_migrations(plugin):\n    pass\n"
        "def myapp_configure(app, plugin):\n    pass\n"
    )

    [report] = get_report(make_plugin_app(make_folder("plugins", {"shop.py": text})))

    says = "Its myapp_blueprints and its myapp_migrations returned nothing: is a `return` missing?"
    assert (report.state, report.reason) == ("active", says)
    assert f"The plugin shop is served, but: {says}" in caplog.messages


@pytest.mark.parametrize("value", ["lambda: ''", "[print]", "5", "'bp'"])
def test_what_is_no_blueprint_is_named(value: str, make_plugin_app: MakeApp, make_folder: Callable[..., Path]) -> None:
    text = f"def myapp_blueprints(app, plugin):\n    return {value}\n"

    [report] = get_report(make_plugin_app(make_folder("plugins", {"shop.py": text})))

    assert report.problem is not None
    assert "The hook returned a" in report.problem.summary
    assert "and not a Blueprint" in report.problem.summary


def test_defaults_are_those_of_what_is_not_given(make_app: MakeApp) -> None:
    """Whatever the version of pluggy: a hook may give what it is told a default."""
    seen: dict[str, tuple[t.Any, t.Any]] = {}

    class Shop:
        name = "shop"

        def myapp_configure(self, app: t.Any = None, plugin: t.Any = None) -> None:
            seen["configure"] = (app, plugin)

        def myapp_health(self, app: t.Any = None, plugin: t.Any = None) -> None:
            seen["health"] = (app, plugin)

    app = make_app(Shop())
    measure(get_probes(app))

    assert {name: [one is not None for one in given] for name, given in seen.items()} == {
        "configure": [True, True],
        "health": [True, True],
    }


def test_myapp_commands_are_tasks_below_the_plugin(make_app: MakeApp) -> None:
    """A command of a plugin commits what it has written when it ends well."""

    class Shop:
        def myapp_commands(self, app: Flask) -> click.Command:
            @click.command("sell")
            @click.argument("name")
            def sell(name: str) -> None:
                get_db().add(Item(name=name))
                if name == "bad":
                    raise click.ClickException("not this one")

            return sell

    app = make_app(Shop())
    with app.task():
        Item.metadata.create_all(get_db().get_bind())
    codes = [app.test_cli_runner().invoke(args=["shop", "sell", name]).exit_code for name in ("good", "bad")]

    with app.task(read_only=True):
        assert list(get_db().scalars(sa.select(Item.name))) == ["good"]
    assert codes == [0, 1]


def test_myapp_migrations_bring_the_tables(make_app: MakeApp, make_folder: Callable[..., Path]) -> None:
    """The folder's migrations run for the plugin alone, with a version table of its own."""
    migration = (
        "import sqlalchemy as sa\nfrom alembic import op\nrevision, down_revision = 'ledger_0001', None\n"
        "def upgrade():\n    op.create_table('ledger_lines', sa.Column('id', sa.Integer, primary_key=True))\n"
    )
    folder = make_folder(
        "plugins",
        {
            "ledger/__init__.py": "def myapp_migrations(plugin):\n    return plugin.root_path / 'versions'\n",
            "ledger/versions/0001_lines.py": migration,
        },
    )

    app = make_app(folder / "ledger")

    with app.task():
        tables = sa.inspect(get_db().connection()).get_table_names()
    assert {"ledger_lines", "alembic_version_ledger"} <= set(tables)
    assert "ledger_lines" not in Model.metadata.tables


def test_myapp_ready_is_called_last_and_once(make_app: MakeApp) -> None:
    """When every plugin has been registered, in their order, on the app that is returned."""
    seen: list[t.Any] = []

    class Ready:
        def __init__(self, name: str) -> None:
            self.name = name

        def myapp_commands(self) -> tuple[()]:
            seen.append("commands")
            return ()

        def myapp_ready(self, app: Flask, plugin: PluginContext) -> None:
            seen.append((plugin.name, app))

    app = make_app(Ready("one"), Ready("two"))

    assert seen == ["commands", "commands", ("one", app), ("two", app)]


def test_myapp_slot_fills_the_pages(make_app: MakeApp) -> None:
    """It is asked for each slot of a page, by name, with what the page was rendered with."""
    asked: dict[str, t.Any] = {}

    class Theme:
        def myapp_slot(self, plugin: PluginContext, name: str, context: Mapping[str, t.Any]) -> str | None:
            asked[name] = context["request"].path
            return Markup(f"<i>{plugin.name}</i>") if name == "footer" else None

    page = make_app(Theme()).test_client().get("/").text

    assert page.count("<i>theme</i>") == 1
    assert {"head", "nav", "home", "footer"} <= asked.keys()
    assert set(asked.values()) == {"/"}
