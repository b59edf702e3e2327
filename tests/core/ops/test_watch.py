"""Files that are dropped in while ``flask run --debug`` runs."""

from __future__ import annotations

import os
import threading
import typing as t

import pytest
from click import Context
from flask.cli import run_command

from myapp.core.config import load
from myapp.core.ops import watch_folders
from myapp.core.ops.watch import take_snapshot, wait_for_change
from myapp.core.plugins import iter_editable
from myapp.testing.folders import write_files
from tests.servers.dropin import HOOK, MODULE, PROMISED_SECONDS, run_debug

if t.TYPE_CHECKING:
    from pathlib import Path

BROKEN = MODULE.format(name="bad", path="/bad", text="never") + "\ndef (:\n"


def is_shown(text: str) -> t.Callable[[int, str], bool]:
    return lambda status, body: (status, body) == (200, text)


def install(folder: Path, name: str, **files: str) -> None:
    """Make ``folder``, which is on the path, one in which the distribution ``name`` is installed for editing."""
    information = {
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/entry_points.txt": f"[myapp.plugins]\n{name} = {name}\n",
    }
    write_files(folder, information | files)


@pytest.mark.live
def test_files_dropped_in_are_served(tmp_path: Path) -> None:
    """A module, a package with a module, a plugin folder, a plugin file; what goes is gone."""
    with run_debug(tmp_path) as project:
        project.write("team/hello.py", MODULE.format(name="hello", path="/hello", text="one"))
        seconds = project.wait_for("/hello", is_shown("one"))
        project.write("team/api/__init__.py", "")
        project.write("team/api/v1.py", MODULE.format(name="v1", path="/x", text="below"))
        project.wait_for("/api/x", is_shown("below"))
        project.write("plugins/shop/__init__.py", MODULE.format(name="shop", path="/", text="shop") + HOOK)
        project.wait_for("/shop/", is_shown("shop"))
        project.write("plugins/single.py", MODULE.format(name="single", path="/", text="single") + HOOK)
        project.wait_for("/single/", is_shown("single"))
        (tmp_path / "team" / "hello.py").unlink()
        project.wait_for("/hello", lambda status, _: status == 404)
        project.wait_for("/api/x", is_shown("below"))
    # The promise is for a machine that has nothing else to do; on a shared one, waiting for it is no proof.
    assert seconds < PROMISED_SECONDS * 3


@pytest.mark.live
def test_errors_leave_the_server_alive(tmp_path: Path) -> None:
    """File and line are printed; correcting it serves it, in a blueprint package, in a plugin folder, and in a plugin
    that is installed for editing."""
    install(tmp_path, "till", **{"till/__init__.py": "from .views import *\n", "till/views.py": "def (:\n"})
    with run_debug(tmp_path) as project:
        project.wait_for_log(f"{tmp_path / 'till' / 'views.py'}:1: SyntaxError")
        project.write("till/views.py", MODULE.format(name="till", path="/", text="till") + HOOK)
        project.wait_for("/till/", is_shown("till"))
        project.write("team/hello.py", MODULE.format(name="hello", path="/hello", text="one"))
        project.wait_for("/hello", is_shown("one"))
        project.write("team/bad.py", BROKEN)
        project.wait_for_log(f"{tmp_path / 'team' / 'bad.py'}:11: SyntaxError")
        project.wait_for("/hello", is_shown("one"))
        project.write("plugins/shop/__init__.py", "import a_package_that_is_not_there\n")
        project.wait_for_log(f"{tmp_path / 'plugins' / 'shop' / '__init__.py'}:1: ModuleNotFoundError")
        project.wait_for("/hello", is_shown("one"))
        project.write("team/bad.py", MODULE.format(name="bad", path="/bad", text="good"))
        project.wait_for("/bad", is_shown("good"))
        project.write("plugins/shop/__init__.py", MODULE.format(name="shop", path="/", text="shop") + HOOK)
        project.wait_for("/shop/", is_shown("shop"))
        assert project.server.process.poll() is None


@pytest.mark.live
def test_app_that_cannot_be_built_is_built_again(tmp_path: Path) -> None:
    """In strict mode a broken module stops the start: the reloader's child waits for it to be corrected."""
    with run_debug(tmp_path, MYAPP_STRICT="yes") as project:
        project.write("team/bad.py", BROKEN)
        project.wait_for("/bad", lambda status, body: status == 500 and "bad.py" in body)
        assert f"{tmp_path / 'team' / 'bad.py'}:11: SyntaxError" in project.log()
        project.write("team/bad.py", MODULE.format(name="bad", path="/bad", text="good"))
        project.wait_for("/bad", is_shown("good"))


@pytest.mark.live
def test_excluded_files_change_nothing(tmp_path: Path) -> None:
    """What is excluded from Werkzeug's reloader is excluded from ours."""
    with run_debug(tmp_path, "--exclude-patterns", "*/generated.py") as project:
        project.write("team/generated.py", MODULE.format(name="generated", path="/generated", text="one"))
        project.write("team/hello.py", MODULE.format(name="hello", path="/hello", text="one"))
        project.wait_for("/hello", is_shown("one"))
        assert "hello.py', reloading" in project.log()
        assert "generated.py', reloading" not in project.log()


def test_snapshot_has_the_python_files_below_the_folders(tmp_path: Path) -> None:
    """At any depth; no caches, no hidden folders, nothing that is excluded; a missing folder has none."""
    for name in ("a.py", "b/c.py", "b/__pycache__/c.py", ".git/d.py", "e.txt", "f_test.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    snapshot = take_snapshot([str(tmp_path), str(tmp_path / "missing")], ["*_test.py"])

    assert sorted(snapshot) == [str(tmp_path / "a.py"), str(tmp_path / "b" / "c.py")]


def test_plugins_in_site_packages_are_not_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody edits them. One of a single file is that file, and one in a package the whole package."""
    for place in ("work", "site-packages"):
        install(tmp_path / place, f"{place[0]}_one", **{f"{place[0]}_one.py": ""})
        package = {f"{place[0]}_two/__init__.py": "", f"{place[0]}_two/plugin.py": ""}
        install(tmp_path / place, f"{place[0]}_two.plugin", **package)
        monkeypatch.syspath_prepend(str(tmp_path / place))

    found = sorted(path for path in iter_editable() if path.is_relative_to(tmp_path))

    assert found == [tmp_path / "work" / "w_one.py", tmp_path / "work" / "w_two"]
    assert list(take_snapshot(map(str, found[:1]))) == [str(tmp_path / "work" / "w_one.py")]


def test_snapshot_differs_when_a_file_changes(tmp_path: Path) -> None:
    """Also back in time, as a checkout of an older version does."""
    (tmp_path / "a.py").touch()
    before = take_snapshot([str(tmp_path)])

    os.utime(tmp_path / "a.py", (1, 1))

    assert take_snapshot([str(tmp_path)]) != before


def test_change_counts_when_it_has_settled() -> None:
    """A folder that is being copied is looked at again; a file that came and went is no change."""
    looks = iter([{"a": 1}, {"a": 1, "b": 1}, {"a": 1}, {"a": 1}, {"a": 2}, {"a": 2, "b": 1}, {"a": 2, "b": 1}])
    pauses: list[None] = []

    changed = wait_for_change({"a": 1}, lambda: next(looks), lambda: pauses.append(None))

    assert changed == ["a", "b"]
    assert len(pauses) == 7


@pytest.mark.parametrize("variables", [{}, {"WERKZEUG_RUN_MAIN": "true"}], ids=["no reloader", "no flask run"])
def test_nothing_is_watched_elsewhere(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in production nor by the parent of the reloader, nor by a command that runs below it."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    loaded = load({"TESTING": True, "MYAPP_BLUEPRINT_PACKAGES": ()})

    if variables:
        watch_folders(loaded)
    else:
        with Context(run_command):
            watch_folders(loaded)

    assert [thread.name for thread in threading.enumerate() if thread.name == "myapp-watch"] == []
