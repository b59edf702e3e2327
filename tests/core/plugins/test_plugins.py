"""Plugins: found, planned, built on one app, reported; a broken one is as if it were disabled."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import types
import typing as t
from http import HTTPStatus

import pytest

from myapp import hookimpl
from myapp.core.errors import PluginError
from myapp.core.plugins import PluginReport, get_report
from myapp.testing import EVIL_PLUGINS
from myapp.testing.fingerprint import fingerprint
from tests.servers.outages import WITHOUT_ROOTS_RIGHTS

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask import Flask

    from myapp import CustomFlask, PluginContext

    from .conftest import MakeFolder

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"

PLUGIN = """
from flask import Blueprint

bp = Blueprint({name!r}, __name__)
bp.add_url_rule("/", "index", lambda: {text!r})


def myapp_blueprints(app, plugin):
    return bp
"""

SHOP = """
import click
from flask import Blueprint

__plugin__ = {"name": "shop", "version": "1.4.0", "summary": "Sell things"}

shop = Blueprint("shop", __name__)
admin = Blueprint("admin", __name__, url_prefix="/admin")
shop.add_url_rule("/", "index", lambda: "shop")
admin.add_url_rule("/", "index", lambda: "admin")


@shop.cli.command("stock")
def stock():
    print("stock")


@admin.cli.command("users")
def users():
    print("users")


@click.group("shop")
def commands():
    pass


@commands.command("sell")
def sell():
    print("sold")


def myapp_configure(app, plugin):
    app.config["ORDER"] = [*app.config.get("ORDER", ()), plugin.name]
    app.config["CONTEXT"] = plugin


def myapp_blueprints(app, plugin):
    return [shop, admin]


def myapp_commands(app, plugin):
    return commands


def myapp_ready(app, plugin):
    app.config["READY"] = app.config.get("READY", 0) + 1
"""


def report_of(app: CustomFlask, name: str) -> PluginReport:
    return next(report for report in get_report(app) if report.name == name)


def text_of(app: CustomFlask, path: str) -> str:
    response = app.test_client().get(path)
    assert response.status_code == HTTPStatus.OK, response.text
    return response.text


@pytest.mark.parametrize("error", ["asyncio.CancelledError", "type('Panic', (BaseException,), {})", "SystemExit"])
def test_what_is_no_exception_stops_one_plugin(error: str, make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """At the import and in a hook; Ctrl-C ends the start."""
    raises = f"import asyncio\nraise {error}\n"
    hook = f"import asyncio\ndef myapp_configure(app, plugin):\n    raise {error}\n"
    files = {"one.py": raises, "two.py": hook, "good.py": PLUGIN.format(name="good", text="good")}

    app = make_plugin_app(make_folder("plugins", files))

    assert {report.name: report.state for report in get_report(app)} == {
        "good": "active",
        "one": "broken-import",
        "two": "broken-register",
    }
    assert text_of(app, "/good/") == "good"
    with pytest.raises(KeyboardInterrupt):
        make_plugin_app(make_folder("more", {"three.py": "raise KeyboardInterrupt\n"}))


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("bad_signature", "bad_signature.py"),
        ("commands_raise", "commands_raise.py:12: SystemExit: 4"),
        ("configure_raises", "configure_raises.py:6: RuntimeError: it cannot be configured"),
        ("duplicate_endpoint", "duplicate_endpoint.py"),
        ("exits", "exits.py:3: SystemExit: 3"),
        ("import_raises", "import_raises.py:1: RuntimeError: the import fails"),
        ("missing_dependency", "missing_dependency.py:1: ModuleNotFoundError"),
        ("no_migrations", "a_folder_that_is_not_there"),
        ("mapper_broken", "'Nope'"),
        ("record_raises", "record_raises.py:18: RuntimeError"),
        ("syntax_error", "syntax_error.py:3: SyntaxError"),
        ("unknown_hook", "Did you mean myapp_configure?"),
    ],
)
def test_broken_plugin_is_not_served_and_says_why(
    name: str, where: str, zoo: Path, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """Whatever a plugin does to fail, the others are served, and the report says what it was."""
    good = make_folder("good", {"good.py": PLUGIN.format(name="good", text="good")})

    broken = make_plugin_app(zoo, good, MYAPP_PLUGINS=f"{name},good")

    assert broken.test_client().get(f"/{name}/").status_code == HTTPStatus.NOT_FOUND
    assert text_of(broken, "/good/") == "good"
    report = report_of(broken, name)
    assert report.problem is not None
    assert (report.state, report.problem.code) == EVIL_PLUGINS[name]
    assert report.problem.summary.startswith(str(zoo / f"{name}.py"))
    assert where in report.problem.summary
    assert report.problem.hint


@pytest.mark.parametrize("name", sorted(EVIL_PLUGINS))
def test_broken_plugin_is_fatal_in_strict_mode(name: str, zoo: Path, make_plugin_app: MakeApp) -> None:
    """The start fails and names the plugin."""
    with pytest.raises(PluginError) as caught:
        make_plugin_app(zoo, strict=True, MYAPP_PLUGINS=name)

    assert caught.value.plugin == name


def test_interrupt_is_not_a_failure_of_a_plugin(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Who presses Ctrl-C while a plugin is imported wants to stop, not to go on without it."""
    folder = make_folder("plugins", {"slow.py": "raise KeyboardInterrupt\n"})

    with pytest.raises(KeyboardInterrupt):
        make_plugin_app(folder)


def test_broken_plugins_are_logged_once(zoo: Path, make_plugin_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """A whole zoo: one line for each, however often the app was built."""
    with caplog.at_level(logging.ERROR, "myapp.plugins"):
        app = make_plugin_app(zoo)

    logged = sorted(record.getMessage().split()[2] for record in caplog.records if record.name == "myapp.plugins")
    assert logged == sorted(EVIL_PLUGINS)
    assert {report.state for report in get_report(app)} == {"broken-import", "broken-register"}


def test_plugin_is_served_under_its_mount_and_name(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """The blueprint named like its plugin is bare, others lie under the plugin's name and path."""
    app = make_plugin_app(make_folder("plugins", {"shop/__init__.py": SHOP}))

    assert text_of(app, "/shop/") == "shop"
    assert text_of(app, "/shop/admin/") == "admin"
    assert {"shop.index", "shop.admin.index"} <= set(app.view_functions)
    report = report_of(app, "shop")
    assert (report.state, report.version, report.mount, report.problem) == ("active", "1.4.0", "/shop", None)


def test_commands_of_a_plugin_lie_below_its_name(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Those of the hook, of the plugin's blueprint and of another blueprint, none of them at the top."""
    plain = set(make_plugin_app().cli.commands)
    app = make_plugin_app(make_folder("plugins", {"shop/__init__.py": SHOP}))
    invoke = app.test_cli_runner().invoke

    outputs = [invoke(args=["shop", *words.split()]).output for words in ("sell", "stock", "admin users")]

    assert outputs == ["sold\n", "stock\n", "users\n"]
    assert set(app.cli.commands) - plain == {"shop"}


def test_ready_runs_once_on_the_accepted_app(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Apps that were thrown away, because another plugin failed, have not started anything."""
    ready = "READY = []\n\ndef myapp_ready(app, plugin):\n    READY.append(app)\n"
    fails = "def myapp_commands(app, plugin):\n    raise RuntimeError\n"
    app = make_plugin_app(make_folder("plugins", {"ready.py": ready, "zzz.py": fails}))

    import myapp_plugins

    module = next(vars(myapp_plugins)[name] for name in vars(myapp_plugins) if name.startswith("ready"))
    assert len(module.READY) == 1
    assert module.READY[0] is app
    assert report_of(app, "zzz").state == "broken-register"


def test_failing_ready_leaves_the_plugin_degraded(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """By then the app is accepted and others may have started threads: it stays, and the report says so."""
    source = PLUGIN.format(name="late", text="late") + "\ndef myapp_ready(app, plugin):\n    raise RuntimeError('no')\n"
    folder = make_folder("plugins", {"late.py": source})
    app = make_plugin_app(folder)

    assert text_of(app, "/late/") == "late"
    assert report_of(app, "late").state == "degraded"
    with pytest.raises(PluginError, match="ready-failed"):
        make_plugin_app(folder, strict=True)


def test_context_tells_a_plugin_about_itself(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Name, version, mount, folder, and settings with their types."""
    manifest = '"config": {"page_size": {"type": "int", "default": 20, "min": 1}, "title": {"type": "str"}}, '
    folder = make_folder("plugins", {"shop/__init__.py": SHOP.replace('"summary"', manifest + '"summary"')})

    app = make_plugin_app(folder, MYAPP_PLUGIN_SHOP__PAGE_SIZE="50")

    context: PluginContext = app.config["CONTEXT"]
    assert (context.name, context.version, context.mount) == ("shop", "1.4.0", "/shop")
    assert context.root_path == folder / "shop"
    assert dict(context.config) == {"page_size": 50, "title": None}


def test_wrong_setting_turns_a_plugin_off(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """The app boots, and the report names every setting that is wrong, and no value."""
    manifest = '"config": {"page_size": {"type": "int", "min": 1}, "token": {"required": True}}, '
    folder = make_folder("plugins", {"shop/__init__.py": SHOP.replace('"summary"', manifest + '"summary"')})

    app = make_plugin_app(folder, MYAPP_PLUGIN_SHOP__PAGE_SIZE="-77", MYAPP_PLUGIN_SHOP__PAGE_SIZ="1")

    report = report_of(app, "shop")
    assert report.state == "misconfigured"
    assert report.problem is not None
    for text in ("SHOP__PAGE_SIZE (from the argument of create_app): ", "SHOP__TOKEN: ", "Did you mean page_size?"):
        assert text in report.problem.summary
    assert "-77" not in report.problem.summary


def test_operator_disables_and_allows(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """A disabled plugin is not imported, has no problem, and says who disabled it."""
    folder = make_folder("plugins", {name: "raise RuntimeError" for name in ("one.py", "two.py")})

    app = make_plugin_app(folder, MYAPP_PLUGINS="two", MYAPP_PLUGINS_DISABLED="two")

    assert [(report.state, report.problem) for report in get_report(app)] == [("disabled", None)] * 2
    assert "MYAPP_PLUGINS does not name it" in report_of(app, "one").reason
    assert "MYAPP_PLUGINS_DISABLED" in report_of(app, "two").reason


def test_disabled_plugin_with_a_syntax_error_is_disabled(zoo: Path, make_plugin_app: MakeApp) -> None:
    """Who turned it off does not want to hear about it in strict mode either."""
    app = make_plugin_app(zoo, strict=True, MYAPP_PLUGINS="")

    assert {report.state for report in get_report(app)} == {"disabled"}


def test_operator_moves_a_plugin(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """``MYAPP_BLUEPRINT_PREFIXES`` wins over the manifest's mount."""
    app = make_plugin_app(
        make_folder("plugins", {"shop/__init__.py": SHOP}), MYAPP_BLUEPRINT_PREFIXES={"shop": "/store"}
    )

    assert text_of(app, "/store/admin/") == "admin"


def test_core_names_are_reserved(make_app: Callable[..., CustomFlask], make_folder: MakeFolder) -> None:
    """A plugin cannot call itself like a blueprint of the core or like a command."""
    folder = make_folder("plugins", {"demo.py": PLUGIN.format(name="demo", text="mine"), "run.py": ""})

    app = make_app(config={"MYAPP_PLUGIN_DIRS": str(folder)}, strict=False, plugins=None)

    for name in ("demo", "run"):
        report = report_of(app, name)
        assert (report.state, report.problem and report.problem.code) == ("conflict", "name-reserved")


def test_same_name_twice_is_a_conflict_that_names_both(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """The folder that is listed first wins."""
    one = make_folder("one", {"twin.py": PLUGIN.format(name="twin", text="one")})
    two = make_folder("two", {"twin.py": PLUGIN.format(name="twin", text="two")})

    app = make_plugin_app(two, one)

    assert text_of(app, "/twin/") == "two"
    loser = next(report for report in get_report(app) if report.state == "conflict")
    assert loser.problem is not None
    assert str(one) in loser.problem.summary
    assert str(two) in loser.problem.summary


def test_two_apps_with_different_plugins_live_in_one_process(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Built alternately ten times, with two plugins of one name, a broken one, and different mounts."""
    one = make_folder("one", {"both.py": PLUGIN.format(name="both", text="one"), "bad.py": "raise RuntimeError"})
    two = make_folder("two", {"both.py": PLUGIN.format(name="both", text="two"), "shop/__init__.py": SHOP})
    first_rules = second_rules = None
    for _ in range(10):
        first = make_plugin_app(one)
        second = make_plugin_app(two, MYAPP_BLUEPRINT_PREFIXES={"both": "/other"})
        assert text_of(first, "/both/") == "one"
        assert text_of(second, "/other/") == "two"
        assert text_of(second, "/shop/") == "shop"
        assert second.config["READY"] == 1
        assert [report.name for report in get_report(first)] == ["both", "bad"]
        rules = fingerprint(first), fingerprint(second)
        assert rules == (first_rules or rules[0], second_rules or rules[1])
        first_rules, second_rules = rules


def test_plugins_are_built_in_the_order_of_the_report(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """``requires``, ``after`` and ``before`` come first, then the name; the report's order is that of the hooks."""
    source = (
        "__plugin__ = {manifest}\ndef myapp_configure(app, plugin):\n"
        "    app.config['ORDER'] = [*app.config.get('ORDER', ()), plugin.name]\n"
    )
    manifests: dict[str, dict[str, t.Any]] = {
        "aaa": {"requires": {"ddd": ">=1"}},
        "bbb": {"after": ["ccc"]},
        "ccc": {},
        "ddd": {"version": "1.5"},
        "eee": {"before": ["bbb", "not_there"]},
        "fff": {"requires": {"ddd": ">=2"}},
        "ggg": {"requires": {"fff": ""}},
        "zzz": {"requires": {"ddd": ""}},
    }
    folder = make_folder("plugins", {f"{n}.py": source.format(manifest=m) for n, m in manifests.items()})

    app = make_plugin_app(folder)

    assert app.config["ORDER"] == ["ccc", "ddd", "aaa", "eee", "bbb", "zzz"]
    assert [(report.name, report.state) for report in get_report(app)] == [
        *((name, "active") for name in app.config["ORDER"]),
        ("fff", "missing-dependency"),
        ("ggg", "missing-dependency"),
    ]


def test_cycle_rejects_its_members_only(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Two that wait for each other are problems; who comes after them is not."""
    manifests = {"one": {"after": ["two"]}, "two": {"after": ["one"]}, "three": {"after": ["one"]}}
    folder = make_folder("plugins", {f"{name}.py": f"__plugin__ = {m}" for name, m in manifests.items()})

    app = make_plugin_app(folder)

    assert [(report.name, report.state) for report in get_report(app)] == [
        ("three", "active"),
        ("one", "missing-dependency"),
        ("two", "missing-dependency"),
    ]


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        ("{'nam': 'shop'}", "Did you mean name?"),
        ("{'name': compute()}", "not a literal"),
        ("{'version': 1}", "'version' is a int"),
        ("{'name': 'other'}", "says the name 'other'"),
        ("{'app': '>=99'}", "made for myapp >=99"),
        ("{'requires': {'x': 'newest'}}", "newest"),
    ],
)
def test_wrong_manifest_is_a_problem_without_an_import(
    manifest: str, text: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """The plugin says what is wrong with it and is never executed."""
    app = make_plugin_app(make_folder("plugins", {"shop.py": f"__plugin__ = {manifest}\nraise AssertionError"}))

    problem = report_of(app, "shop").problem

    assert problem is not None
    assert text in problem.summary


def test_entry_point_of_a_distribution_is_a_plugin(
    fake_distribution: Callable[..., None], make_plugin_app: MakeApp
) -> None:
    """Installed with pip, a plugin is found by its entry point; another distribution that is broken hides nothing."""
    fake_distribution("broken-entry", "[myapp.plugins]\nthis line has no equals sign\n")
    fake_distribution(
        "store-plugin",
        "[myapp.plugins]\nstore-front = store_plugin_module\n",
        store_plugin_module=PLUGIN.format(name="store_front", text="installed"),
    )

    app = make_plugin_app()

    assert text_of(app, "/store_front/") == "installed"
    report = report_of(app, "store_front")
    assert (report.origin, report.version, report.module) == ("store-plugin 1.2", "1.2", "store_plugin_module")


def test_spaces_around_the_colon_of_an_entry_point(
    fake_distribution: Callable[..., None], make_plugin_app: MakeApp
) -> None:
    """They are allowed, and no part of a name."""
    module = PLUGIN.format(name="spacious", text="spacious") + "\nplugin = __import__('sys').modules[__name__]\n"
    fake_distribution(
        "spacious", "[myapp.plugins]\nspacious = spacious_module : plugin [extra]\n", spacious_module=module
    )

    assert text_of(make_plugin_app(), "/spacious/") == "spacious"


def test_mount_of_a_name_with_a_hyphen(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """The operator writes it as it is installed."""
    folder = make_folder("plugins", {"corner-shop/__init__.py": PLUGIN.format(name="corner_shop", text="corner")})

    assert text_of(make_plugin_app(folder, MYAPP_BLUEPRINT_PREFIXES="corner-shop=/x"), "/x/") == "corner"


def test_disabled_entry_point_is_not_imported(fake_distribution: Callable[..., None], make_plugin_app: MakeApp) -> None:
    """Its manifest is read from the file."""
    source = "__plugin__ = {'version': '7.1'}\nraise AssertionError\n"
    fake_distribution("store-plugin", "[myapp.plugins]\nstore = store_plugin_module\n", store_plugin_module=source)

    app = make_plugin_app(strict=True, MYAPP_PLUGINS_DISABLED="store")

    assert (report_of(app, "store").state, report_of(app, "store").version) == ("disabled", "7.1")


def test_remains_of_an_installation_are_a_problem(fake_dist: Callable[..., Path], make_plugin_app: MakeApp) -> None:
    """Python imports a folder without ``__init__.py`` as an empty package, which has none of the hooks."""
    files = {"left_shop/migrations/0002_more.py": "", "space_till/till.py": ""}
    folder = fake_dist("left", "1.2", "[myapp.plugins]\nshop = left_shop\ntill = space_till.till\n", files)

    app = make_plugin_app()

    report, problem = report_of(app, "shop"), report_of(app, "shop").problem
    assert problem is not None
    assert (report.state, problem.code) == ("broken-import", "import-failed")
    assert problem.summary.startswith(f"There is no __init__.py in {folder / 'left_shop'}. ")
    assert "remove it" in problem.summary
    # A module in a package of this kind is there.
    assert report_of(app, "till").state == "active"


def test_entry_point_wins_over_a_folder(
    fake_distribution: Callable[..., None], make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """The source with the lower rank has the name."""
    module = PLUGIN.format(name="store", text="installed")
    fake_distribution("store-plugin", "[myapp.plugins]\nstore = store_plugin_module\n", store_plugin_module=module)
    folder = make_folder("plugins", {"store.py": PLUGIN.format(name="store", text="dropped in")})

    assert text_of(make_plugin_app(folder), "/store/") == "installed"


def test_wanted_plugins_are_these_and_no_others(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """A name, a module and an object, in this order; what the operator has disabled is not what the code asks for."""
    folder = make_folder("plugins", {"one.py": PLUGIN.format(name="one", text="one"), "two.py": "raise AssertionError"})
    module = types.ModuleType("some.module_plugin")
    exec(PLUGIN.format(name="module_plugin", text="module"), module.__dict__)

    class ObjectPlugin:
        """Hooks as methods."""

        @hookimpl
        def myapp_configure(self, app: Flask, plugin: PluginContext) -> None:
            app.config["CONFIGURED"] = plugin.name

        @property
        def trap(self) -> str:
            raise AssertionError("registering a plugin evaluated a property")

    app = make_plugin_app(folder, wanted=["one", module, ObjectPlugin()], MYAPP_PLUGINS_DISABLED="one")

    assert [report.name for report in get_report(app)] == ["one", "module_plugin", "object_plugin"]
    assert text_of(app, "/one/") == "one"
    assert text_of(app, "/module_plugin/") == "module"
    assert app.config["CONFIGURED"] == "object_plugin"


def test_wanted_plugin_that_is_not_there_is_reported(make_plugin_app: MakeApp) -> None:
    """Asked for and not found: a problem, and fatal in strict mode."""
    app = make_plugin_app(wanted=["nowhere"])

    problem = report_of(app, "nowhere").problem

    assert problem is not None
    assert problem.code == "not-found"
    with pytest.raises(PluginError, match="not-found"):
        make_plugin_app(wanted=["nowhere"], strict=True)


def test_link_out_of_the_folder_is_a_problem(make_folder: MakeFolder, make_plugin_app: MakeApp, tmp_path: Path) -> None:
    """Real paths stay inside the configured folder."""
    folder = make_folder("plugins", {"good.py": ""})
    outside = make_folder("outside", {"evil/__init__.py": "raise AssertionError"})
    (folder / "evil").symlink_to(outside / "evil")

    app = make_plugin_app(folder)

    problem = report_of(app, "evil").problem
    assert problem is not None
    assert problem.code == "outside-folder"


def test_migrations_are_registered_for_the_plugins_own_models(
    make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """The folder is the one that the hook names, below the plugin's own."""
    source = "def myapp_migrations(plugin):\n    return 'versions'\n"
    folder = make_folder("plugins", {"ledger/__init__.py": source, "ledger/versions/.keep": ""})

    app = make_plugin_app(folder)

    owner = app.extensions["myapp.data"].owners["ledger"]
    assert owner.versions == folder / "ledger" / "versions"
    assert owner.package == report_of(app, "ledger").module


def test_links_in_a_circle_are_a_problem_of_their_own(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """The plugin beside them is served."""
    folder = make_folder("plugins", {"fine.py": PLUGIN.format(name="fine", text="fine")})
    (folder / "circle.py").symlink_to("circle.py")

    app = make_plugin_app(folder)

    problem = report_of(app, "circle").problem
    assert problem is not None
    assert (report_of(app, "circle").state, problem.code) == ("broken-import", "import-failed")
    assert str(folder / "circle.py") in problem.summary
    assert text_of(app, "/fine/") == "fine"


def test_folder_that_may_not_be_read_is_a_problem_of_its_own(make_folder: MakeFolder, tmp_path: Path) -> None:
    """The plugin beside it is served."""
    folder = make_folder("plugins", {"fine.py": "", "locked/__init__.py": ""})
    config = {"TESTING": True, "MYAPP_PLUGIN_DIRS": [str(folder)], "MYAPP_INSTANCE_PATH": str(tmp_path / "instance")}
    source = (
        "from myapp import create_app\nfrom myapp.core.plugins import get_report\n"
        f"app = create_app({config!r}, strict=False)\n"
        "print({one.name: one.problem.summary if one.problem else one.state for one in get_report(app)})"
    )
    (folder / "locked").chmod(0)
    try:
        command = [*WITHOUT_ROOTS_RIGHTS, sys.executable, "-c", source]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    finally:
        (folder / "locked").chmod(0o700)

    assert "'fine': 'active'" in result.stdout, result.stderr
    assert f"{folder}/locked cannot be looked into: [Errno 13] Permission denied" in result.stdout


@pytest.mark.parametrize("wrong", ["", "    raise RuntimeError\n"])
def test_plugin_silences_nobody(
    wrong: str, make_folder: MakeFolder, make_plugin_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """``dictConfig`` switches off the loggers that are there: whether it is served or not, the others are heard."""
    loud = "import logging.config\ndef myapp_configure(app, plugin):\n    logging.config.dictConfig({'version': 1})\n"
    folder = make_folder("plugins", {"aaa.py": loud + wrong, "zzz.py": "1 / 0\n"})
    loggers = [one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    before = {one: one.disabled for one in loggers}
    handlers = logging.root.handlers[:]
    try:
        with pytest.raises(PluginError):
            make_plugin_app(make_folder("loud", {"bad.py": f"{loud}    raise RuntimeError\n"}), strict=True)
        is_heard = not logging.getLogger("myapp.plugins").disabled
        make_plugin_app(folder)
    finally:
        for one, is_disabled in before.items():
            one.disabled = is_disabled
        logging.root.handlers[:] = handlers

    said = [record.message for record in caplog.records if record.name == "myapp.plugins"]
    assert is_heard
    assert any("The plugin zzz is not served" in text for text in said)
    assert any("The plugin aaa is not served" in text for text in said) == bool(wrong)


def test_options_of_templates_are_those_of_one_app(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Flask keeps them on its class: there, what a plugin that failed has said would break every page of the next."""
    source = "def myapp_configure(app, plugin):\n    app.jinja_options['variable_start_string'] = '[['\n"
    folder = make_folder("plugins", {"odd.py": source, "bad.py": source + "    raise RuntimeError\n"})

    apps = [make_plugin_app(folder, MYAPP_PLUGINS=name) for name in ("odd", "bad", "")]

    assert [app.jinja_options for app in apps] == [{"variable_start_string": "[["}, {}, {}]
    assert [app.jinja_env.variable_start_string for app in apps] == ["{{"] * 3


def test_link_that_leads_nowhere_is_a_problem(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """It may be a plugin that guards the site, on a disk that is not there; a pipe is nothing."""
    folder = make_folder("plugins", {"good.py": PLUGIN.format(name="good", text="good")})
    (folder / "guard").symlink_to(folder.parent / "releases" / "guard")
    os.mkfifo(folder / "pipe.py")

    reports = {report.name: report for report in get_report(make_plugin_app(folder))}

    assert set(reports) == {"good", "guard"}
    assert reports["guard"].problem is not None
    assert "releases/guard, which is not there" in reports["guard"].problem.summary


@pytest.mark.parametrize(
    "metadata", [None, b"Metadata-Version: 2.1\n", b"Metadata-Version: 2.1\nName: aa\nVersion: 1.0\nAuthor: J\xf6rg\n"]
)
def test_distribution_without_readable_metadata_is_there(
    metadata: bytes | None, fake_dist: Callable[..., Path], make_plugin_app: MakeApp
) -> None:
    """Its plugins are imported all the same; one of them may guard the site. Its folder has a name and a version."""
    for name in ("aa", "bb"):
        source = f'__plugin__ = {{"name": "{name}", "critical": True}}\n'
        site = fake_dist(
            f"{name}-dist", "1.5", f"[myapp.plugins]\n{name} = {name}_plain\n", {f"{name}_plain.py": source}
        )
        [folder] = site.glob(f"{name}*.dist-info")
        (folder / "METADATA").unlink() if metadata is None else (folder / "METADATA").write_bytes(metadata)

    reports = get_report(make_plugin_app())

    assert [(report.name, report.state, report.is_critical) for report in reports] == [
        ("aa", "active", True),
        ("bb", "active", True),
    ]
    assert [report.origin.partition(" ")[2] for report in reports] == ["1.5", "1.5"]
