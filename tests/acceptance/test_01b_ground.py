"""The ground completed, point by point; the tests of each part go further than these."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t

import pytest
from click.testing import CliRunner
from flask.cli import ScriptInfo

from benchmarks import start
from myapp.core.cli.why import why
from tests.servers.dropin import HOOK, MODULE, run_debug
from tests.servers.process import ROOT

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask


@pytest.mark.live
def test_3_what_is_dropped_in_is_served(tmp_path: Path) -> None:
    """A file and a folder, without a restart by hand; a syntax error leaves the server alive and names file and line.

    That it takes less than 3 s, docs/blueprints.md says: on a shared machine a limit would prove nothing.
    """
    with run_debug(tmp_path) as project:
        project.write("team/hello.py", MODULE.format(name="hello", path="/hello", text="a file"))
        project.wait_for("/hello", lambda *answer: answer == (200, "a file"))
        project.write("plugins/shop/__init__.py", MODULE.format(name="shop", path="/", text="a folder") + HOOK)
        project.wait_for("/shop/", lambda *answer: answer == (200, "a folder"))
        project.write("team/wrong.py", "blueprint = (\n")
        project.wait_for_log(f"{tmp_path / 'team' / 'wrong.py'}:1: SyntaxError")
        project.wait_for("/hello", lambda *answer: answer == (200, "a file"))
        project.write("team/wrong.py", MODULE.format(name="wrong", path="/right", text="corrected"))
        project.wait_for("/right", lambda *answer: answer == (200, "corrected"))


def test_4_a_404_of_debug_mode_explains_itself(
    make_app: Callable[..., CustomFlask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The closest rule, or the broken blueprint with file, line and error; ``flask why`` says the same, exit 1."""
    package = tmp_path / "explained"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "orders.py").write_text(
        'from flask import Blueprint\n\nbp = Blueprint("orders", __name__, url_prefix="/orders")\nbp.gett("/")\n'
    )
    (package / "misspelt.py").write_text('from flask import Blueprint\n\nblue_print = Blueprint("m", __name__)\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    config = {"MYAPP_BLUEPRINT_PACKAGES": ("myapp.blueprints", "explained"), "PROPAGATE_EXCEPTIONS": False}
    app = make_app(config={**config, "DEBUG": True}, strict=False)
    error = f"{package / 'orders.py'}:4: AttributeError"
    client = app.test_client()
    answers = {path: client.get(path) for path in ("/demo/ad", "/orders/7")}
    pages = {path: client.get(path, headers={"Accept": "text/html"}).text for path in answers}

    def ask(subject: str) -> tuple[int, str]:
        result = CliRunner().invoke(why, [subject], obj=ScriptInfo(create_app=lambda: app))
        return result.exit_code, result.stdout

    assert answers["/demo/ad"].json["closest"] == ["/demo/add"]
    assert "/demo/add" in pages["/demo/ad"]
    [broken] = answers["/orders/7"].json["not_served"]
    assert (broken["module"], broken["state"]) == ("explained.orders", "broken-import")
    assert broken["reason"].startswith(error)
    assert "explained.orders" in pages["/orders/7"]
    assert error in pages["/orders/7"]
    for subject, words in (
        ("/demo/ad", ["/demo/add"]),
        ("/orders/7", ["explained.orders", error]),
        ("orders", ["explained.orders", error]),
        ("misspelt", ["blue_print", "Did you mean blueprint?"]),
    ):
        code, text = ask(subject)
        assert code == 1
        assert [word for word in words if word not in text] == []


def test_6_the_start_is_measured(tmp_path: Path) -> None:
    """0, 100 and 1,000 modules, beside plain imports, and ``flask --help``. (benchmarks/RESULTS.md has the figures.)"""
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--smoke", "--json", "--only"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "MYAPP_INSTANCE_PATH": str(tmp_path)}
    names: list[str] = []
    for word in ("start with", "flask --help"):
        output = subprocess.run([*command, word], cwd=ROOT, env=environ, capture_output=True, timeout=110, check=True)
        names += [result["name"] for result in json.loads(output.stdout)["results"]]

    assert [(count, goal) for count, goal in start.SIZES if goal] == [(1000, 1.2)]
    assert [count for count, _ in start.SIZES] == [0, 100, 1000]
    assert names == [*(f"start with {count} modules" for count, _ in start.SMOKE_SIZES), "flask --help"]
    rows = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    assert "| start with 1,000 modules |" in rows
    assert "| flask --help |" in rows
