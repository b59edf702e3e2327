"""Each state and each problem: how a plugin gets there, and what it says then."""

from __future__ import annotations

import typing as t

import pytest

from myapp.core.config import load
from myapp.core.discovery import Problem
from myapp.core.errors import PluginError
from myapp.core.plugins import HINTS, STATES, get_report, scan_offline
from myapp.core.plugins.report import State

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask

    from .conftest import MakeFolder

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"


class Case(t.NamedTuple):
    """The files of a plugin folder, and the settings, with which the plugin ``shop`` has a problem."""

    files: dict[str, str]
    config: dict[str, t.Any] = {}  # noqa: RUF012
    #: What the sentence says, besides the name of the file.
    says: str = ""


SERVES = "from flask import Blueprint\nbp = Blueprint({name!r}, __name__)\nbp.add_url_rule('/', 'index', lambda: '')\n"
CONFIGURE = "def myapp_configure(app, plugin):\n    "
BLUEPRINTS = "\ndef myapp_blueprints(app, plugin):\n    return bp\n"

MODEL = """
from sqlalchemy.orm import Mapped, mapped_column, relationship
from myapp import Model

class Row(Model):
    __tablename__ = "shop_rows"
    id: Mapped[int] = mapped_column(primary_key=True)
    other = relationship("Nope")
"""
PAGES = "from flask import Blueprint\nbp = Blueprint({name!r}, __name__, template_folder='templates')\n" + BLUEPRINTS

PROBLEMS: dict[str, Case] = {
    "syntax-error": Case({"shop.py": "x = 1\ndef (:"}, says="shop.py:2: SyntaxError"),
    "import-failed": Case({"shop.py": "import shopping_missing"}, says="shop.py:1: ModuleNotFoundError"),
    "no-init-file": Case({"shop/views.py": "\ndef myapp_ready(): ..."}, says="no __init__.py"),
    "outside-folder": Case({"fine.py": ""}, says="is a link to"),
    "manifest-invalid": Case({"shop.py": "__plugin__ = {'nam': 1}\n1/0"}, says="Did you mean name?"),
    "name-invalid": Case({"Shop.py": "1/0"}, says="'Shop' is not a name for a plugin."),
    "settings-invalid": Case(
        {"shop.py": "__plugin__ = {'config': {'key': {'required': True}}}\n1/0"}, says="SHOP__KEY: it is required"
    ),
    "name-reserved": Case({"users.py": "1/0"}, says="users is a name that the core uses itself."),
    "name-taken": Case({"shop/__init__.py": "", "shop.py": "1/0"}, says="/shop.py; the first counts."),
    "app-version": Case(
        {"shop.py": "__plugin__ = {'app': '>=99'}\n1/0"}, says="made for myapp >=99, and this is 0.1.0."
    ),
    "api-version": Case({"shop.py": "__plugin__ = {'api': 9}\n1/0"}, says="version 9 of the plugin API"),
    "requires-missing": Case(
        {"shop.py": "__plugin__ = {'requires': {'till': ''}}\n1/0"},
        says="It requires till, which is not loaded (not installed).",
    ),
    "requires-cycle": Case({"shop.py": "__plugin__ = {'after': ['shop']}\n1/0"}, says="It has to come after itself"),
    "hook-unknown": Case({"shop.py": "def myapp_configuer(app, plugin): pass"}, says="Did you mean myapp_configure?"),
    "hook-failed": Case({"shop.py": f"{CONFIGURE}raise SystemExit"}, says="shop.py:2: SystemExit"),
    "enabled-failed": Case({"shop.py": "def enabled(app):\n    return 1 / 0"}, says="shop.py:2: ZeroDivisionError"),
    "mapper-failed": Case({"shop.py": MODEL}, says="'Nope'"),
    "ready-failed": Case({"shop.py": "def myapp_ready(app, plugin):\n    return 1 / 0"}, says="shop.py:2: ZeroDiv"),
    "endpoint-taken": Case(
        {
            "cart.py": f"{CONFIGURE}app.add_url_rule('/a', 'index', lambda: '')",
            "shop.py": f"{CONFIGURE}app.add_url_rule('/b', 'index', lambda: '')",
        },
        says="The endpoint index is that of the plugin cart and of the plugin shop; the plugin cart keeps it.",
    ),
    "blueprint-taken": Case(
        {
            "cart.py": SERVES.format(name="shop") + f"{CONFIGURE}app.register_blueprint(bp)",
            "shop.py": SERVES.format(name="shop") + BLUEPRINTS,
        },
        says="The blueprint shop is that of the plugin cart and of the plugin shop; the plugin cart keeps it.",
    ),
    "rule-taken": Case(
        {
            "cart.py": "__plugin__ = {'mount': '/x'}\n" + SERVES.format(name="cart") + BLUEPRINTS,
            "shop.py": "__plugin__ = {'mount': '/x'}\n" + SERVES.format(name="shop") + BLUEPRINTS,
        },
        says="The plugin cart (cart.index) and the plugin shop (shop.index) both have the rule GET /x/;",
    ),
    "config-taken": Case(
        {"cart.py": f"{CONFIGURE}app.config['A'] = 1", "shop.py": f"{CONFIGURE}app.config['A'] = 2"},
        says="cart and the plugin shop both have the configuration key A; the value of the plugin shop counts.",
    ),
    "command-taken": Case(
        {
            "cart.py": f"{CONFIGURE}app.cli.command('pay')(lambda: None)",
            "shop.py": f"{CONFIGURE}app.cli.command('pay')(lambda: None)",
        },
        says="The plugin cart and the plugin shop both have the command pay; that of the plugin cart runs, because",
    ),
    "template-outside": Case(
        {"shop/__init__.py": PAGES.format(name="shop"), "shop/templates/till/x.html": "shop"},
        says="till: templates are found in the folder shop/ of templates/ only.",
    ),
}
#: Problems that a start in lenient mode does not have, or that another test is about.
ELSEWHERE = {"not-found", "needed-missing", "critical-skipped", "runtime-failed", "tables-failed", "template-taken"}


def test_every_problem_has_a_case() -> None:
    """A new code comes with its state, its hint and its case."""
    assert set(HINTS) == set(STATES) == set(PROBLEMS) | ELSEWHERE


@pytest.mark.parametrize("code", PROBLEMS)
def test_problem(code: str, make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """It leads to its state, names what is wrong, and says the next step."""
    case = PROBLEMS[code]
    folder = make_folder("plugins", case.files)
    if code == "outside-folder":
        (folder / "shop.py").symlink_to(make_folder("elsewhere", {"shop.py": "raise AssertionError"}) / "shop.py")

    app = make_plugin_app(folder, **case.config)

    found = [report for report in get_report(app) if report.problem is not None]
    [report] = [report for report in found if report.problem and report.problem.code == code]
    assert report.problem is not None
    assert found == [report]
    assert report.state == STATES[code]
    assert case.says in report.problem.summary
    assert report.problem.hint == HINTS[code]


def test_every_state_is_reached() -> None:
    """By a problem, or in the test below."""
    assert {*STATES.values()} | {"active", "disabled", "skipped", "unknown"} == {*t.get_args(State)}


def test_states_without_a_problem(make_folder: MakeFolder, make_plugin_app: MakeApp, tmp_path: Path) -> None:
    """Served; turned off by the operator; not wanted by itself; not known, because no app was built."""
    files = {
        "one.py": f"{CONFIGURE}pass",
        "two.py": "1/0",
        "three.py": "def enabled(app):\n    return 'The till is closed.'\n",
        "four.py": "ENABLED = False\n",
        "five.py": "enabled = None\ndef enabled(app):\n    return app.config.get('FIVE')\n",
        "six.py": "def enabled(app):\n    return True\n",
    }
    folder = make_folder("plugins", files)

    reports = {report.name: report for report in get_report(make_plugin_app(folder, MYAPP_PLUGINS_DISABLED="two"))}

    assert {name: report.state for name, report in reports.items()} == {
        "one": "active",
        "two": "disabled",
        "three": "skipped",
        "four": "skipped",
        "five": "skipped",
        "six": "active",
    }
    assert reports["three"].reason == "The till is closed."
    assert reports["four"].reason == f"ENABLED is False in {folder / 'four.py'}."
    assert reports["five"].reason == f"enabled(app) returned None in {folder / 'five.py'}."
    loaded = load(
        {"MYAPP_PLUGIN_DIRS": str(folder), "MYAPP_PROFILE": "development", "MYAPP_INSTANCE_PATH": str(tmp_path)}
    )
    assert {report.state for report in scan_offline(loaded)} == {"unknown"}


def test_hint_names_the_plugin(make_folder: MakeFolder, make_plugin_app: MakeApp, tmp_path: Path) -> None:
    """What is to be typed can be typed, also when there is no app."""
    folder = make_folder("plugins", {"gate.py": "__plugin__ = {'critical': True}\n"})
    config = {"MYAPP_PLUGIN_DIRS": str(folder), "MYAPP_PROFILE": "development", "MYAPP_INSTANCE_PATH": str(tmp_path)}
    make_plugin_app(folder, MYAPP_INSTANCE_PATH=str(tmp_path))
    (folder / "gate.py").unlink()

    [report] = scan_offline(load(config))

    assert report.problem is not None
    assert "python -m myapp plugins disable --force gate" in report.problem.hint


@pytest.mark.parametrize(
    ("till", "config", "hint"),
    [
        (
            "'enabled': False",
            {},
            "till: It is off unless somebody wants it: `flask plugins enable till`, or MYAPP_PLUGINS.",
        ),
        ("", {"MYAPP_PLUGINS_DISABLED": "till"}, "till: MYAPP_PLUGINS_DISABLED names it."),
        ("'version': '1.4'", {}, "Install till >=2, or remove this one."),
        ("'nam': 1", {}, "Install or repair the plugin that it requires, or remove this one."),
    ],
)
def test_hint_of_what_is_required_is_that_of_the_cause(
    till: str, config: dict[str, t.Any], hint: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """What is off is turned on, what does not fit is installed, and what is broken is repaired."""
    files = {"shop.py": "__plugin__ = {'requires': {'till': '>=2'}}", "till.py": f"__plugin__ = {{{till}}}"}

    reports = get_report(make_plugin_app(make_folder("plugins", files), **config))

    [wrong] = [report.problem for report in reports if report.name == "shop"]
    assert wrong is not None
    assert (wrong.code, wrong.hint) == ("requires-missing", hint)


def test_skipped_plugin_is_asked_once_and_leaves_nothing(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Who requires it is told; what it has imported goes with it."""
    files = {
        "asks.py": "def enabled(app):\n    app.config['ASKED'].append('asks')\n    return False\n",
        "kin.py": "__plugin__ = {'requires': {'asks': ''}}\nraise AssertionError\n",
        "zz_fails.py": f"{CONFIGURE}raise RuntimeError",
    }
    asked: list[str] = []

    class Asked(list[str]):
        """One list for every attempt: plain ones are copied."""

        def append(self, name: str) -> None:
            asked.append(name)

    app = make_plugin_app(make_folder("plugins", files), ASKED=Asked())

    states = {report.name: (report.state, report.problem and report.problem.summary) for report in get_report(app)}
    assert states["asks"] == ("skipped", None)
    assert states["kin"] == ("missing-dependency", "It requires asks, which is not loaded (skipped).")
    # Once for each of the two apps that were built.
    assert asked == ["asks", "asks"]


def test_switch_of_an_object_is_asked(make_plugin_app: MakeApp) -> None:
    """A method; a property is not evaluated, and a submodule of that name is no switch."""

    class Off:
        name = "off"

        def enabled(self, app: CustomFlask) -> bool:
            return False

    class On:
        name = "on"

        @property
        def enabled(self) -> bool:
            raise AssertionError

    states = {report.name: report.state for report in get_report(make_plugin_app(wanted=[Off(), On()]))}

    assert states == {"off": "skipped", "on": "active"}


def test_folder_that_is_none_is_no_problem(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """A folder of documents with a script in it may lie beside the plugins; strict mode does not stop for it."""
    folder = make_folder(
        "plugins", {"docs/reference.py": "1/0  # def myapp_ready()", "docs/text.md": "__plugin__ = {}"}
    )
    (folder / "docs" / "lost.py").symlink_to("nowhere.py")

    assert get_report(make_plugin_app(folder, strict=True)) == ()


def test_messages_are_sentences() -> None:
    """Python's words for an error have no full stop; a question has its own end."""
    assert str(Problem("code", "x.py:1: SyntaxError: invalid syntax", "Correct it.")).endswith("syntax. Correct it.")
    assert str(Problem("code", "Did you mean shop?", "Rename it.")) == "Did you mean shop? Rename it."
    assert ": invalid syntax. It is critical" in str(PluginError("shop", "code", "invalid syntax", is_critical=True))
