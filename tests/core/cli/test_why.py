"""``flask why``: one thing explained."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t

import pytest
from click.testing import Result
from flask.cli import ScriptInfo

from myapp import create_app
from myapp.core.cli.why import why
from tests.runners import runner
from tests.servers.process import ROOT

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask
MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"


def invoke(*args: str, app: Callable[[], CustomFlask]) -> Result:
    return runner().invoke(why, args, obj=ScriptInfo(create_app=app))


def fail() -> CustomFlask:
    raise RuntimeError("the app cannot be built")


def test_path_that_is_served(make_app: MakeApp) -> None:
    """Rule, endpoint, view with its line, owner, methods; exit 0."""
    result = invoke("/demo/add", "--json", app=make_app)

    [entry] = json.loads(result.stdout)["why"]
    assert result.exit_code == 0
    assert (entry["rule"], entry["endpoint"], entry["methods"]) == ("/demo/add", "demo.add", ["GET", "HEAD", "OPTIONS"])
    assert "demo.py:" in entry["view"]
    assert entry["owner"] == "the blueprint module myapp.blueprints.demo"


def test_path_that_is_misspelt(make_app: MakeApp) -> None:
    """The closest rules; exit 1."""
    result = invoke("/demo/ad", app=make_app)

    assert result.exit_code == 1
    assert "path GET /demo/ad: 404" in result.stdout
    assert "closest    /demo/add" in result.stdout


def test_method_that_is_not_allowed(make_app: MakeApp) -> None:
    """The methods that are; exit 1."""
    result = invoke("/demo/add", "--method", "post", app=make_app)

    assert result.exit_code == 1
    assert "POST is not allowed; its methods are GET, HEAD, OPTIONS." in result.stdout


def test_path_of_a_broken_module(make_team_app: MakeApp, team: Path) -> None:
    """Module, file, line and error, as the 404 of debug mode has them; exit 1."""
    app = make_team_app(PROPAGATE_EXCEPTIONS=False, DEBUG=True)
    # Before the command, which switches debug mode off, as every command does.
    problem = app.test_client().get("/broken/x").json

    result = invoke("/broken/x", "--json", app=lambda: app)

    [entry] = json.loads(result.stdout)["why"]
    assert result.exit_code == 1
    assert entry["unserved"] == problem["not_served"] != []
    assert f"{team / 'broken.py'}:10: RuntimeError: the true error" in invoke("/broken/x", app=lambda: app).stdout


@pytest.mark.parametrize("name", ["broken", "team.broken", "{team}/broken.py"])
def test_names_of_a_module(name: str, make_team_app: MakeApp, team: Path) -> None:
    """Its name below the package, its dotted name, its file."""
    result = invoke(name.format(team=team), app=make_team_app)

    assert result.exit_code == 1
    assert "blueprint broken: broken-import" in result.stdout
    assert f"{team / 'broken.py'}:10: RuntimeError: the true error" in result.stdout


def test_module_that_serves_nothing(make_team_app: MakeApp, team: Path) -> None:
    """Switched off, or without a name that discovery knows: said, and no problem."""
    disabled, helpers = invoke("disabled", app=make_team_app), invoke("helpers", app=make_team_app)

    assert (disabled.exit_code, helpers.exit_code) == (0, 0)
    assert "ENABLED is False" in disabled.stdout
    assert "It has none of the names that discovery looks for." in helpers.stdout


def test_misspelt_attribute(make_team_app: MakeApp, team: Path) -> None:
    """``blue_print`` gets a did-you-mean; exit 1."""
    result = invoke("misspelt", app=make_team_app)

    assert result.exit_code == 1
    assert "misspelt-attribute" in result.stdout
    assert "Did you mean blueprint?" in result.stdout


def test_misspelt_hook(make_plugin_app: MakeApp, make_folder: Callable[..., Path]) -> None:
    """``myapp_blueprint`` gets a did-you-mean; exit 1."""
    folder = make_folder("plugins", {"shop.py": "def myapp_blueprint(app, plugin):\n    pass\n"})

    result = invoke("shop", app=lambda: make_plugin_app(folder, wanted=None))

    assert result.exit_code == 1
    assert "plugin shop: broken-register" in result.stdout
    assert "Did you mean myapp_blueprints?" in result.stdout


def test_misspelt_name(make_app: MakeApp) -> None:
    """What there is that looks like it; exit 1."""
    result = invoke("dmo", app=make_app)

    assert result.exit_code == 1
    assert "No blueprint module and no plugin is called dmo." in result.stdout
    assert "Did you mean demo?" in result.stdout


def test_settings(make_app: MakeApp) -> None:
    """A setting has a value and a layer; a misspelt one a did-you-mean, whether it is set or not."""

    def make() -> CustomFlask:
        return make_app(config={"MYAPP_PUBLIC_URLS": "http://x.example"})

    known, given, absent = (invoke(key, app=make) for key in ("MYAPP_PROFILE", "MYAPP_PUBLIC_URLS", "MYAPP_PLUGIN_DIR"))

    assert (known.exit_code, given.exit_code, absent.exit_code) == (0, 1, 1)
    assert "production" in known.stdout
    assert "is not a setting of myapp and is ignored." in given.stdout
    assert "Did you mean MYAPP_PUBLIC_URL?" in given.stdout
    assert "Did you mean MYAPP_PLUGIN_DIRS?" in absent.stdout


def test_secret_is_hidden(make_app: MakeApp) -> None:
    """As in ``flask config show``."""
    assert "a key of the tests" not in invoke("SECRET_KEY", "--json", app=make_app).stdout


@pytest.mark.parametrize("subject", ["demo", "/demo/add"])
def test_app_that_cannot_boot(subject: str) -> None:
    """What is known without it, the cause as the last line, exit 2; one document on standard output."""
    result = invoke(subject, "--json", app=fail)

    [entry] = json.loads(result.stdout)["why"]
    assert result.exit_code == 2
    assert entry["state"] == "unknown"
    assert "demo.py" in json.dumps(entry) or "myapp.blueprints.demo" in json.dumps(entry)
    assert result.stderr.splitlines()[-1].endswith("RuntimeError: the app cannot be built")


def test_settings_that_cannot_be_read() -> None:
    """The cause is said, and the exit code is 2."""
    result = invoke("/x", app=lambda: create_app({"MYAPP_STRICT": "perhaps", "SECRET_KEY": "x" * 32}))

    assert result.exit_code == 2
    assert "MYAPP_STRICT" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["why", "/x"], ["why", "nothing"], ["doctor"]], ids=" ".join)
def test_package_that_the_core_needs_is_missing(arguments: list[str]) -> None:
    """The cause is the last line, and the exit code is 2."""
    code = f"import sys\nsys.modules['pydantic'] = None\nfrom myapp.__main__ import main\nmain({arguments!r})"

    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)

    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("ModuleNotFoundError: import of pydantic halted")
