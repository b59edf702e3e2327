"""What ``flask run`` says at its start."""

from __future__ import annotations

import typing as t

import myapp
from myapp.core.ops.banner import _iter_lines
from myapp.core.ops.doctor import iter_findings

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"


def test_safe_mode_is_loud(make_app: MakeApp) -> None:
    """In the banner and for the doctor; without it neither says a word."""
    safe, usual = make_app(config={"MYAPP_SAFE_MODE": "yes"}, plugins=None), make_app()

    assert "MYAPP_SAFE_MODE is on" in "".join(_iter_lines(safe))
    assert [finding.id for finding in iter_findings(safe)] == ["setting.safe-mode"]
    assert "SAFE" not in "".join(_iter_lines(usual))
    assert list(iter_findings(usual)) == []


def test_version_is_that_of_the_code(make_app: MakeApp, fake_dist: Callable[..., Path]) -> None:
    """Whatever metadata is installed, if any."""
    fake_dist("myapp", "9.8.7", "")

    assert next(_iter_lines(make_app())) == f"myapp {myapp.__version__}, profile production"


def test_password_of_the_database_is_not_in_the_banner(make_app: MakeApp) -> None:
    """Neither behind a slash nor as a parameter."""
    for url in ("postgresql://u:can/ary@db/x", "postgresql:///x?password=canary"):
        [line] = [line for line in _iter_lines(make_app(config={"MYAPP_DATABASE_URL": url})) if "database" in line]

        assert "***" in line
        assert "ary" not in line
