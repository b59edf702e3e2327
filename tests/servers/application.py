"""The app that the live tests serve: commits that fail in every place where they can."""

from __future__ import annotations

import os
import typing as t

import click
import sqlalchemy as sa
from flask import Response, session

from myapp import after_commit, create_app, get_db
from myapp.core.data import get_engine
from myapp.core.tasks import get_task
from tests.conftest import Item

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from werkzeug.exceptions import HTTPException

app = create_app({"MYAPP_PROFILE": "development", "MYAPP_BLUEPRINT_PACKAGES": ()}, plugins=())
if os.environ.get("APPLICATION_FORGETS_CONNECTIONS"):
    # Each task opens the file again: what a worker meets that starts while it cannot be opened.
    sa.event.listen(get_engine(app), "checkin", lambda connection, entry: entry.invalidate())
Item.metadata.create_all(get_engine(app))


def add(name: str, parent_id: int | None = None) -> None:
    get_db().add(Item(name=name, parent_id=parent_id))


def add_orphan() -> None:
    """Write a row that only COMMIT refuses."""
    add("orphan", parent_id=4711)


@app.get("/names")
def names() -> list[str]:
    return list(get_db().scalars(sa.select(Item.name).order_by(Item.id)))


@app.post("/add/<name>")
def good(name: str) -> t.Any:
    add(name)
    return {"added": name}, 201


@app.post("/fill/<int:number>")
def fill(number: int) -> t.Any:
    get_db().add(Item(name=f"filled {number}", secret="x" * 40_000))
    return {"added": number}, 201


@app.cli.command("add")
@click.argument("name")
def add_command(name: str) -> None:
    add(name)
    get_db().flush()


@app.post("/orphan")
def orphan() -> t.Any:
    session["user"] = 1
    after_commit(add, "written by a callback")
    add_orphan()
    return {"added": "orphan"}, 201


@app.post("/veto")
def veto() -> t.Any:
    add("vetoed")
    get_task().before_commit(lambda _response: 1 / 0)  # type: ignore[arg-type,return-value]
    return {"added": "vetoed"}, 201


@app.post("/orphan-and-stream")
def orphan_and_stream() -> Response:
    add_orphan()
    return Response(iter(["never", "sent"]))


@app.post("/late/<kind>")
def late(kind: str) -> Response:
    """Answer with a body whose own commit fails."""

    def body() -> Iterator[str]:
        yield "first "
        add_orphan()
        yield "last"

    return Response(body(), headers={"Content-Length": "10"} if kind == "length" else None)


@app.post("/error")
def error() -> t.NoReturn:
    raise RuntimeError("to be answered by the handler below")


@app.errorhandler(500)
def hide(error: HTTPException) -> t.Any:
    """Answer an error with a success whose commit fails."""
    if isinstance(getattr(error, "original_exception", None), RuntimeError):
        add_orphan()
        return "all is well", 200
    return error
