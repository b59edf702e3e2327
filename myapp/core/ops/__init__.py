"""Operations: probes outside of Flask, and what ``flask run`` says at its start."""

from __future__ import annotations

import typing as t

from . import banner, health

if t.TYPE_CHECKING:
    from flask import Flask

__all__ = ["check_health", "init_app"]

check_health = health.check_health


def init_app(app: Flask) -> None:
    """Answer ``/livez`` and ``/readyz`` before Flask does, and print the banner under ``flask run``."""
    health.wrap(app)
    banner.show(app)
