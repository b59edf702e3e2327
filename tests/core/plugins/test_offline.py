"""``flask blueprints``, ``flask plugins`` and ``flask config``, with an app and without one."""

from __future__ import annotations

import asyncio
import json
import typing as t

import pytest
from click.testing import Result
from flask.cli import ScriptInfo

from myapp import create_app
from myapp.__main__ import main
from myapp.core.cli.offline import blueprints, config, plugins
from tests.runners import runner

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import click

    from myapp import CustomFlask
MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"


def invoke(group: click.Group, *args: str, app: Callable[[], CustomFlask | None]) -> Result:
    return runner().invoke(group, args, obj=ScriptInfo(create_app=app))


def test_blueprints_list_is_one_document(make_app: MakeApp) -> None:
    """The envelope, on standard output alone."""
    result = invoke(blueprints, "list", "--json", app=make_app)

    document = json.loads(result.stdout)
    assert (result.exit_code, document["schema"]) == (0, 1)
    demo = next(entry for entry in document["blueprints"] if entry["name"] == "demo")
    assert demo["module"] == "myapp.blueprints.demo"
    assert (demo["state"], demo["problem"]) == ("active", None)


def test_plugins_list_shows_problems_and_exits_1(zoo: Path, make_plugin_app: MakeApp) -> None:
    """A problem has a code, a sentence and the next step."""
    result = invoke(plugins, "list", "--json", app=lambda: make_plugin_app(zoo, MYAPP_PLUGINS="exits"))

    entries = {entry["name"]: entry for entry in json.loads(result.stdout)["plugins"]}
    assert result.exit_code == 1
    assert entries["exits"]["state"] == "broken-import"
    assert set(entries["exits"]["problem"]) == {"code", "summary", "hint"}
    assert entries["bad_signature"]["state"] == "disabled"


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit("no"), asyncio.CancelledError("no")])
def test_whatever_the_app_raises_is_shown(error: BaseException) -> None:
    """Also what is no ``Exception``; the plugins are listed."""

    def fail() -> None:
        raise error

    result = invoke(plugins, "list", app=fail)

    assert "realmon" in result.stdout
    assert f"{type(error).__name__}: no" in result.stderr
    assert isinstance(result.exception, SystemExit | None)


def test_interrupt_ends_the_command() -> None:
    """Ctrl-C while the app is loaded is no reason to go on without it."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    result = invoke(plugins, "list", app=interrupted)

    assert (result.stdout + result.stderr).strip() == "Aborted!"


def test_tables_are_readable(zoo: Path, make_plugin_app: MakeApp) -> None:
    """Without ``--json`` there is a table, and below it what is wrong and what to do."""
    result = invoke(plugins, "list", app=lambda: make_plugin_app(zoo, MYAPP_PLUGINS="exits"))

    assert result.stdout.splitlines()[0].split() == ["name", "state", "version", "mount", "origin"]
    assert "exits.py:3: SystemExit: 3" in result.stdout


def test_half_of_a_character_hides_nobody(
    tmp_path: Path, make_plugin_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """What Python reads of bytes that are not UTF-8: in a message, the name of a function, of a file, of a folder."""
    folder = tmp_path / "plugins\udce9"
    folder.mkdir()
    texts = {
        "broken": "raise ValueError('caf\\udce9.csv')",
        "hooked": "__plugin__ = {}\nglobals()['myapp_\\ud800'] = lambda: None",
        "caf\udce9": "__plugin__ = {}",
        "shop": "__plugin__ = {}\ndef myapp_health(app, plugin):\n    raise ValueError('\\udce9')",
    }
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    app = make_plugin_app(folder, MYAPP_PROFILE="development", MYAPP_BLUEPRINT_PACKAGES="myapp.blueprints")

    listed = invoke(plugins, "list", app=lambda: app).stdout
    inspected = invoke(plugins, "inspect", "shop", app=lambda: app)
    status = app.test_client().get("/status").json

    assert "ValueError: caf?.csv" in listed
    assert [entry["name"] for entry in status["plugins"] if entry["problem"]] == ["shop", "broken", "caf?", "hooked"]
    assert inspected.exit_code == 0, inspected.output
    for text in (listed, inspected.stdout, caplog.text):
        assert text.encode()


@pytest.mark.parametrize("group", [blueprints, plugins], ids=["blueprints", "plugins"])
def test_app_that_cannot_boot_is_explained(group: click.Group) -> None:
    """What is known without the app is printed, the cause is the last line, the exit code is 2."""

    def fail() -> CustomFlask:
        raise RuntimeError("the app cannot be built")

    result = invoke(group, "list", "--json", app=fail)

    assert result.exit_code == 2
    assert json.loads(result.stdout)["schema"] == 1
    assert result.stderr.splitlines()[-1].endswith("RuntimeError: the app cannot be built")


def test_modules_are_listed_without_an_app() -> None:
    """Nothing is imported to name them."""

    def fail() -> CustomFlask:
        return create_app({"MYAPP_STRICT": "perhaps", "SECRET_KEY": "x" * 32})

    result = invoke(blueprints, "list", "--json", app=fail)

    states = {entry["name"]: entry["state"] for entry in json.loads(result.stdout)["blueprints"]}
    assert states["demo"] == "unknown"
    assert "MYAPP_STRICT" in result.stderr.splitlines()[-1]
    assert result.exit_code == 2


def test_config_says_where_a_value_came_from_and_hides_secrets(make_app: MakeApp) -> None:
    """``explain`` names the layer; ``show`` never prints a secret."""

    def make() -> CustomFlask:
        return make_app(config={"MYAPP_PLUGIN_SHOP__API_KEY": "hidden"})

    explained = invoke(config, "explain", "MYAPP_PROFILE", app=make)
    shown = invoke(config, "show", "--json", app=make)
    misspelt = invoke(config, "explain", "MYAPP_PROFIL", app=make)

    assert explained.output == "MYAPP_PROFILE is production (from the defaults).\n"
    entries = {entry["key"]: entry["value"] for entry in json.loads(shown.stdout)["config"]}
    assert entries["SECRET_KEY"] == entries["MYAPP_PLUGIN_SHOP__API_KEY"] == "***"
    assert "hidden" not in shown.output
    assert "Did you mean MYAPP_PROFILE?" in misspelt.stderr
    assert misspelt.exit_code == 2


def test_python_m_myapp_has_the_same_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the app of ``--app``; an import error in it is shown with its cause as the last line."""
    (tmp_path / "main_probe.py").write_text("import a_package_that_is_not_installed\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    result = runner().invoke(main, ["--app", str(tmp_path / "main_probe.py"), "blueprints", "list"])

    assert sorted(main.commands) == ["blueprints", "config", "doctor", "plugins", "why"]
    assert result.exit_code == 2
    last = result.stderr.splitlines()[-1]
    assert last == "ModuleNotFoundError: No module named 'a_package_that_is_not_installed'"
