"""The commands of the core: ``flask init-db``, ``flask db …``."""

from __future__ import annotations

import typing as t

from .schema import db, init_db

if t.TYPE_CHECKING:
    from flask import Flask

__all__ = ["init_app"]


def init_app(app: Flask) -> None:
    """Add the commands of the core to ``app.cli``; those that work without an app are in ``offline``."""
    app.cli.add_command(init_db)
    app.cli.add_command(db)
