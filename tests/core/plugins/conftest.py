from __future__ import annotations

import sys
import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myapp import CustomFlask

ZOO = Path(__file__).resolve().parents[2] / "apps" / "zoo"

MakeFolder: t.TypeAlias = "Callable[..., Path]"


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Return a function that writes a plugin folder: ``make_folder("plugins", {"shop/__init__.py": "…"})``."""

    def make(name: str, files: dict[str, str]) -> Path:
        for file, text in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path / name

    return make


@pytest.fixture
def make_plugin_app(make_app: Callable[..., CustomFlask]) -> Callable[..., CustomFlask]:
    """Return a function that builds a lenient app with the plugins of the given folders and no blueprint modules."""

    def make(*folders: Path, strict: bool = False, wanted: t.Any = None, **config: t.Any) -> CustomFlask:
        defaults = {"MYAPP_BLUEPRINT_PACKAGES": (), "MYAPP_PLUGIN_DIRS": tuple(str(folder) for folder in folders)}
        return make_app(config=defaults | config, strict=strict, plugins=wanted)

    return make


@pytest.fixture
def fake_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return a function that installs a package with entry points, without pip."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    installed: list[str] = []

    def install(name: str, entry_points: str, **modules: str) -> None:
        info = site / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        for module, text in modules.items():
            (site / f"{module}.py").write_text(text, encoding="utf-8")
        installed.extend(modules)

    yield install
    for module in installed:
        sys.modules.pop(module, None)
