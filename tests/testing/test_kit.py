"""The test kit: what authors of plugins and teams get from ``myapp.testing``, and what it costs everybody else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distributions
from pathlib import Path

import pytest
from flask import Flask

from myapp import get_user
from myapp.core.errors import PluginError
from myapp.core.plugins import get_report
from myapp.testing import EVIL_PLUGINS
from myapp.testing.apps import ELSEWHERE, check_app
from myapp.testing.contract.runner import CHECKS
from myapp.testing.fixtures import FIXTURES
from myapp.testing.servers import Listening, serve_in_thread
from myapp.testing.zoo import SOURCES, SUFFIX

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

    from myapp import CustomFlask
    from myapp.testing.zoo import EvilPlugin

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"
MakeFolder: t.TypeAlias = "Callable[..., Path]"
RunPytest: t.TypeAlias = "Callable[..., subprocess.CompletedProcess[str]]"

SHOP = """
from flask import Blueprint

__plugin__ = {"name": "shop", "version": "1.4.0", "summary": "Sell things"}

blueprint = Blueprint("shop", __name__)
blueprint.add_url_rule("/", "index", lambda: "open")


def myapp_blueprints(app, plugin):
    return blueprint
"""
IMPORTS = """
import json, sys
import pytest
before = set(sys.modules)
import myapp.testing
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def test_start_of_pytest_imports_nothing_else() -> None:
    """pytest loads the kit in every project of the environment: no Flask, no SQLAlchemy, no click."""
    output = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True).stdout

    assert json.loads(output) == ["myapp"]


def test_names_of_the_kit_are_there() -> None:
    """What is imported late is in ``__all__``; a misspelt name is an error that says where to look."""
    import myapp.testing

    assert all(getattr(myapp.testing, name) for name in myapp.testing.__all__)
    with pytest.raises(AttributeError, match=r"docs/testing\.md"):
        _ = myapp.testing.capture_effect


def test_folder_of_plugins_is_served(make_app: MakeApp, plugin_folder: MakeFolder) -> None:
    """All that are in it; a plugin's own path is that plugin alone."""
    folder = plugin_folder({"shop/__init__.py": SHOP, "other.py": "def myapp_ready(app, plugin):\n    pass\n"})

    everything, shop = make_app(folder), make_app(folder / "shop")

    assert [report.name for report in get_report(everything)] == ["other", "shop"]
    assert [report.name for report in get_report(shop)] == ["shop"]
    assert shop.test_client().get("/shop/").text == "open"


def test_path_is_that_plugin_and_no_installed_one(
    make_app: MakeApp, plugin_folder: MakeFolder, fake_dist: MakeFolder
) -> None:
    """A name means what the application would load; a path means what lies there."""
    fake_dist("a-shop", "3.1", {"myapp.plugins": {"shop": "a_shop"}}, {"a_shop.py": SHOP.replace("open", "installed")})
    folder = plugin_folder({"shop/__init__.py": SHOP})

    by_path, by_name = make_app(folder / "shop"), make_app("shop", config={"MYAPP_PLUGIN_DIRS": (str(folder),)})

    assert by_path.test_client().get("/shop/").text == "open"
    assert by_name.test_client().get("/shop/").text == "installed"
    assert [report.origin for report in get_report(by_name)] == ["a-shop 3.1"]


def test_folder_without_a_plugin_is_an_error(make_app: MakeApp, tmp_path: Path, plugin_folder: MakeFolder) -> None:
    """Nothing to be loaded is not what the test meant; neither is a path where nothing is."""
    plugin_folder({"empty/readme.txt": ""})

    with pytest.raises(ValueError, match="There is no plugin in"):
        make_app(tmp_path / "plugins")
    with pytest.raises(PluginError, match="There is no plugin at") as caught:
        make_app(tmp_path / "nowhere")
    assert caught.value.__notes__ == [ELSEWHERE]


def test_misspelt_argument_of_make_app_is_an_error(make_app: MakeApp) -> None:
    """It does not vanish, and two ways to name plugins are one too many."""
    with pytest.raises(TypeError):
        make_app(confg={})
    with pytest.raises(TypeError, match="not as both"):
        make_app("realmon", plugins=None)


def test_files_stay_inside_their_folder(plugin_folder: MakeFolder) -> None:
    """A path that climbs is refused."""
    with pytest.raises(ValueError, match="outside"):
        plugin_folder({"../../evil.py": ""})


def test_fake_distribution_has_metadata(fake_dist: MakeFolder) -> None:
    """Its entry points and its version are found as those of an installed one, also of a second one."""
    fake_dist("one-dist", "1.2", {"a.group": {"x": "one_dist:x"}, "b.group": {}}, {"one_dist.py": "x = 1\n"})
    fake_dist("two-dist", "2.0", "[a.group]\ny = two_dist\n")

    found = {one.name: one for one in distributions() if one.name in ("one-dist", "two-dist")}

    assert {name: one.version for name, one in found.items()} == {"one-dist": "1.2", "two-dist": "2.0"}
    (point,) = found["one-dist"].entry_points
    assert (point.group, point.load()) == ("a.group", 1)


def test_fake_distribution_is_forgotten() -> None:
    """The test before this one has left neither its module nor its metadata."""
    assert "one_dist" not in sys.modules
    assert not [one for one in distributions() if one.name == "one-dist"]


def test_evil_plugin_is_what_it_says(make_app: MakeApp, evil_plugins: EvilPlugin) -> None:
    """Each has the state and the problem that it is listed with, and the app is there."""
    app = make_app(evil_plugins.path, strict=False)

    (report,) = get_report(app)
    assert report.problem is not None
    assert (report.name, report.state, report.problem.code) == (
        evil_plugins.name,
        evil_plugins.state,
        evil_plugins.code,
    )
    assert app.test_client().get("/livez").status_code == 200


def test_every_source_of_an_evil_plugin_is_listed() -> None:
    """The zoo and its folder are one."""
    names = [path.name.removesuffix(f".py{SUFFIX}") for path in SOURCES.iterdir()]

    assert sorted(EVIL_PLUGINS) == sorted(names)


def test_as_user_sends_a_token(app: CustomFlask, as_user: Callable[..., FlaskClient], make_app: MakeApp) -> None:
    """With every request of that client, and of no other; for another app with ``app=``."""
    other = make_app()
    for one in (app, other):
        one.add_url_rule("/me", "me", lambda: {"me": getattr(get_user(), "address", None)})
    ann, bob = as_user("ann@example.com"), as_user("bob@example.com", app=other)

    assert [client.get("/me").json["me"] for client in (ann, bob, app.test_client(), ann)] == [
        "ann@example.com",
        "bob@example.com",
        None,
        "ann@example.com",
    ]


def test_clock_says_when_a_failing_plugin_is_tried_again(clock: t.Any, make_app: MakeApp) -> None:
    """It stands still until the test moves it, and never goes back."""
    calls: list[float] = []

    class Failing:
        def myapp_configure(self, app: Flask) -> None:
            @app.before_request
            def fail() -> None:
                calls.append(clock.now)
                raise RuntimeError("again and again")

    client = make_app(Failing()).test_client()
    for seconds in (0, 59, 1):
        clock.advance(seconds)
        for _ in range(6):
            assert client.get("/").status_code == 200

    assert calls == [1000.0] * 5 + [1060.0]
    with pytest.raises(ValueError, match="Time does not go back"):
        clock.advance(-1)


def test_live_server_answers_over_a_socket(make_app: MakeApp, live_server: Callable[..., t.Any]) -> None:
    """Two apps at once, each on a port of its own; a body that is cut is seen."""
    first, second = make_app(), make_app()
    first.add_url_rule("/cut", "cut", lambda: (iter(["half"]), {"Content-Length": "10"}))
    one, two = live_server(first), live_server(second)

    assert one.port != two.port
    assert one.ask("GET", "/livez").status == 200
    assert two.ask("GET", "/cut").status == 404
    answer = one.ask("GET", "/cut")
    assert (answer.status, answer.body, answer.is_whole) == (200, b"half", False)


def test_live_server_ends_although_a_request_hangs(make_app: MakeApp) -> None:
    """Its port is closed at the end of the block; the request is left to itself."""
    entered, release, app = threading.Event(), threading.Event(), make_app()
    app.add_url_rule("/hang", "hang", lambda: {"entered": entered.set(), "released": release.wait(30)})

    with ThreadPoolExecutor() as pool:
        with serve_in_thread(app) as server:
            answer = pool.submit(server.ask, "GET", "/hang")
            assert entered.wait(30)
        with pytest.raises(ConnectionRefusedError):
            Listening(server.port).ask("GET", "/livez", timeout=5)
        assert server.url == f"http://127.0.0.1:{server.port}"
        release.set()
        assert answer.result(30).status == 200


@pytest.mark.parametrize("given", [None, "an app", object])
def test_odd_app_of_a_conftest_is_explained(given: t.Any) -> None:
    """The message says what the fixture is to return."""
    with pytest.raises(pytest.fail.Exception, match=r'return make_app\("shop"\)'):
        check_app(given)


def test_app_of_another_project_may_be_a_plain_one() -> None:
    """Its clients work; what needs users does not, and says so."""
    app = Flask("other")

    assert check_app(app) is app
    with pytest.raises(pytest.fail.Exception, match="create_app"):
        check_app(app, of_myapp=True)


TEST = """
import sys
import pytest

@pytest.fixture
def app(make_app):
    return make_app("shop")

def test_shop(client, cli_runner, live_server):
    assert client.get("/shop/").text == "open"
    assert "shop" not in sys.modules
"""
FLASK_PLUGIN = "import pytest\n@pytest.fixture\ndef client():\n    return 'theirs'\n"


def test_tests_inside_a_plugin_load_it_once(run_pytest: RunPytest, tmp_path: Path) -> None:
    """pytest would import the package that the tests lie in, under a name of its own."""
    files = {"plugins/shop/__init__.py": SHOP, "plugins/shop/tests/test_it.py": TEST}

    result = run_pytest("plugins/shop", files=files, MYAPP_PLUGIN_DIRS=str(tmp_path / "author" / "plugins"))

    assert result.returncode == 0, result.stdout
    assert "1 passed" in result.stdout


def test_kit_may_be_asked_for_by_name(run_pytest: RunPytest) -> None:
    """Although it is there already; and it can be switched off."""
    files = {"conftest.py": 'pytest_plugins = ["myapp.testing"]\n', "test_it.py": "def test_it(client):\n    pass\n"}

    asked = run_pytest("-p", "myapp.testing", files=files)
    without = run_pytest("-p", "no:myapp.testing", files=files)

    assert "1 passed" in asked.stdout, asked.stderr
    assert "fixture 'client' not found" in without.stdout


def test_conftest_beside_the_plugin_is_explained(run_pytest: RunPytest, tmp_path: Path) -> None:
    """It makes pytest import the plugin a second time; the failure says where it belongs."""
    files = {"plugins/shop/__init__.py": SHOP, "plugins/shop/tests/test_it.py": TEST, "plugins/shop/conftest.py": ""}
    result = run_pytest("plugins/shop", files=files, MYAPP_PLUGIN_DIRS=str(tmp_path / "author" / "plugins"))

    assert "The plugin shop is loaded twice: as myapp_plugins.shop, by the app, and as shop" in result.stdout
    assert "keep conftest.py and tests in" in result.stdout
    assert "1 error" in result.stdout


def test_fixture_of_another_pytest_plugin_counts(run_pytest: RunPytest, fake_dist: MakeFolder) -> None:
    """Whichever was loaded first; the header says so, and how to get ours; a conftest.py replaces both."""
    path = fake_dist("a-flask", "1.0", {"pytest11": {"aflask": "a_flask_plugin"}}, {"a_flask_plugin.py": FLASK_PLUGIN})
    test = "def test_it(client, make_app):\n    assert (client == 'theirs') is {}\n"
    files = {"theirs/test_a.py": test.format(True), "ours/test_b.py": test.format(False)}

    theirs = run_pytest("theirs", files=files, path=str(path))
    ours = run_pytest("ours", "-p", "no:aflask", files=files, path=str(path))

    assert (theirs.returncode, ours.returncode) == (0, 0), theirs.stdout + ours.stdout
    assert "client come from the pytest plugin aflask; with -p no:aflask from myapp" in theirs.stdout
    assert "aflask" not in ours.stdout


def test_fixtures_and_checks_are_documented() -> None:
    """docs/testing.md has one row for each fixture and each check, and for nothing else."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)

    documented = sorted(name for row in rows for name in re.findall(r"`(\w+)", row))

    assert documented == sorted([*FIXTURES, *CHECKS])
