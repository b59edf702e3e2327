from __future__ import annotations

import sys
import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myapp import CustomFlask

APPS = Path(__file__).resolve().parents[2] / "apps"


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of the blueprint package ``team``, importable and not imported yet."""
    monkeypatch.syspath_prepend(str(APPS))
    yield APPS / "team"
    for name in [name for name in sys.modules if name.partition(".")[0] == "team"]:
        del sys.modules[name]


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Return a function that writes a blueprint package and returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def make(name: str, **files: str) -> str:
        for file, text in {"__init__": "", **files}.items():
            path = tmp_path / name / f"{file.replace('__slash__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        made.append(name)
        return name

    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] in made]:
        del sys.modules[name]


@pytest.fixture
def make_team_app(make_app: Callable[..., CustomFlask]) -> Callable[..., CustomFlask]:
    """Return a function that builds a lenient app which serves the blueprint package ``team``."""

    def make(*packages: str, strict: bool = False, **config: t.Any) -> CustomFlask:
        return make_app(config={"MYAPP_BLUEPRINT_PACKAGES": packages or ("team",), **config}, strict=strict)

    return make
