"""The settings of a plugin: typed, checked before the import, and secret where its manifest says so."""

from __future__ import annotations

import json
import typing as t
from functools import partial
from urllib.parse import quote, quote_plus

import pytest
from click.testing import Result
from flask.cli import ScriptInfo

from myapp.core.cli.offline import config, plugins
from myapp.core.plugins import get_report
from myapp.core.plugins.settings import PluginSettings, read_settings
from tests.runners import runner

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask

    from .conftest import MakeFolder

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"

RULES: dict[str, dict[str, t.Any]] = {
    "size": {"type": "int", "default": 20, "min": 1, "max": 50},
    "rate": {"type": "float", "default": 1},
    "on": {"type": "bool", "default": False},
    "color": {"choices": ["red", "blue"], "default": "red"},
    "hosts": {"type": "list", "default": ["a"], "choices": ["a", "b"]},
    "pin": {"secret": True},
    "title": {},
    "owner": {"type": "email"},
}


def read(**given: t.Any) -> PluginSettings:
    return read_settings({f"MYAPP_PLUGIN_SHOP__{key.upper()}": value for key, value in given.items()}, "shop", RULES)


def test_defaults_are_filled_in() -> None:
    """In their types; what has none is None."""
    settings = read()

    assert dict(settings) == {
        "size": 20,
        "rate": 1.0,
        "on": False,
        "color": "red",
        "hosts": ("a",),
        "pin": None,
        "title": None,
        "owner": None,
    }
    assert isinstance(settings["rate"], float)


def test_texts_of_the_environment_are_read() -> None:
    """And the values of a TOML file."""
    texts = read(size="50", rate="0.5", on="yes", color="blue", hosts="a, b", title="x", owner="Ann <ann@example.com>")
    values = read(size=50, rate=0.5, on=True, color="blue", hosts=["a", "b"], title="x", owner="Ann <ann@example.com>")

    assert dict(texts) == dict(values)
    assert texts["hosts"] == ("a", "b")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("size", "0", "it is to be 1 or more"),
        ("size", "51", "it is to be 50 or less"),
        ("size", "many", "valid integer"),
        ("rate", "nan", "finite"),
        ("on", "perhaps", "valid boolean"),
        ("color", "green", "it is to be one of red, blue"),
        ("hosts", "a,c", "it is to be one of a, b"),
        ("title", 5, "valid string"),
        ("owner", "many", "OWNER: write it as ann@example.com or Ann <ann@example.com>"),
        ("owner", "a@example.com, b@example.com", "write it as ann@example.com"),
        ("siez", "1", "not a setting of shop. Did you mean size?"),
    ],
)
def test_value_that_cannot_be_used_is_explained(key: str, value: t.Any, says: str) -> None:
    """By its key, and never with the value."""
    with pytest.raises(ValueError, match=f"MYAPP_PLUGIN_SHOP__{key.upper()}") as caught:
        read(**{key: value})

    assert says in str(caught.value)
    assert "many" not in str(caught.value)
    assert "green" not in str(caught.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Also what is required, and not there or empty."""
    rules = {"key": {"required": True}, "name": {"required": True}, "size": {"type": "int"}}
    given = {"MYAPP_PLUGIN_SHOP__NAME": "", "MYAPP_PLUGIN_SHOP__SIZE": "x", "MYAPP_PLUGIN_SHOP__MORE": "x"}

    with pytest.raises(ValueError, match="MORE") as caught:
        read_settings(given, "shop", rules)

    for part in ("KEY: it is required and not set.", "NAME: it is required and empty.", "SIZE: "):
        assert part in str(caught.value)


def test_layer_of_what_cannot_be_used_is_named(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """As that of a setting of the core; what is not set came from nowhere."""
    rules = {"size": {"type": "int"}, "key": {"required": True}}
    folder = make_folder("plugins", {"shop.py": f"__plugin__ = {{'config': {rules}}}"})

    [report] = get_report(make_plugin_app(folder, MYAPP_PLUGIN_SHOP__SIZE="x", MYAPP_PLUGIN_SHOP__SIZES="1"))

    assert report.problem is not None
    for part in (
        "MYAPP_PLUGIN_SHOP__SIZE (from the argument of create_app): ",
        "MYAPP_PLUGIN_SHOP__SIZES (from the argument of create_app) is not a setting of shop.",
        "MYAPP_PLUGIN_SHOP__KEY: it is required",
    ):
        assert part in report.problem.summary


def test_settings_of_a_longer_name_are_not_those_of_a_shorter() -> None:
    """MYAPP_PLUGIN_SHOP__EU__SIZE is `size` of the plugin `shop__eu`."""
    given = {"MYAPP_PLUGIN_SHOP__EU__SIZE": "2", "MYAPP_PLUGIN_SHOP__SIZE": "1"}

    assert read_settings(given, "shop", RULES)["size"] == 1
    assert read_settings(given, "shop__eu", RULES)["size"] == 2


def test_secrets_are_hidden_from_whoever_prints_them() -> None:
    """The rest is shown, and a plugin can read them; a plugin that declares nothing gets what its name allows."""
    settings = read(pin="4711-4711", title="x")

    assert settings["pin"] == "4711-4711"
    assert "4711" not in repr(settings)
    assert "'title': 'x'" in repr(settings)
    assert settings.redact("the pin 4711-4711 is wrong") == "the pin *** is wrong"
    assert read(pin="4711\udce9").redact("4711? is wrong") == "*** is wrong"
    assert read(pin="é").redact("/caf%C3%A9") == "/caf%C3%A9"
    assert read(pin=" \n \n").redact("a pin") == "a pin"
    undeclared = read_settings({"MYAPP_PLUGIN_SHOP__API_KEY": "hidden", "MYAPP_PLUGIN_SHOP__SIZE": "1"}, "shop", {})
    assert "hidden" not in repr(undeclared)
    assert dict(undeclared) == {"api_key": "hidden", "size": "1"}


@pytest.mark.parametrize(
    "encode",
    [
        *(quote, partial(quote, safe=""), quote_plus),
        *(json.dumps, partial(json.dumps, ensure_ascii=False)),
        lambda text: " ".join(text.split()),
    ],
    ids=["path", "parameter", "form", "JSON", "JSON in UTF-8", "summary"],
)
def test_secrets_are_hidden_as_others_write_them(encode: Callable[[str], str]) -> None:
    """In the URL of a request, or its body: an error may quote those; its summary is one line."""
    settings = read(pin='s3/cr3t+ é\n"4711"==')

    assert settings.redact(f"not sent: {encode(settings['pin'])}") in ("not sent: ***", 'not sent: "***"')


SECRETIVE = """
__plugin__ = {"config": {"pin": {"secret": True}, "size": {"type": "int", "default": 20, "help": "Rows"}}}


def myapp_configure(app, plugin):
    raise ValueError(f"the bank says no to {plugin.config['pin']} of {plugin}")
"""


def test_secret_in_an_error_stays_out_of_problem_log_and_traceback(
    make_folder: MakeFolder, make_plugin_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the plugin says about it."""
    folder = make_folder("plugins", {"shop.py": SECRETIVE})

    [report] = get_report(make_plugin_app(folder, MYAPP_PLUGIN_SHOP__PIN="4711-4711"))

    assert report.problem is not None
    assert "the bank says no to ***" in report.problem.summary
    assert "the bank says no to ***" in report.traceback
    for text in (report.problem.summary, report.traceback, caplog.text):
        assert "4711" not in text


RUNNING = """
__plugin__ = {"config": {"pin": {"secret": True}, "keys": {"type": "list", "secret": True}}}


def myapp_configure(app, plugin):
    @app.before_request
    def ask():
        raise ValueError(f"the bank says no to {plugin.config['pin']!r} and {plugin.config['keys'][1]}")


def myapp_health(app, plugin):
    return "degraded", f"https://bank.example/{plugin.config['keys'][0]} does not answer"
"""


def test_secret_in_an_error_at_run_time_stays_out_of_all_that_is_told(
    make_folder: MakeFolder, make_plugin_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """Log with traceback, problem and check of ``/status``, `flask plugins list`; also an item of a list, quoted."""
    folder = make_folder("plugins", {"shop.py": RUNNING})
    config = {"MYAPP_PLUGIN_SHOP__PIN": "47\n11-4711", "MYAPP_PLUGIN_SHOP__KEYS": "alpha-4711, beta-4711"}
    config["MYAPP_BLUEPRINT_PACKAGES"] = "myapp.blueprints"
    app = make_plugin_app(folder, MYAPP_PROFILE="development", **config)

    status = app.test_client().get("/status").text
    listed = runner().invoke(plugins, ["list"], obj=ScriptInfo(create_app=lambda: app)).output

    for text in (status, listed, caplog.text):
        assert "the bank says no to '***' and ***" in text
        assert "4711" not in text
    assert "https://bank.example/*** does not answer" in status
    assert "Traceback (most recent call last)" in caplog.text


def test_exception_without_a_secret_is_logged_as_one(
    make_folder: MakeFolder, make_plugin_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """Handlers make more of it than of a text."""
    app = make_plugin_app(make_folder("plugins", {"shop.py": RUNNING}), MYAPP_PLUGIN_SHOP__KEYS="a, b")

    app.test_client().get("/")

    [record] = [record for record in caplog.records if "before_request" in record.getMessage()]
    assert record.exc_info is not None
    assert "Traceback" not in record.getMessage()


def invoke(*args: str, app: Callable[[], CustomFlask]) -> Result:
    return runner().invoke(config, args, obj=ScriptInfo(create_app=app))


def test_config_knows_what_plugins_declare(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """`show` hides what a manifest calls secret, whatever its name; `explain` knows the defaults of manifests."""
    folder = make_folder(
        "plugins", {"shop.py": SECRETIVE, "off.py": "__plugin__ = {'config': {'a': {'default': 'b'}}}"}
    )

    def make() -> CustomFlask:
        return make_plugin_app(folder, MYAPP_PLUGIN_SHOP__PIN="4711-4711", MYAPP_PLUGINS_DISABLED="off")

    shown = invoke("show", "--json", app=make)
    entries = {entry["key"]: entry for entry in json.loads(shown.stdout)["config"]}

    assert "4711" not in shown.output
    assert entries["MYAPP_PLUGIN_SHOP__PIN"]["value"] == "***"
    for name, says in (
        ("SHOP__SIZE", "is 20 (from the manifest of shop)."),
        ("SHOP__PIN", "is *** (from the argument of create_app)."),
        ("OFF__A", "is b (from the manifest of off)."),
    ):
        key = f"MYAPP_PLUGIN_{name}"
        assert invoke("explain", key, app=make).stdout == f"{key} {says}\n"
    misspelt = invoke("explain", "MYAPP_PLUGIN_SHOP__SIEZ", app=make)
    assert "Did you mean MYAPP_PLUGIN_SHOP__SIZE?" in misspelt.stderr


def test_settings_that_nobody_declares_are_hidden(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Of a manifest that cannot be read, and of a plugin that is not there, nobody knows what is secret."""
    folder = make_folder("plugins", {"shop.py": "__plugin__ = {'config': {'webhook_url': {'secret': True}}\n"})
    config = {
        "MYAPP_PLUGIN_SHOP__WEBHOOK_URL": "https://hooks/4711",
        "MYAPP_PLUGIN_GONE__ADDRESS": "https://hooks/4711",
    }

    shown = invoke("show", app=lambda: make_plugin_app(folder, **config))
    explained = invoke("explain", "MYAPP_PLUGIN_SHOP__WEBHOOK_URL", app=lambda: make_plugin_app(folder, **config))

    assert "MYAPP_PLUGIN_GONE__ADDRESS" in shown.output
    assert "4711" not in shown.output
    assert "is *** (from the argument of create_app)." in explained.output
