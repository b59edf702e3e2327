"""``myapp_plugins.<name>``: importable everywhere, one module per real path."""

from __future__ import annotations

import importlib
import json
import pickle
import subprocess
import sys
import typing as t

import pytest

from myapp.core.plugins import get_report
from myapp.core.plugins.finder import install_finder

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask

    from .conftest import MakeFolder

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"


def test_finder_is_installed_once() -> None:
    """``import myapp`` has installed it; again is the same one."""
    before = len(sys.meta_path)

    assert install_finder() is install_finder()
    assert len(sys.meta_path) == before


def test_import_myapp_imports_no_framework() -> None:
    """The finder is there without Flask, SQLAlchemy and pydantic."""
    code = "import sys, myapp; print(sorted({'flask', 'pluggy', 'pydantic', 'sqlalchemy'} & set(sys.modules)))"

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert output == "[]\n"


def test_plugin_is_loaded_once_under_its_name(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """The app, an import by hand and a relative import inside the plugin get one module; pickles find it."""
    source = "from . import models\nCOUNT = 1\n"
    folder = make_folder("plugins", {"finder_probe/__init__.py": source, "finder_probe/models.py": "class Row: pass\n"})

    (report,) = get_report(make_plugin_app(folder))
    module = importlib.import_module("myapp_plugins.finder_probe")
    models = importlib.import_module("myapp_plugins.finder_probe.models")

    assert report.module == "myapp_plugins.finder_probe"
    assert module.models is models
    assert type(pickle.loads(pickle.dumps(models.Row()))) is models.Row


def test_same_name_in_two_folders_gives_two_modules(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """The second gets a suffix made from its path, and its relative imports stay inside."""
    files = {"finder_twin/__init__.py": "from .where import HERE\n"}
    one = make_folder("one", {**files, "finder_twin/where.py": "HERE = 'one'\n"})
    two = make_folder("two", {**files, "finder_twin/where.py": "HERE = 'two'\n"})

    names = [get_report(make_plugin_app(folder))[0].module for folder in (one, two, one, two)]

    assert names[:2] == names[2:]
    assert names[0] == "myapp_plugins.finder_twin"
    assert names[1].startswith("myapp_plugins.finder_twin__")
    assert [importlib.import_module(name).HERE for name in names[:2]] == ["one", "two"]


def test_folder_of_an_app_is_importable_before_its_plugin_is_built(make_folder: MakeFolder) -> None:
    """A folder that an app has registered is searched, and what is found has its name for good."""
    folder = make_folder("plugins", {"finder_early.py": "VALUE = 3\n"})
    finder = install_finder()

    finder.add_folder(folder)

    assert importlib.import_module("myapp_plugins.finder_early").VALUE == 3
    assert finder.claim("finder_early", folder / "finder_early.py") == "myapp_plugins.finder_early"


def test_default_folder_comes_from_the_environment(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any app, ``MYAPP_PLUGIN_DIRS`` says where plugins are."""
    folder = make_folder("elsewhere", {"finder-dashed/__init__.py": "VALUE = 4\n"})
    monkeypatch.setenv("MYAPP_PLUGIN_DIRS", str(folder))

    assert importlib.import_module("myapp_plugins.finder_dashed").VALUE == 4


def test_plugin_does_not_shadow_the_standard_library(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """``plugins/json.py`` is ``myapp_plugins.json``, and ``import json`` is what it always was."""
    folder = make_folder("plugins", {"json.py": "import json\nTEXT = json.dumps([1])\n"})

    (report,) = get_report(make_plugin_app(folder))

    assert report.state == "active"
    assert importlib.import_module(report.module).TEXT == "[1]"
    assert importlib.import_module("json") is json
    assert str(folder) not in sys.path


def test_import_under_another_name_is_refused(
    make_folder: MakeFolder, make_plugin_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``import plugins.x`` would load the plugin a second time; the error says what to write."""
    make_plugin_app(make_folder("dropins", {"finder_once.py": ""}))
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ImportError, match=r"Write `import myapp_plugins\.finder_once`"):
        importlib.import_module("dropins.finder_once")
    sys.modules.pop("dropins", None)


def test_name_that_is_not_there_is_an_ordinary_import_error() -> None:
    """As for any other package."""
    with pytest.raises(ModuleNotFoundError, match=r"myapp_plugins\.not_there"):
        importlib.import_module("myapp_plugins.not_there")


def test_a_plugin_may_make_an_app(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Flask asks where the package around the module is."""
    folder = make_folder("plugins", {"inner.py": "from flask import Flask\ninner = Flask(__name__)\n"})

    [report] = get_report(make_plugin_app(folder))

    assert (report.state, report.problem) == ("active", None)


def test_link_out_of_the_folder_is_not_imported(make_folder: MakeFolder) -> None:
    """The finder follows no link that leaves the folder."""
    folder = make_folder("plugins", {"good.py": ""})
    (folder / "finder_link.py").symlink_to(make_folder("outside", {"evil.py": "raise AssertionError"}) / "evil.py")
    install_finder().add_folder(folder)

    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("myapp_plugins.finder_link")


def test_link_in_the_folder_is_the_same_module(make_folder: MakeFolder, tmp_path: Path) -> None:
    """One module per real path, whichever link leads to the plugin or to its folder."""
    folder = make_folder("plugins", {"finder_real.py": ""})
    (folder / "finder_alias.py").symlink_to("finder_real.py")
    (tmp_path / "linked").symlink_to(folder)
    finder = install_finder()
    for one in (folder, tmp_path / "linked"):
        finder.add_folder(one)

    names = [
        finder.claim(name, one / f"{name}.py")
        for name in ("finder_real", "finder_alias")
        for one in (folder, tmp_path / "linked")
    ]

    assert names == ["myapp_plugins.finder_real"] * 4


def test_hidden_files_and_folders_are_no_plugins(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Nor what has a name of tests, whatever is in it."""
    source = "raise AssertionError\n"
    names = ".py", ".py/__init__.py", ".hidden/__init__.py", "_private.py", "test_shop.py", "conftest.py", "setup.py"
    for number, name in enumerate(names):
        assert not get_report(make_plugin_app(make_folder(f"plugins{number}", {name: source}))), name


def test_link_that_is_turned_leads_to_the_new_module(make_folder: MakeFolder, tmp_path: Path) -> None:
    """A release is often a link that is turned: what is found there is imported from there."""
    releases = [make_folder(f"r{number}", {"finder_turned.py": ""}) for number in (1, 2)]
    current, finder, names = tmp_path / "current", install_finder(), []
    for release in releases:
        current.unlink(missing_ok=True)
        current.symlink_to(release)
        if release == releases[0]:
            finder.add_folder(current)
        names.append(finder.claim("finder_turned", current / "finder_turned.py"))

    assert names[0] == "myapp_plugins.finder_turned"
    assert names[1].startswith("myapp_plugins.finder_turned__")
