"""``flask plugins inspect``, ``config``, ``enable``, ``disable`` and ``migrate``, with an app and without one."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from flask.cli import ScriptInfo

from myapp.__main__ import main
from myapp.core.cli.doctor import doctor
from myapp.core.cli.plugins import plugins
from myapp.core.cli.why import why
from tests.runners import runner

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from myapp import CustomFlask

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"
ROOT = Path(__file__).resolve().parents[3]
SHOP = """
import click
from flask import Blueprint

__plugin__ = {
    "name": "shop", "version": "1.4", "summary": "Sell things", "requires": {"fine": ""}, "after": ["theme"],
    "config": {
        "page_size": {"type": "int", "default": 20, "min": 1, "help": "Rows per page"},
        "api_key": {"secret": True},
        "hook": {"secret": True, "help": "Where to"},
    },
}
blueprint = Blueprint("shop", __name__)
blueprint.add_url_rule("/things", "things", lambda: "things")


def myapp_blueprints(app, plugin):
    return blueprint


def myapp_commands(app, plugin):
    return [click.Command("restock", callback=lambda: None)]
"""
FILES = {"shop.py": SHOP, "fine.py": "", "guard.py": "__plugin__ = {'critical': True}\n"}


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    """Return a plugin folder with a shop, what it requires, and a critical plugin."""
    return make_folder("plugins", FILES)


@pytest.fixture
def run(folder: Path, tmp_path: Path, make_plugin_app: MakeApp) -> Callable[..., Result]:
    """Return a function that runs ``flask plugins …`` for an app with the folder; ``app=…`` is another one."""

    def invoke(*args: str, app: Callable[[], CustomFlask] | None = None, **config: t.Any) -> Result:
        config = {"MYAPP_INSTANCE_PATH": str(tmp_path / "instance"), **config}
        factory = app or (lambda: make_plugin_app(folder, **config))
        return runner().invoke(plugins, args, obj=ScriptInfo(create_app=factory))

    return invoke


def states(run: Callable[..., Result], **config: t.Any) -> dict[str, str]:
    return {entry["name"]: entry["state"] for entry in json.loads(run("list", "--json", **config).stdout)["plugins"]}


def decisions(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "instance" / "plugins.json"
    entries = json.loads(file.read_text())["plugins"] if file.exists() else {}
    return {name: entry["decision"] for name, entry in entries.items() if "decision" in entry}


def fail() -> CustomFlask:
    raise RuntimeError("the app cannot be built")


@pytest.fixture
def outside(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say in the environment what an app that cannot boot cannot say."""
    monkeypatch.setenv("MYAPP_PLUGIN_DIRS", str(folder))
    monkeypatch.setenv("MYAPP_INSTANCE_PATH", str(tmp_path / "instance"))


def test_inspect(run: Callable[..., Result]) -> None:
    """What it declares, what was decided, what it serves; nothing secret."""
    secrets = {"MYAPP_PLUGIN_SHOP__HOOK": "canary", "MYAPP_PLUGIN_SHOP__API_KEY": "canary"}
    run("enable", "shop")

    as_json, as_text = run("inspect", "shop", "--json", **secrets), run("inspect", "shop", **secrets)

    [entry] = json.loads(as_json.stdout)["plugins"]
    assert (as_json.exit_code, as_text.exit_code, json.loads(as_json.stdout)["schema"]) == (0, 0, 1)
    assert {key: entry[key] for key in ("name", "version", "state", "problem", "decision", "requires", "after")} == {
        "name": "shop", "version": "1.4", "state": "active", "problem": None, "decision": "enabled",
        "requires": {"fine": ""}, "after": ["theme"],
    }  # fmt: skip
    assert (entry["rules"], entry["commands"]) == (["/shop/things"], ["flask shop restock"])
    assert [setting["value"] for setting in entry["settings"]] == ["20", "***", "***"]
    assert as_text.stdout.startswith("plugin shop: active\n  version    1.4\n  summary    Sell things\n")
    assert "  rules      /shop/things\n  commands   flask shop restock\n" in as_text.stdout
    assert "canary" not in as_json.output + as_text.output


def test_inspect_shows_problems(run: Callable[..., Result], folder: Path) -> None:
    """Exit 1, with the code, the sentence and the next step."""
    (folder / "shop.py").write_text("1 / 0", encoding="utf-8")
    result = run("inspect", "shop")
    assert result.exit_code == 1
    assert "plugin shop: broken-import" in result.stdout
    assert "problem    import-failed: " in result.stdout
    assert "  next       Correct what the message names" in result.stdout


def test_config(run: Callable[..., Result]) -> None:
    """Each setting with its value, the layer that it came from, and what it is for; exit 1 when one cannot be used."""
    fine = run("config", "shop", MYAPP_PLUGIN_SHOP__HOOK="canary")
    wrong = run("config", "shop", "--json", MYAPP_PLUGIN_SHOP__PAGE_SIZE="none")

    assert fine.exit_code == 0
    assert fine.stdout.splitlines() == [
        "MYAPP_PLUGIN_SHOP__PAGE_SIZE is 20 (from the manifest of shop).",
        "    Rows per page (int)",
        "MYAPP_PLUGIN_SHOP__API_KEY is not set (from the manifest of shop).",
        "    No help. (str, secret)",
        "MYAPP_PLUGIN_SHOP__HOOK is *** (from the argument of create_app).",
        "    Where to (str, secret)",
    ]
    [entry] = json.loads(wrong.stdout)["plugins"]
    assert (wrong.exit_code, entry["state"]) == (1, "misconfigured")
    assert entry["settings"][0]["default"] == 20
    assert run("config", "fine").stdout == "It declares no settings.\n"


def test_disable_and_enable(run: Callable[..., Result], tmp_path: Path) -> None:
    """From the next start on; twice is fine, and ``-`` is ``_``."""
    disabled = run("disable", "shop")
    assert disabled.output == f"shop is disabled from the next start on ({tmp_path / 'instance' / 'plugins.json'}).\n"
    assert states(run)["shop"] == "disabled"
    assert run("disable", "shop").stdout == "shop was disabled already. Nothing was changed.\n"
    assert run("enable", "shop").exit_code == 0
    assert states(run)["shop"] == "active"
    assert decisions(tmp_path) == {"shop": "enabled"}


@pytest.mark.parametrize("command", ["inspect", "config", "enable", "disable", "migrate"])
def test_unknown_name(run: Callable[..., Result], command: str, tmp_path: Path) -> None:
    """Exit 2 and the closest name; nothing is decided."""
    result = run(command, "shopp")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "No plugin is called shopp. Did you mean shop?" in result.stderr
    assert decisions(tmp_path) == {}


def test_no_plugin_is_imported_for_a_decision(
    run: Callable[..., Result], folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The one to be disabled may hang, or end the process; the environment and the log stay as they were."""
    (folder / "shop.py").write_text("import os\nos._exit(7)", encoding="utf-8")
    assert run("disable", "shop").exit_code == 0
    assert decisions(tmp_path) == {"shop": "disabled"}
    assert "MYAPP_SAFE_MODE" not in os.environ
    assert logging.root.manager.disable == 0
    assert caplog.messages == []


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("name", ["shop", "guard"])
def test_app_that_cannot_boot(run: Callable[..., Result], name: str, tmp_path: Path) -> None:
    """It is said, and what can be done without it is done."""
    disabled = run("disable", name, "--force", app=fail)
    assert disabled.exit_code == 0
    assert "RuntimeError: the app cannot be built" in disabled.stderr
    assert decisions(tmp_path) == {name: "disabled"}
    for command in ("inspect", "config"):
        looked = run(command, name, "--json", app=fail)
        assert looked.exit_code == 2
        assert json.loads(looked.stdout)["plugins"][0]["state"] == "disabled"
        assert looked.stderr.splitlines()[-1].endswith("RuntimeError: the app cannot be built")
    migrated = run("migrate", app=fail)
    assert (migrated.exit_code, migrated.stdout) == (2, "")


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("strict", [False, True])
def test_critical_plugin_that_stops_the_start_is_named(
    run: Callable[..., Result], make_plugin_app: MakeApp, folder: Path, strict: bool
) -> None:
    """By each command, with the error, the next step and the command that works as it is printed."""
    (folder / "guard.py").write_text("__plugin__ = {'critical': True}\n1 / 0", encoding="utf-8")
    config = {"MYAPP_INSTANCE_PATH": str(folder.parent / "instance")}

    def fails() -> CustomFlask:
        return make_plugin_app(folder, strict=strict, **config)

    way = "python -m myapp plugins disable --force guard"
    listed = run("list", "--json", app=fails)
    found = {entry["name"]: entry for entry in json.loads(listed.stdout)["plugins"]}
    problem = found["guard"]["problem"]
    assert (listed.exit_code, found["guard"]["state"], found["shop"]["problem"]) == (2, "broken-import", None)
    assert (problem["code"], "guard.py:2: ZeroDivisionError" in problem["summary"]) == ("import-failed", True)
    assert problem["hint"].startswith("Correct what the message names, or install what is missing, and restart. ")
    assert problem["hint"].endswith(way)
    inspected = run("inspect", "guard", app=fails).stdout
    explained = runner().invoke(why, ["guard"], obj=ScriptInfo(create_app=fails)).stdout
    assert all("import-failed" in text and way in text for text in (inspected, explained))
    examined = runner().invoke(doctor, ["--json"], obj=ScriptInfo(create_app=fails)).stdout
    assert [one["id"] for one in json.loads(examined)["doctor"]] == ["app.not-loaded", "plugin.import-failed"]
    assert strict or listed.stderr.rstrip().endswith(way)

    assert run(*way.split()[4:], app=fails).exit_code == 0

    assert states(run, app=fails)["guard"] == "disabled"


@pytest.mark.usefixtures("outside")
def test_plugin_that_turns_out_to_be_critical_is_named(
    run: Callable[..., Result], make_plugin_app: MakeApp, folder: Path
) -> None:
    """Only its import says so; the way to start without it is there all the same."""
    (folder / "guard.py").write_text("if True:\n    __plugin__ = {'critical': True}\n", encoding="utf-8")
    config = {"MYAPP_INSTANCE_PATH": str(folder.parent / "instance")}

    result = run("inspect", "guard", "--json", app=lambda: make_plugin_app(folder, **config))

    [entry] = json.loads(result.stdout)["plugins"]
    assert (entry["state"], entry["problem"]["code"]) == ("misconfigured", "manifest-invalid")
    assert entry["problem"]["hint"].endswith("To start without guard: python -m myapp plugins disable --force guard")


def test_critical_plugin_is_not_disabled_by_mistake(run: Callable[..., Result], tmp_path: Path) -> None:
    """What that means is said; where nobody can be asked, ``--force`` says yes."""
    refused = run("disable", "guard")
    assert (refused.exit_code, decisions(tmp_path)) == (1, {})
    assert "guard is critical" in refused.stderr
    assert "--force guard" in refused.stderr
    forced = run("disable", "guard", "--force")
    assert (forced.exit_code, decisions(tmp_path)) == (0, {"guard": "disabled"})


def test_what_a_critical_plugin_requires(run: Callable[..., Result], folder: Path) -> None:
    """Without it nothing would start, which is said before."""
    (folder / "guard.py").write_text("__plugin__ = {'critical': True, 'requires': {'fine': ''}}", encoding="utf-8")
    refused = run("disable", "fine")
    assert refused.exit_code == 1
    assert "guard is critical and requires fine: nothing would start." in refused.stderr


def test_what_requires_the_plugin_is_named(run: Callable[..., Result], tmp_path: Path) -> None:
    """As long as it is on itself; nobody is asked for it, and the way back is told afterwards."""
    disabled = run("disable", "fine")
    assert (disabled.exit_code, decisions(tmp_path)) == (0, {"fine": "disabled"})
    assert disabled.stderr == "Not loaded without it, because they require it: shop.\n"
    assert "fine: It is disabled by a decision: `flask plugins enable fine` takes that back." in run("list").stdout
    run("enable", "fine")
    run("disable", "shop")
    assert run("disable", "fine").stderr == ""


def test_required_plugin_is_not_disabled(run: Callable[..., Result], tmp_path: Path) -> None:
    """The settings contradict that, and nothing would start: not even by force."""
    result = run("disable", "shop", "--force", MYAPP_REQUIRED_PLUGINS="shop")
    assert (result.exit_code, decisions(tmp_path)) == (1, {})
    assert "MYAPP_REQUIRED_PLUGINS names shop" in result.stderr


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"MYAPP_PLUGINS_DISABLED": "shop"}, "MYAPP_PLUGINS_DISABLED names it"),
        ({"MYAPP_PLUGINS": "fine"}, "MYAPP_PLUGINS does not name it"),
    ],
)
def test_enable_says_who_is_against_it(run: Callable[..., Result], config: dict[str, str], says: str) -> None:
    """The decision is kept; the operator's settings come first."""
    result = run("enable", "shop", **config)
    assert (result.exit_code, says in result.stderr) == (0, True)
    assert states(run, **config)["shop"] == "disabled"


def test_app_that_names_its_plugins_itself(run: Callable[..., Result], make_plugin_app: MakeApp, folder: Path) -> None:
    """No decision counts then, so none is taken."""
    result = run("disable", "shop", app=lambda: make_plugin_app(folder, wanted=["shop", "fine"]))
    assert result.exit_code == 1
    assert "create_app(plugins=…)" in result.stderr


def test_plugin_that_is_not_there(run: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    """What was decided of it, or remembered, can be changed all the same."""
    run("enable", "shop")
    run("list")
    (folder / "shop.py").unlink()
    (folder / "guard.py").unlink()
    assert run("list").exit_code == 2
    assert run("disable", "guard", "--force").exit_code == 0
    assert run("disable", "shop").exit_code == 0
    assert decisions(tmp_path) == {"guard": "disabled", "shop": "disabled"}
    assert states(run) == {"fine": "active"}


@pytest.mark.parametrize("command", ["enable", "disable"])
def test_state_file_that_cannot_be_used(run: Callable[..., Result], tmp_path: Path, command: str) -> None:
    """Exit 2 and the reason; it is left as it is."""
    file = tmp_path / "instance" / "plugins.json"
    file.parent.mkdir()
    file.write_text("{", encoding="utf-8")
    result = run(command, "shop")
    assert (result.exit_code, str(file) in result.stderr) == (2, True)
    assert file.read_text(encoding="utf-8") == "{"


def test_migrate(make_app: MakeApp) -> None:
    """One plugin's tables, with those of the core; then all; a plugin without tables says so."""
    app = make_app("realmon", "audit", "slack_alerts", config={"MYAPP_PLUGIN_SLACK_ALERTS__WEBHOOK_URL": ""})

    def invoke(*args: str) -> Result:
        return runner().invoke(plugins, ["migrate", *args], obj=ScriptInfo(create_app=lambda: app))

    assert [line.split(" are ")[0] for line in invoke("audit").stdout.splitlines()] == [
        "The tables of core",
        "The tables of audit",
    ]
    assert invoke().stdout.startswith("The tables of realmon are at realmon_0")
    assert invoke().stdout == "The tables are up to date.\n"
    skipped = invoke("slack_alerts")
    assert (skipped.exit_code, "it is skipped" in skipped.stderr) == (1, True)


BLOCKER = """
import sys


class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Finder())
from myapp.__main__ import main

main(sys.argv[2:], prog_name="python -m myapp")
"""


@pytest.mark.usefixtures("outside")
def test_missing_dependency(tmp_path: Path) -> None:
    """The same commands by ``python -m myapp``: without SQLAlchemy they work, without pydantic they say why not."""

    def invoke(missing: str, *args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", BLOCKER, missing, "--app", str(ROOT / "devapp.py"), "plugins", *args]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)

    assert invoke("sqlalchemy", "disable", "shop").returncode == 0
    listed = invoke("sqlalchemy", "list", "--json")
    assert listed.returncode == 2
    found = {entry["name"]: entry["state"] for entry in json.loads(listed.stdout)["plugins"]}
    assert found == {"fine": "unknown", "guard": "unknown", "shop": "disabled"}
    shown = invoke("sqlalchemy", "config", "shop", "--json")
    assert len(json.loads(shown.stdout)["plugins"][0]["settings"]) == 3
    without = invoke("pydantic", "disable", "shop")
    assert without.returncode == 2
    assert without.stderr.splitlines()[-1].endswith("No module named 'pydantic'")


def test_python_m_myapp_has_the_same_commands() -> None:
    """All of them, by the entry point of ``flask`` and by the module."""
    assert main.commands["plugins"] is plugins
    assert sorted(plugins.commands) == ["config", "disable", "enable", "inspect", "list", "migrate", "new"]


def test_command_of_a_plugin_that_is_not_served_says_why(folder: Path, make_plugin_app: MakeApp) -> None:
    """With the next step, and exit 2, as for any command that there is not; nothing is listed for it."""
    (folder / "torn.py").write_text("def (:\n")
    app = make_plugin_app(folder, MYAPP_PLUGINS_DISABLED=("shop",))

    def run(*args: str) -> tuple[int, str]:
        result = app.test_cli_runner().invoke(args=list(args))
        return result.exit_code, result.stdout + result.stderr

    code, said = run("shop", "restock")
    assert code == 2
    assert "Error: No such command 'shop': the plugin shop is disabled. MYAPP_PLUGINS_DISABLED names it." in said
    code, said = run("torn", "list")
    assert code == 2
    assert "torn.py:1: SyntaxError: invalid syntax. Correct the line that the message names and restart." in said
    for name in ("nothing", "fine"):
        code, said = run(name)
        assert (code, "plugin" in said) == (2, False)
    assert "shop" not in run("--help")[1]
