"""The applications that are compared: plain Flask ones, written as their documentation says, and myapp."""

from __future__ import annotations

import sqlite3
import typing as t
from dataclasses import dataclass

import sqlalchemy as sa
from flask import Flask, abort, g, jsonify
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException

from myapp import create_app, get_db
from myapp.core import data
from myapp.core.data.migrations import init_schema

if t.TYPE_CHECKING:
    from pathlib import Path

    from flask import Response

SECRET_KEY = "benchmark " * 8
ROWS = sa.table("benchmark_rows", sa.column("id", sa.Integer), sa.column("name", sa.String))
ONE_ROW = sa.select(ROWS.c.id, ROWS.c.name).where(ROWS.c.id == 1)


@dataclass
class Thing:
    """One of the hundred objects."""

    id: int
    name: str
    size: float

    def to_json(self) -> dict[str, t.Any]:
        """Return plain data."""
        return {"id": self.id, "name": self.name, "size": self.size, "tags": ["a", "b"], "is_new": False}


THINGS = [Thing(number, f"thing {number}", number / 7) for number in range(100)]


def make_flask() -> Flask:
    """Return a Flask app that answers errors in JSON, as Flask's documentation shows."""
    app = Flask("peer")
    app.config["SECRET_KEY"] = SECRET_KEY

    @app.get("/dict")
    def show_dict() -> dict[str, t.Any]:
        return {"id": 1, "name": "one", "is_new": True}

    @app.get("/objects")
    def show_objects() -> Response:
        return jsonify([thing.to_json() for thing in THINGS])

    @app.get("/error")
    def show_error() -> t.Any:
        abort(404)

    @app.errorhandler(HTTPException)
    def answer_error(error: HTTPException) -> t.Any:
        response = error.get_response()
        problem = {"type": "about:blank", "title": error.name, "status": error.code, "detail": error.description}
        response.data = app.json.dumps(problem)
        response.content_type = "application/problem+json"
        return response

    return app


def make_flask_with_session(folder: Path) -> Flask:
    """Return a Flask app with SQLAlchemy's ``Session`` by hand: opened at first use, closed in a teardown."""
    app = make_flask()
    path = folder / "peer.sqlite3"
    _make_table(path)
    engine = sa.create_engine(f"sqlite:///{path}")

    @app.get("/row")
    def show_row() -> dict[str, t.Any]:
        g.session = Session(engine)
        row = g.session.execute(ONE_ROW).one()
        return {"id": row.id, "name": row.name}

    @app.teardown_appcontext
    def close_session(error: BaseException | None) -> None:
        session = g.pop("session", None)
        if session is not None:
            session.close()

    return app


def make_myapp(folder: Path) -> Flask:
    """Return myapp as production runs it, with every part, and four views more."""
    app = create_app(
        {
            "MYAPP_INSTANCE_PATH": str(folder),
            "MYAPP_DATABASE_URL": f"sqlite:///{folder / 'myapp.sqlite3'}",
            "SECRET_KEY": SECRET_KEY,
        }
    )
    data.upgrade(app)
    _make_table(folder / "myapp.sqlite3")

    @app.get("/dict")
    def show_dict() -> dict[str, t.Any]:
        return {"id": 1, "name": "one", "is_new": True}

    @app.get("/objects")
    def show_objects() -> list[Thing]:
        return THINGS

    @app.get("/error")
    def show_error() -> t.Any:
        abort(404)

    @app.get("/row")
    def show_row() -> dict[str, t.Any]:
        row = get_db().execute(ONE_ROW).one()
        return {"id": row.id, "name": row.name}

    return app


def make_myapp_without_data(folder: Path) -> Flask:
    """Return myapp with a data layer that only lists owners: what a request costs that does not touch the database."""
    attach = data.init_app
    data.init_app = init_schema
    try:
        app = create_app({"MYAPP_INSTANCE_PATH": str(folder), "SECRET_KEY": SECRET_KEY}, plugins=())
    finally:
        data.init_app = attach

    @app.get("/dict")
    def show_dict() -> dict[str, t.Any]:
        return {"id": 1, "name": "one", "is_new": True}

    return app


def without_key(app: Flask) -> Flask:
    """Return ``app`` with its secret key taken away."""
    app.secret_key = None
    return app


def _make_table(path: Path) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE IF NOT EXISTS benchmark_rows (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("INSERT OR REPLACE INTO benchmark_rows VALUES (1, 'one')")
    connection.close()
