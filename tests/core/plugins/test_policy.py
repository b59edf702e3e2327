"""Who decides: safe mode, the settings, ``plugins.json``, the manifest; and what may never be left out."""

from __future__ import annotations

import logging
import typing as t

import pytest
from click.testing import Result
from flask.cli import FlaskGroup, ScriptInfo

from myapp.core.cli.why import why
from myapp.core.config import load
from myapp.core.errors import ConfigurationError, PluginError
from myapp.core.ops import iter_findings
from myapp.core.plugins import Kept, decide, get_report, iter_unknown_names, read_state
from tests.runners import runner

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask

    from .conftest import MakeFolder

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"

CRITICAL = '__plugin__ = {"name": "guard", "critical": True}\n'


@pytest.fixture
def instance(tmp_path: Path) -> str:
    """Return an instance folder that several apps of a test share."""
    return str(tmp_path / "instance")


def settings(instance: str, **config: t.Any) -> t.Any:
    return load({"MYAPP_INSTANCE_PATH": instance, "MYAPP_PROFILE": "development", **config})


def states(app: CustomFlask) -> dict[str, str]:
    return {report.name: report.state for report in get_report(app)}


def reason(app: CustomFlask, name: str) -> str:
    return next(report.reason for report in get_report(app) if report.name == name)


@pytest.mark.parametrize(
    ("manifest", "decision", "config", "state"),
    [
        ({}, None, {}, "active"),
        ({}, False, {}, "disabled"),
        ({}, True, {}, "active"),
        ({"enabled": False}, None, {}, "skipped"),
        ({"enabled": False}, True, {}, "active"),
        ({"enabled": False}, None, {"MYAPP_PLUGINS": "shop"}, "active"),
        ({"enabled": False}, None, {"MYAPP_REQUIRED_PLUGINS": "shop"}, "active"),
        ({}, False, {"MYAPP_PLUGINS": "shop"}, "active"),
        ({}, True, {"MYAPP_PLUGINS": "other"}, "disabled"),
        ({}, True, {"MYAPP_PLUGINS_DISABLED": "shop"}, "disabled"),
        ({}, None, {"MYAPP_PLUGINS": "shop", "MYAPP_PLUGINS_DISABLED": "shop"}, "disabled"),
        ({}, True, {"MYAPP_PLUGINS": "shop", "MYAPP_SAFE_MODE": "yes"}, "disabled"),
        ({}, None, {"MYAPP_REQUIRED_PLUGINS": "shop", "MYAPP_SAFE_MODE": "1"}, "disabled"),
    ],
)
def test_who_decides(
    manifest: dict[str, t.Any],
    decision: bool | None,
    config: dict[str, str],
    state: str,
    instance: str,
    make_folder: MakeFolder,
    make_plugin_app: MakeApp,
) -> None:
    """Safe mode, then the settings, then the operator's decision, then the manifest; never a problem."""
    folder = make_folder("plugins", {"shop.py": f"__plugin__ = {manifest}\n", "other.py": ""})
    decide(settings(instance), "shop", decision)

    app = make_plugin_app(folder, strict=True, MYAPP_INSTANCE_PATH=instance, **config)

    assert states(app)["shop"] == state
    assert (reason(app, "shop") == "") == (state == "active") or "none of the hooks" in reason(app, "shop")
    assert [report.problem for report in get_report(app)] == [None, None]


def test_what_is_off_says_who_turned_it_off(instance: str, make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """And how to turn it on; nothing of it is imported."""
    folder = make_folder("plugins", {f"{name}.py": "raise AssertionError" for name in ("one", "two")})
    decide(settings(instance), "one", enabled=False)
    make = make_plugin_app

    app = make(folder, MYAPP_INSTANCE_PATH=instance, MYAPP_PLUGINS_DISABLED="two")
    assert "flask plugins enable one" in reason(app, "one")
    assert reason(app, "two") == "MYAPP_PLUGINS_DISABLED names it."
    app = make(folder, MYAPP_PLUGINS="")
    assert reason(app, "one") == "It is not enabled: MYAPP_PLUGINS does not name it."
    app = make(folder, MYAPP_SAFE_MODE=True)
    assert reason(app, "one") == "MYAPP_SAFE_MODE is on: no plugin is loaded."
    optional = make_folder("optional", {"three.py": "__plugin__ = {'enabled': False}\nraise AssertionError"})
    assert "flask plugins enable three" in reason(make(optional), "three")


def test_decision_of_a_plugin_that_is_not_installed_is_kept(
    instance: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """It comes back disabled."""
    decide(settings(instance), "later", enabled=False)
    make_plugin_app(make_folder("plugins", {"one.py": ""}), MYAPP_INSTANCE_PATH=instance)

    app = make_plugin_app(make_folder("plugins", {"later.py": "raise AssertionError"}), MYAPP_INSTANCE_PATH=instance)

    assert states(app) == {"one": "active", "later": "disabled"}


@pytest.mark.parametrize("wanted", [None, ["one"]])
def test_safe_mode_loads_no_plugin(
    wanted: list[str] | None, make_folder: MakeFolder, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither what is found nor what the code asks for, critical or broken; the core's blueprints stay; it is loud."""
    files = {"one.py": "raise AssertionError", "guard.py": f"{CRITICAL}raise AssertionError", "bad.py": "def (:"}
    config = {"MYAPP_PLUGIN_DIRS": str(make_folder("plugins", files)), "MYAPP_SAFE_MODE": "yes"}

    app = make_app(config=config, plugins=wanted)

    assert set(states(app).values()) == {"disabled"}
    assert app.test_client().get("/demo/add?a=1&b=2").status_code == 200
    assert "MYAPP_SAFE_MODE is on: no plugin is loaded." in caplog.messages
    if wanted is None:
        assert any(message.startswith("The critical plugin guard is not loaded") for message in caplog.messages)


FAILURES = {
    "import": "raise RuntimeError('no lock')",
    "syntax": "def (:\n",
    "exit": "raise SystemExit(0)",
    "version": None,
    "settings": None,
    "requires": None,
    "cycle": None,
    "hook": "def myapp_configuer(app, plugin):\n    pass",
    "register": "def myapp_commands(app, plugin):\n    raise RuntimeError('no lock')",
    "signature": "def myapp_configure(nothing):\n    pass",
    "enabled": "def enabled(app):\n    raise RuntimeError",
    "says no": "def enabled(app):\n    return False",
    "ready": "def myapp_ready(app, plugin):\n    raise RuntimeError('no lock')",
}
MANIFESTS = {
    "version": "'app': '>=99'",
    "settings": "'config': {'key': {'required': True}}",
    "requires": "'requires': {'nobody': ''}",
    "cycle": "'after': ['guard']",
}


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("by", ["manifest", "setting"])
def test_what_nothing_may_be_served_without(
    kind: str, by: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """A critical or required plugin that fails in any way refuses to start, in lenient mode too, with one line."""
    critical = "'critical': True" if by == "manifest" else "'critical': False"
    manifest = f"__plugin__ = {{{critical}, {MANIFESTS.get(kind, '')}}}\n"
    folder = make_folder("plugins", {"guard.py": manifest + (FAILURES[kind] or ""), "fine.py": ""})
    config = {"MYAPP_REQUIRED_PLUGINS": "guard"} if by == "setting" else {}
    if kind == "syntax" and by == "manifest":
        # That it is critical is not known yet: the test after the next one shows the rest.
        config = {"MYAPP_REQUIRED_PLUGINS": "guard"}

    with pytest.raises(PluginError) as caught:
        make_plugin_app(folder, **config)

    assert caught.value.is_critical
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith("The plugin guard cannot be served (")
    assert "\n" not in str(caught.value)


def test_refusal_is_one_line_and_exit_2(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """As the terminal shows it."""
    folder = make_folder("plugins", {"guard.py": f"{CRITICAL}raise RuntimeError('no lock')"})
    group = FlaskGroup(create_app=lambda: make_plugin_app(folder), add_default_commands=True, load_dotenv=False)

    result: Result = runner().invoke(group, ["routes"])

    assert result.exit_code == 2
    line = result.stderr.strip()
    assert line.startswith("Error: The plugin guard cannot be served (import-failed): ")
    assert "guard.py:2: RuntimeError: no lock" in line
    assert "\n" not in line


PLAIN = '__plugin__ = {"name": "guard"}\n'


@pytest.mark.parametrize(
    ("first", "second", "required", "refusal"),
    [
        (CRITICAL, CRITICAL, "", ""),
        (CRITICAL, PLAIN, "", ""),
        (CRITICAL, "", "guard", ""),
        (PLAIN, PLAIN, "guard", ""),
        # Somebody else's plugin has taken the name.
        (PLAIN, CRITICAL, "", "name-taken"),
        (PLAIN, CRITICAL, "guard", "name-taken"),
        ("", CRITICAL, "", "name-taken"),
        # The copy that is served does not stand in for the first one.
        (f"{CRITICAL}raise RuntimeError", CRITICAL, "", "import-failed"),
        (CRITICAL.replace("True", "True, 'requires': {'nobody': ''}"), CRITICAL, "", "requires-missing"),
    ],
)
def test_critical_plugin_that_is_there_twice(
    first: str, second: str, required: str, refusal: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """The first copy is served, and the second is a problem; unless the first is less critical, or fails."""
    folders = make_folder("one", {"guard.py": first}), make_folder("other", {"guard.py": second})
    if refusal:
        with pytest.raises(PluginError, match=refusal):
            make_plugin_app(*folders, MYAPP_REQUIRED_PLUGINS=required)
        return

    app = make_plugin_app(*folders, MYAPP_REQUIRED_PLUGINS=required)

    assert [(report.state, report.is_critical) for report in get_report(app)] == [("active", True), ("conflict", False)]
    with pytest.raises(PluginError, match="name-taken"):
        make_plugin_app(*folders, MYAPP_REQUIRED_PLUGINS=required, strict=True)


def test_unreadable_manifest_that_was_critical_refuses(
    instance: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """Whatever makes it unreadable; a manifest that says otherwise takes it back."""
    folder = make_folder("plugins", {"guard.py": CRITICAL, "fine.py": ""})
    make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance)
    assert read_state(settings(instance)).of("guard") == Kept(None, True, str(folder))

    for text in ("def (:\n", "", "__plugin__ = compute()\n", "__plugin__ = {**other}\n", "x = 1\n"):
        make_folder("plugins", {"guard.py": f"{text}raise RuntimeError"})
        with pytest.raises(PluginError, match="critical"):
            make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance)

    make_folder("plugins", {"guard.py": "__plugin__ = {'name': 'guard', 'app': '>=99'}\n"})
    app = make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance)
    assert states(app) == {"fine": "active", "guard": "incompatible"}
    assert read_state(settings(instance)).of("guard") == Kept()


@pytest.mark.parametrize("critical", ["True", "1", "yes", "not False"])
def test_manifest_that_means_critical_is_critical(
    critical: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """Also when it says so in a way that is wrong."""
    folder = make_folder("plugins", {"guard.py": f"__plugin__ = {{'critical': {critical}, 'nam': 1}}\n"})

    with pytest.raises(PluginError) as caught:
        make_plugin_app(folder)

    assert caught.value.is_critical
    assert caught.value.code == "manifest-invalid"


def test_critical_plugin_that_is_gone_refuses(instance: str, make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """A folder that was not mounted must not open the site; who does not look there any more does not miss it."""
    folder = make_folder("plugins", {"guard.py": CRITICAL, "fine.py": ""})
    make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance)
    (folder / "guard.py").unlink()

    with pytest.raises(PluginError, match=r"needed-missing.*python -m myapp plugins disable --force guard"):
        make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance)

    other = make_folder("others", {"shop.py": ""})
    assert states(make_plugin_app(other, MYAPP_INSTANCE_PATH=instance)) == {"shop": "active"}
    assert states(make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance, MYAPP_PLUGINS="fine")) == {"fine": "active"}
    decide(settings(instance), "guard", enabled=False)
    assert states(make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance)) == {"fine": "active"}


def test_required_plugin_that_is_missing_refuses(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """By its name; not when the code has asked for others."""
    folder = make_folder("plugins", {"fine.py": ""})

    with pytest.raises(PluginError, match="MYAPP_REQUIRED_PLUGINS names it"):
        make_plugin_app(folder, MYAPP_REQUIRED_PLUGINS="guard")
    assert states(make_plugin_app(folder, wanted=["fine"], MYAPP_REQUIRED_PLUGINS="guard")) == {"fine": "active"}


@pytest.mark.parametrize("body", ["1 / 0", "def myapp_ready(app, plugin):\n    1 / 0\n"])
@pytest.mark.parametrize(
    ("config", "way"),
    [
        ({}, ": python -m myapp plugins disable --force guard"),
        ({"MYAPP_REQUIRED_PLUGINS": "guard"}, ", take it out of MYAPP_REQUIRED_PLUGINS."),
        ({"MYAPP_PLUGINS": "guard,fine"}, ", take it out of MYAPP_PLUGINS."),
        (
            {"MYAPP_REQUIRED_PLUGINS": "guard", "MYAPP_PLUGINS": "guard"},
            ", take it out of MYAPP_REQUIRED_PLUGINS and MYAPP_PLUGINS.",
        ),
        ({"wanted": ["guard"], "MYAPP_PLUGINS": "guard"}, ", take it out of create_app(plugins=…)."),
    ],
)
def test_error_of_a_critical_plugin_says_how_to_start_without_it(
    config: dict[str, t.Any], way: str, body: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """With what counts there: a decision does not count against the settings."""
    folder = make_folder("plugins", {"guard.py": CRITICAL + body, "fine.py": ""})

    with pytest.raises(PluginError) as caught:
        make_plugin_app(folder, **config)

    assert " It is critical: nothing is served without it. Correct what the message names" in str(caught.value)
    assert str(caught.value).endswith(f" To start without guard{way}")


@pytest.mark.parametrize("how", ["setting", "list", "decision", "manifest"])
def test_operator_who_turns_a_critical_plugin_off_is_obeyed(
    how: str, instance: str, make_folder: MakeFolder, make_plugin_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """Loudly, unless its own manifest leaves it off; and it is known as critical all the same."""
    off = '__plugin__ = {"name": "guard", "critical": True, "enabled": False}\n'
    text = off if how == "manifest" else CRITICAL
    folder = make_folder("plugins", {"guard.py": f"{text}raise RuntimeError", "fine.py": ""})
    config = {"setting": {"MYAPP_PLUGINS_DISABLED": "guard"}, "list": {"MYAPP_PLUGINS": "fine"}}.get(how, {})
    if how == "decision":
        decide(settings(instance), "guard", enabled=False)

    with caplog.at_level(logging.WARNING, "myapp.plugins"):
        app = make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance, **config)

    assert states(app)["guard"] == ("skipped" if how == "manifest" else "disabled")
    assert next(report.is_critical for report in get_report(app) if report.name == "guard")
    is_told = any(message.startswith("The critical plugin guard is not loaded") for message in caplog.messages)
    assert is_told is (how != "manifest")


def test_critical_plugin_that_nobody_wanted_is_not_missed(
    instance: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """Only what was switched on has to be there; from then on it has to."""
    off = '__plugin__ = {"name": "guard", "critical": True, "enabled": False}\n'
    folder = make_folder("plugins", {"guard.py": off, "fine.py": ""})
    make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance)
    (folder / "guard.py").unlink()
    assert states(make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance)) == {"fine": "active"}

    (folder / "guard.py").write_text(off, encoding="utf-8")
    decide(settings(instance), "guard", enabled=True)
    assert states(make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance))["guard"] == "active"
    (folder / "guard.py").unlink()
    with pytest.raises(PluginError, match="needed-missing"):
        make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance)


@pytest.mark.parametrize(
    ("config", "decision"),
    [({"MYAPP_PLUGINS_DISABLED": "guard"}, None), ({"MYAPP_PLUGINS": "fine"}, None), ({}, False)],
)
def test_requiring_and_turning_off_is_a_contradiction(
    config: dict[str, str], decision: bool | None, instance: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """Nobody can know what was meant: an error of the configuration."""
    folder = make_folder("plugins", {"guard.py": "", "fine.py": ""})
    decide(settings(instance), "guard", decision)

    with pytest.raises(ConfigurationError, match="MYAPP_REQUIRED_PLUGINS names guard, and"):
        make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance, MYAPP_REQUIRED_PLUGINS="guard", **config)


def test_state_file_that_cannot_be_used_stops_the_start(
    instance: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """What was disabled is not loaded, what was critical is not left out; safe mode starts all the same."""
    folder = make_folder("plugins", {"shop.py": "raise AssertionError"})
    decide(settings(instance), "shop", enabled=False)
    path = read_state(settings(instance)).path
    path.write_text(path.read_text()[:-9])

    with pytest.raises(ConfigurationError, match="MYAPP_SAFE_MODE=1"):
        make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance)
    assert states(make_plugin_app(folder, MYAPP_INSTANCE_PATH=instance, MYAPP_SAFE_MODE=True)) == {"shop": "disabled"}


def test_memory_that_cannot_be_written_is_said(
    tmp_path: Path, make_folder: MakeFolder, make_plugin_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """The app starts: a folder that is read-only is no reason not to serve."""
    (tmp_path / "file").touch()
    folder = make_folder("plugins", {"guard.py": CRITICAL})

    app = make_plugin_app(folder, MYAPP_INSTANCE_PATH=str(tmp_path / "file"))

    assert states(app) == {"guard": "active"}
    assert any("That guard is critical cannot be remembered" in message for message in caplog.messages)


def test_settings_of_plugins_that_there_are_not(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Lists, the order and keys: each is a warning with the name that was probably meant."""
    folder = make_folder("plugins", {"shop.py": "", "shop__eu.py": ""})
    app = make_plugin_app(
        folder,
        MYAPP_PLUGIN_ORDER="shop,shoop",
        MYAPP_PLUGIN_SHPO__SIZE="1",
        MYAPP_PLUGIN_SHOP__EU__SIZE="1",
        MYAPP_PLUGIN_SHOP__SIZE="1",
        MYAPP_BLUEPRINT_PACKAGES="myapp.blueprints",
        MYAPP_BLUEPRINT_PREFIXES="shop=/store, shopp=/x, demo=/sums",
    )

    found = dict(iter_unknown_names(app))

    assert set(found) == {"MYAPP_PLUGIN_ORDER", "MYAPP_PLUGIN_SHPO__SIZE", "MYAPP_BLUEPRINT_PREFIXES"}
    assert "names shopp, which is no blueprint module and no plugin" in found["MYAPP_BLUEPRINT_PREFIXES"]
    assert all(sentence.endswith("Did you mean shop?") for sentence in found.values())


def test_names_in_the_order_are_there_once(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Twice would wait for itself."""
    with pytest.raises(ConfigurationError, match="MYAPP_PLUGIN_ORDER"):
        make_plugin_app(make_folder("plugins", {}), MYAPP_PLUGIN_ORDER="a-b,c,a_b")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("MYAPP_PLUGIN_SHOP_PAGE_SIZE", "MYAPP_PLUGIN_SHOP__PAGE_SIZE"),
        ("MYAPP_PLUGIN_SHOP_EU_SIZE", "MYAPP_PLUGIN_SHOP_EU__SIZE"),
        ("MYAPP_PLUGIN_SHOPPING_SIZE", ""),
        ("MYAPP_PLUGIN_DIR", ""),
    ],
)
def test_setting_of_a_plugin_with_one_underscore_is_recognized(
    key: str, meant: str, make_folder: MakeFolder, make_plugin_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, by ``flask doctor`` and by ``flask why``; other keys are left to the core."""
    manifest = "__plugin__ = {'config': {'size': {}, 'page_size': {}}}"
    folder = make_folder("plugins", {"shop.py": manifest, "shop_eu.py": manifest})

    app = make_plugin_app(folder, **{key: "3"})

    question = f"Did you mean {meant}?"
    assert (f"{key} is ignored. {question}" in caplog.messages) is bool(meant)
    [finding] = [one for one in iter_findings(app) if one.subject == key]
    assert (finding.id, finding.hint == question) == ("setting.unknown", bool(meant))
    explained = runner().invoke(why, [key], obj=ScriptInfo(create_app=lambda: app)).stdout
    assert (question in explained) is bool(meant)
