"""The spine, point by point; the tests of each part go further than these."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import flask
import pytest
from flask import Blueprint
from flask.views import MethodView

from benchmarks.start import SMOKE_SIZES
from myapp import ApiResult, after_commit, after_rollback, get_db, hookimpl, task
from myapp.core import discovery
from myapp.core.errors import TransactionControlError
from tests import mutants
from tests.conftest import Item
from tests.servers import commits, outages
from tests.servers.process import ROOT, SERVERS, command_of, serve

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask

METER_DATA = os.environ.get("MYAPP_METER_DATA")


def add(name: str, **more: t.Any) -> None:
    get_db().add(Item(name=name, **more))


@pytest.mark.live
def test_1_first_run_in_an_empty_folder(tmp_path: Path) -> None:
    """The README's two commands have their form; what the first one starts serves within 5 s and prints no warning.

    `.ci/run` runs both word for word, with the virtual environment that they make.
    """
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    install = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && "
    blocks = re.findall(r"```console\n(.*?)```", readme, re.DOTALL)
    assert [block.strip() for block in blocks[:2]] == [
        install + ".venv/bin/flask run",
        install + ".venv/bin/python -m pytest",
    ]
    clone = mutants.copy_tree(tmp_path / "clone")
    environ = {"PYTHONPATH": str(clone), "FLASK_RUN_PORT": "0"}
    started = time.monotonic()
    with serve([sys.executable, "-m", "flask", "run"], tmp_path / "log", environ, cwd=clone) as server:
        answer = server.ask("GET", "/")
        assert time.monotonic() - started < 5
        assert answer.status == 200
        assert b"Welcome" in answer.body
        assert "Set-Cookie" not in answer.headers
    log = (tmp_path / "log").read_text()
    warnings = [line for line in log.splitlines() if "warning" in line.lower()]
    assert len(warnings) == 1
    assert "This is a development server" in warnings[0]
    assert "Traceback" not in log
    assert "realmon" in log


@pytest.mark.skipif(METER_DATA is None, reason="set MYAPP_METER_DATA to the folder with the meter readings")
@pytest.mark.parametrize(
    ("readings", "zone"),
    [
        ("il-electricity-cdd-hdd-hourly.csv.gz", "America/Chicago"),
        ("uk-electricity-hdd-only-hourly-sample-0.csv.gz", "Europe/London"),
    ],
)
def test_2_real_meter_readings(make_app: t.Any, readings: str, zone: str) -> None:
    """Exactly the months of the answer; a second import changes nothing. (Its speed is in benchmarks/.)"""
    folder = Path(t.cast("str", METER_DATA))
    [answer] = folder.glob(f"{readings.split('-hourly')[0]}*-monthly-{zone.replace('/', '-')}.csv")
    with answer.open() as file:
        expected = [(row["month"], int(row["readings"]), row["total"]) for row in csv.DictReader(file)]
    app = make_app(plugins=None)
    args = ["realmon", "import", str(folder / readings), "--meter", "m", "--building", "b", "--timezone", zone]
    runner, client = app.test_cli_runner(), app.test_client()
    for _ in range(2):
        result = runner.invoke(args=args)
        assert result.exit_code == 0, result.output
        report = client.get("/realmon/api/v1/reports/monthly?meter=m").json
        assert [(month["month"], month["readings"], month["kwh"]) for month in report["months"]] == expected
        assert (report["meter"], report["unit"], report["zone"]) == ("m", "kWh", zone)


@pytest.mark.live
@pytest.mark.parametrize("kind", sorted(SERVERS))
def test_3_failed_commit_is_never_a_success(tmp_path: Path, kind: str) -> None:
    """The app's own 409 or 500, streams and errors included; no row, no callback; the next hundred are fine."""
    command = command_of(kind, "tests.servers.application:app")
    with serve(command, tmp_path / "log", {"MYAPP_INSTANCE_PATH": str(tmp_path)}) as server:
        commits.check_all(server)


def test_4_rules_of_tasks(db_app: CustomFlask, names: Callable[[], list[str]]) -> None:
    """One walk over them; tests/core/tasks has a test for each mechanism and each of A1 to A9 and A11."""
    log: list[str] = []

    @db_app.post("/<how>")
    def view(how: str) -> t.Any:
        add(how)
        after_commit(log.append, f"{how} committed")
        after_rollback(log.append, f"{how} rolled back")
        if how == "kept":
            task.keep()
            return "no", 401
        if how == "doomed":
            task.doom()
        if how == "refused":
            return "no", 400
        with pytest.raises(ZeroDivisionError), task.savepoint():
            add("in a savepoint")
            raise ZeroDivisionError
        with pytest.raises(TransactionControlError, match="the task commits"):
            get_db().commit()
        return "ok"

    with db_app.app_context():
        client = db_app.test_client()
        statuses = [client.post(f"/{how}").status_code for how in ("first", "second", "kept", "doomed", "refused")]
    with db_app.task():
        add("block")
    assert statuses == [200, 200, 401, 200, 400]
    assert names() == ["first", "second", "kept", "block"]
    assert log == [
        "first committed",
        "second committed",
        "kept committed",
        "doomed rolled back",
        "refused rolled back",
    ]


def test_4_every_rule_has_its_test() -> None:
    """Each of A1 to A9 and A11 is a test that is named after it."""
    source = "".join(path.read_text() for path in (ROOT / "tests/core/tasks").glob("test_*.py"))
    rules = {*re.findall(r"def test_(a\d+)_", source), *(rule.lower() for rule in re.findall(r'"""(A\d+):', source))}
    assert rules >= {"a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a11"}


@pytest.mark.parametrize(
    ("end", "code", "commits"),
    [
        (lambda: 1 / 0, 1, False),
        (lambda: sys.exit(3), 3, False),
        (lambda: sys.exit(0), 0, True),
        (lambda: flask.cli.click.get_current_context().exit(0), 0, True),
    ],
    ids=["error", "sys.exit(3)", "sys.exit(0)", "ctx.exit(0)"],
)
def test_5_commands(db_app: CustomFlask, names: t.Any, end: t.Any, code: int, *, commits: bool) -> None:
    """A command that fails leaves no row and no callback; a clean exit commits."""
    ran: list[str] = []

    @db_app.cli.command()
    def work() -> None:
        add("row")
        get_db().flush()
        after_commit(ran.append, "callback")
        end()

    assert db_app.test_cli_runner().invoke(args=["work"]).exit_code == code
    assert (names(), ran) == ((["row"], ["callback"]) if commits else ([], []))


def write_tree(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_6_discovery(make_app: t.Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken imports, re-exports, versions: each module once, its true error, its neighbours served."""
    users = """
from flask import Blueprint
blueprint = Blueprint("users", __name__, url_prefix="/users")
blueprint.add_url_rule("/", "index", lambda: {{"version": {v}}})
blueprint.add_url_rule("/lost", "lost", lambda: 1 / 0)
"""
    version = """
from flask import Blueprint
blueprint = Blueprint("root", __name__)
blueprint.register_error_handler(ZeroDivisionError, lambda e: ({{"handled by": {v}}}, 418))
"""
    simple = """
from flask import Blueprint
blueprint = Blueprint("{name}", __name__, url_prefix="/{name}")
blueprint.add_url_rule("/", "index", lambda: "ok")
"""
    write_tree(
        tmp_path / "pointsix",
        {
            "__init__.py": "runs = []\n",
            "alpha.py": simple.format(name="alpha"),
            "broken.py": "from pointsix import runs\nruns.append('broken')\nimport does_not_exist\n",
            "views.py": "from pointsix.alpha import blueprint\n",
            "zeta.py": simple.format(name="zeta"),
            "api/__init__.py": "",
            "api/v1/__init__.py": version.format(v=1),
            "api/v1/users.py": users.format(v=1),
            "api/v1/orders.py": "def broken(:\n",
            "api/v2/__init__.py": version.format(v=2),
            "api/v2/users.py": users.format(v=2),
        },
    )
    monkeypatch.syspath_prepend(tmp_path)
    app = make_app(config={"MYAPP_BLUEPRINT_PACKAGES": ("pointsix",), "PROPAGATE_EXCEPTIONS": False}, strict=False)
    client = app.test_client()
    for path in ("/alpha/", "/zeta/"):
        assert client.get(path).text == "ok"
    for number in (1, 2):
        assert client.get(f"/api/v{number}/users/").json == {"version": number}
        assert client.get(f"/api/v{number}/users/lost").json == {"handled by": number}
    assert sys.modules["pointsix"].runs == ["broken"]
    reports = {report.name: report for report in discovery.get_report(app)}
    assert "does_not_exist" in str(reports["broken"].problem)
    assert "broken.py" in str(reports["broken"].problem)
    assert "orders.py" in str(reports["api.v1.orders"].problem)
    assert [rule.endpoint for rule in app.url_map.iter_rules() if rule.rule == "/alpha/"] == ["alpha.index"]


def test_7_two_apps_in_one_process(make_app: t.Any, tmp_path: Path) -> None:
    """Built alternately ten times, with other settings and other plugins, each has its own and nothing else."""
    folders = {}
    for name in ("one", "two"):
        # The same name in both folders: two plugins that are called `shop`.
        folders[name] = tmp_path / name
        write_tree(
            folders[name] / "shop",
            {
                "__init__.py": f"""
from flask import Blueprint
from myapp import hookimpl
__plugin__ = {{"name": "shop", "version": "1.0", "api": 1, "summary": "x"}}
@hookimpl
def myapp_blueprints(app, plugin):
    blueprint = Blueprint("shop", __name__)
    blueprint.get("/{name}")(lambda: "{name}")
    return blueprint
"""
            },
        )
    for _ in range(10):
        apps = {
            name: make_app(config={"MYAPP_PLUGIN_DIRS": (str(folders[name]),), "NAME": name}, plugins=None)
            for name in folders
        }
        for name, other in (("one", "two"), ("two", "one")):
            client = apps[name].test_client()
            assert client.get(f"/shop/{name}").text == name
            assert client.get(f"/shop/{other}").status_code == 404
            assert apps[name].config["NAME"] == name


def test_8_shapes_of_results(make_app: t.Any) -> None:
    """From views, error handlers, class-based and `async def` views, and plugins' views."""

    class User:
        def to_json(self) -> t.Any:
            return {"id": 42}

    shapes: dict[str, Callable[[], t.Any]] = {
        "object": User,
        "status": lambda: (User(), 201),
        "headers": lambda: (User(), 201, {"X-A": "1"}),
        "list": lambda: [User(), User()],
        "dict": lambda: {"user": User()},
        "result": lambda: ApiResult(User(), 203),
        "model": lambda: Item(id=1, name="a", secret="never"),
    }

    class Raised(Exception):
        pass

    class Plugin:
        """A plugin whose views return every shape, in every way."""

        @hookimpl
        def myapp_blueprints(self, app: CustomFlask) -> Blueprint:
            blueprint = Blueprint("shapes", __name__)

            @blueprint.get("/view/<shape>")
            def view(shape: str) -> t.Any:
                return shapes[shape]()

            @blueprint.get("/async/<shape>")
            async def asynchronous(shape: str) -> t.Any:
                return shapes[shape]()

            @blueprint.get("/error/<shape>")
            def raised(shape: str) -> t.Any:
                raise Raised(shape)

            @blueprint.errorhandler(Raised)
            def handle(error: Raised) -> t.Any:
                return shapes[str(error)]()

            class Shape(MethodView):
                def get(self, shape: str) -> t.Any:
                    return shapes[shape]()

            blueprint.add_url_rule("/class/<shape>", view_func=Shape.as_view("class"))
            return blueprint

    app = make_app(Plugin())
    client = app.test_client()
    base = next(rule.rule for rule in app.url_map.iter_rules() if rule.rule.endswith("/view/<shape>"))
    for way in ("view", "async", "error", "class"):
        answers = {shape: client.get(base.replace("view/<shape>", f"{way}/{shape}")) for shape in shapes}
        assert {shape: (answer.status_code, answer.json) for shape, answer in answers.items()} == {
            "object": (200, {"id": 42}),
            "status": (201, {"id": 42}),
            "headers": (201, {"id": 42}),
            "list": (200, [{"id": 42}, {"id": 42}]),
            "dict": (200, {"user": {"id": 42}}),
            "result": (203, {"id": 42}),
            "model": (200, {"id": 1, "name": "a"}),
        }
        assert answers["headers"].headers["X-A"] == "1"


@pytest.mark.live
@pytest.mark.parametrize("outage", outages.CHECKS)
def test_9_outages(tmp_path: Path, outage: str) -> None:
    """Each is a 503, or an exit other than 0, with a sentence that says what to do; the old rows are intact."""
    outages.CHECKS[outage](tmp_path)


def test_10_benchmarks_run(tmp_path: Path) -> None:
    """One command prints every ratio that was asked for. (What they are, benchmarks/RESULTS.md says.)"""
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--smoke", "--json"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "MYAPP_INSTANCE_PATH": str(tmp_path)}
    result = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=110, check=True)
    names = {case["name"] for case in json.loads(result.stdout)["results"]}
    assert len(names) >= 20
    assert {"flask --help", *(f"start with {count} modules" for count, _ in SMOKE_SIZES)} <= names


def test_11_mutants_of_load_bearing_lines() -> None:
    """tests/mutants.py has ten and more; each names a line that stands there. CI runs it."""
    assert len(mutants.MUTANTS) >= 10
    for mutant in mutants.MUTANTS:
        assert (ROOT / mutant.path).read_text(encoding="utf-8").count(mutant.line) == 1, mutant.name
    assert "tests/mutants.py" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
