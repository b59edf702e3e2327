from __future__ import annotations

import typing as t

import pytest

from myapp.core.data import drop_models, model_packages
from myapp.testing import write_zoo
from myapp.testing.folders import write_files

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from myapp import CustomFlask

MakeFolder: t.TypeAlias = "Callable[..., Path]"


@pytest.fixture(autouse=True)
def _models_go() -> Iterator[None]:
    """Drop the models of the test's plugins: a backref of theirs leads the next test to tables that are not there."""
    before = model_packages()
    yield
    drop_models(frozenset(name for name in model_packages() - before if name.startswith("myapp_plugins.")))


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """Return a plugin folder with every evil plugin."""
    return write_zoo(tmp_path / "zoo")


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Return a function that writes a plugin folder: ``make_folder("plugins", {"shop/__init__.py": "…"})``."""
    return lambda name, files: write_files(tmp_path / name, files)


@pytest.fixture
def make_plugin_app(make_app: Callable[..., CustomFlask]) -> Callable[..., CustomFlask]:
    """Return a function that builds a lenient app with the plugins of the given folders and no blueprint modules."""

    def make(*folders: Path, strict: bool = False, wanted: t.Any = None, **config: t.Any) -> CustomFlask:
        defaults = {"MYAPP_BLUEPRINT_PACKAGES": (), "MYAPP_PLUGIN_DIRS": tuple(str(folder) for folder in folders)}
        return make_app(config=defaults | config, strict=strict, plugins=wanted)

    return make


@pytest.fixture
def fake_distribution(fake_dist: Callable[..., Path]) -> Callable[..., None]:
    """Return a function that installs a distribution with modules, version 1.2."""

    def install(name: str, entry_points: str, **modules: str) -> None:
        fake_dist(name, "1.2", entry_points, {f"{module}.py": text for module, text in modules.items()})

    return install
