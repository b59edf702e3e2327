"""``flask plugins new``: without an app, and when one cannot boot."""

from __future__ import annotations

import typing as t

import pytest
from flask.cli import ScriptInfo

from myapp.__main__ import main
from tests.runners import runner

if t.TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def new(*arguments: str) -> Result:
    """Run the command; the app is never asked for."""

    def fail() -> t.NoReturn:
        raise AssertionError("the command has loaded the application")

    group = main.commands["plugins"]
    return runner().invoke(group, ["new", *arguments], obj=ScriptInfo(create_app=fail))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder; plugins lie in ``dropins`` below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MYAPP_PLUGIN_DIRS", str(tmp_path / "dropins"))
    return tmp_path


def test_new_plugin_goes_where_the_application_finds_it(here: Path) -> None:
    """And the command says what to do next, as it is typed in this folder."""
    result = new("shop")

    assert (result.exit_code, result.stderr) == (0, "")
    assert (here / "dropins" / "shop" / "__init__.py").is_file()
    assert "http://127.0.0.1:5000/shop/" in result.stdout
    assert "pytest --myapp-contract dropins/shop" in result.stdout
    assert "pip install" not in result.stdout


def test_new_plugin_elsewhere_has_to_be_installed(here: Path) -> None:
    """``--into`` makes the folder, and the next step is another one."""
    result = new("shop", "--into", ".")

    assert result.exit_code == 0
    assert (here / "shop" / "setup.cfg").is_file()
    assert "pip install -e shop" in result.stdout
    assert "pytest --myapp-contract ./shop" in result.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Shop", "'shop' would be one"),
        ("doctor", "uses itself"),
        ("demo", "There is a plugin or a blueprint called demo"),
        ("other", "There is a plugin or a blueprint called other"),
    ],
)
def test_name_that_cannot_be_used_is_exit_2(name: str, message: str, here: Path) -> None:
    """A blueprint of the core, a command, a plugin that another folder has: one line, and nothing is written."""
    (here / "dropins").mkdir()
    (here / "dropins" / "other.py").touch()

    result = new(name, "--into", "elsewhere")

    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (here / "elsewhere").exists()


def test_settings_that_cannot_be_read_need_a_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows where plugins lie then; with ``--into`` it works, and says what was not checked."""
    monkeypatch.setenv("MYAPP_STRICT", "perhaps")

    without, with_folder = new("shop"), new("shop", "--into", "mine")

    assert without.exit_code == 2
    assert "MYAPP_STRICT" in without.stderr
    assert "--into FOLDER" in without.stderr
    assert with_folder.exit_code == 0
    assert "The names that are taken are not known" in with_folder.stderr
    assert (here / "mine" / "shop" / "README.md").is_file()
