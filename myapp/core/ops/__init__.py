"""Operations: probes outside of Flask, explanations, and what ``flask run`` says and does at its start."""

from __future__ import annotations

import typing as t

from . import banner, explain, health, status
from .doctor import Finding, iter_findings
from .explain import PathReport, Unserved, explain_path
from .health import check_health, look_at_tables
from .status import is_operator, read_status
from .watch import watch_folders

if t.TYPE_CHECKING:
    from flask import Flask

__all__ = [
    "Finding",
    "PathReport",
    "Unserved",
    "check_health",
    "explain_path",
    "init_app",
    "is_operator",
    "iter_findings",
    "look_at_tables",
    "read_status",
    "watch_folders",
]


def init_app(app: Flask) -> None:
    """Answer ``/livez`` and ``/readyz`` before Flask does, explain a 404, and print the banner under ``flask run``."""
    explain.init_app(app)
    status.init_app(app)
    health.wrap(app)
    banner.show(app)
