"""What two owners both have: both are named, and it is known who gets it."""

from __future__ import annotations

import json
import typing as t

from click.testing import Result
from flask.cli import ScriptInfo

from myapp.core.cli.doctor import doctor
from myapp.core.discovery import owner_of
from myapp.core.plugins import get_report
from tests.runners import runner

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from myapp import CustomFlask

    from .conftest import MakeFolder

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"

MODULE = """
from flask import Blueprint

blueprint = Blueprint("store", __name__, template_folder="pages")
blueprint.add_url_rule("/store/", "index", lambda: "module")


@blueprint.cli.command("count")
def count():
    print("module")


def init_app(app):
    app.config["STORE"] = "module"
    app.cli.command("stock")(lambda: print("module"))
"""
PLUGIN = """
from flask import Blueprint

__plugin__ = {"mount": "/store"}
shop = Blueprint("shop", __name__, template_folder="pages")
shop.add_url_rule("/", "index", lambda: "plugin")
shop.add_url_rule("/", "create", lambda: "plugin", methods=["POST"])


def myapp_configure(app, plugin):
    app.config["STORE"] = "plugin"
    app.config["MAX_CONTENT_LENGTH"] = 1
    app.config["MAX_FORM_PARTS"] = 5
    for name in ("stock", "db", "doctor"):
        app.cli.command(name)(lambda: print("plugin"))


def myapp_blueprints(app, plugin):
    return shop
"""


def findings(app: CustomFlask) -> list[dict[str, str]]:
    result: Result = runner().invoke(doctor, ["--json"], obj=ScriptInfo(create_app=lambda: app))
    found = json.loads(result.stdout)["doctor"]
    assert result.exit_code == (1 if found else 0)
    return t.cast("list[dict[str, str]]", found)


def test_plugin_and_blueprint_module(
    make_app: MakeApp, make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule, a key, commands and a template; the operator's key and the core's commands as well."""
    monkeypatch.syspath_prepend(str(tmp_path))
    make_folder("conflict_team", {"__init__.py": "", "store.py": MODULE, "pages/shop/x.html": ""})
    folder = make_folder("plugins", {"shop/__init__.py": PLUGIN, "shop/pages/shop/x.html": ""})

    app = make_app(
        config={
            "MYAPP_BLUEPRINT_PACKAGES": ("conflict_team",),
            "MYAPP_PLUGIN_DIRS": str(folder),
            "MAX_CONTENT_LENGTH": 1000,
        },
        plugins=None,
    )

    [report] = get_report(app)
    module, plugin = "the blueprint module conflict_team.store", "the plugin shop"
    operator, core = "the application (its configuration)", "the application (its core)"
    assert report.state == "active"
    assert report.problem == report.conflicts[0]
    assert {conflict.summary.lower() for conflict in report.conflicts} == {
        f"{module} (store.index) and {plugin} (shop.index) both have the rule get /store/;"
        f" {module} (store.index) answers, because it came first.",
        f"{module} and {plugin} both have the configuration key store; the value of {plugin} counts.",
        f"{operator} and {plugin} both have the configuration key max_content_length; the value of {plugin} counts.",
        f"{module} and {plugin} both have the command stock; that of {module} runs, because it came first.",
        f"{core} and {plugin} both have the command db; that of {core} runs.",
        f"{core} and {plugin} both have the command doctor; that of {core} runs.",
        f"{module} and {plugin} both have the template shop/x.html;"
        f" that of {module} is rendered, because it came first.",
    }
    assert app.test_client().get("/store/").text == "module"
    assert app.test_client().post("/store/").text == "plugin"
    assert app.config["STORE"] == "plugin"
    assert app.test_cli_runner().invoke(args=["stock"]).output == "module\n"
    named = [finding for finding in findings(app) if "conflict_team" in finding["summary"]]
    assert {finding["id"] for finding in named} == {
        "rule.twice",
        "plugin.config-taken",
        "plugin.command-taken",
        "plugin.template-taken",
    }
    assert all("the plugin shop" in finding["summary"] for finding in named)


def test_two_blueprint_modules(
    make_app: MakeApp, make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`doctor` names both, although no plugin is there to be told."""
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "def init_app(app):\n    app.config['BOTH'] = __name__\n    app.cli.command('both')(lambda: None)\n"
    make_folder("conflict_modules", {"__init__.py": "", "one.py": text, "two.py": text})

    found = findings(make_app(config={"MYAPP_BLUEPRINT_PACKAGES": ("conflict_modules",)}))

    assert [finding["id"] for finding in found] == ["blueprint.config-taken", "blueprint.command-taken"]
    for finding in found:
        assert "conflict_modules.one and the blueprint module conflict_modules.two" in finding["summary"]


def test_command_of_a_plugins_name_is_that_plugins(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Somebody else's group of that name does not get its commands."""
    cart = """
import click

@click.group("shop")
def group(): pass

def myapp_configure(app, plugin):
    app.cli.add_command(group)
"""
    shop = """
import click

@click.command("sell")
def sell():
    print("sold")

def myapp_commands(app, plugin):
    return sell
"""
    app = make_plugin_app(make_folder("plugins", {"cart.py": cart, "shop.py": shop}))

    assert app.test_cli_runner().invoke(args=["shop", "sell"]).output == "sold\n"
    [conflict] = get_report(app)[1].conflicts
    assert conflict.summary.startswith(
        "The plugin cart and the plugin shop both have the command shop; that of the plugin"
    )
    assert "shop runs." in conflict.summary


def test_what_is_equal_or_ones_own_is_no_conflict(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """The same value again, a second value of one's own, a default that nobody has set, ``setdefault``."""
    text = """
def myapp_configure(app, plugin):
    app.config["LIST"] = ["a"]
    app.config["OWN_" + plugin.name] = 1
    app.config["OWN_" + plugin.name] = 2
    app.config.setdefault("FIRST", plugin.name)
    app.config["MAX_FORM_PARTS"] = 7


def myapp_ready(app, plugin):
    app.config["LATE"] = plugin.name
"""
    app = make_plugin_app(make_folder("plugins", {"one.py": text, "two.py": text}))

    assert [report.conflicts for report in get_report(app)] == [(), ()]
    assert app.config["FIRST"] == "one"


def test_value_that_cannot_be_compared_is_another_one(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """What a comparison does is the value's business, and no reason to fail."""
    text = """
class Odd:
    def __eq__(self, other):
        raise RuntimeError
    __hash__ = None

def myapp_configure(app, plugin):
    app.config["ODD"] = Odd()
"""
    app = make_plugin_app(make_folder("plugins", {"one.py": text, "two.py": text}))

    assert [len(report.conflicts) for report in get_report(app)] == [0, 1]


def test_owner_of_what_a_hook_adds_to_the_app_is_the_plugin(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """By whose step ran, and not by the name of a blueprint."""
    text = "def myapp_configure(app, plugin):\n    app.add_url_rule('/x', 'x', lambda: '')\n"
    app = make_plugin_app(make_folder("plugins", {"shop.py": text}))
    app.add_url_rule("/y", "y", lambda: "")

    assert str(owner_of(app, "x")) == "the plugin shop"
    assert str(owner_of(app, "y")) == "the application"
