"""The commands of the core: ``flask init-db``, ``flask db …``, ``flask users …``, ``flask tokens …``, ``flask
jobs …``, ``flask mail …``.
"""

from __future__ import annotations

import typing as t
from importlib import import_module

if t.TYPE_CHECKING:
    from flask import Flask

__all__ = ["init_app"]


def init_app(app: Flask) -> None:
    """Add the commands of the core to ``app.cli``; those that work without an app are in ``offline``."""
    # Flask imports this package for `offline`, before there is an app; SQLAlchemy may be missing then.
    schema = import_module(".schema", __name__)
    app.cli.add_command(schema.init_db)
    app.cli.add_command(schema.db)
    people = import_module(".people", __name__)
    app.cli.add_command(people.users)
    app.cli.add_command(people.tokens)
    app.cli.add_command(import_module(".jobs", __name__).jobs)
    app.cli.add_command(import_module(".mail", __name__).mail)
    import_module(".missing", __name__).explain_missing(app)
