"""Health: ``/livez`` and ``/readyz`` in WSGI, outside of Flask.

A wrong Host header, a plugin's broken hook or a full connection pool of the app must not decide whether a process is
restarted.
"""

from __future__ import annotations

import json
import logging
import time
import typing as t
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from .. import data
from ..discovery import describe
from ..errors import MyappError, SchemaError

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Flask

logger = logging.getLogger("myapp.ops")


@dataclass(frozen=True)
class Check:
    """One thing that the app depends on."""

    name: str
    is_ok: bool
    detail: str
    milliseconds: float


def check_health(app: Flask) -> list[Check]:
    """Look at every dependency; each check says in a word what is wrong, and nothing that is secret."""
    started = time.perf_counter()
    try:
        behind = _find_behind(app)
    except (SQLAlchemyError, OSError, MyappError) as error:
        outage = data.find_outage(app, error)
        logger.error("The database is not ready: %s", error if outage is None else outage.remedy)
        is_ok, detail = False, "wrong tables" if isinstance(error, MyappError) else "unreachable"
    else:
        is_ok, detail = not behind, f"not those of this code: {', '.join(behind)}" if behind else "current"
    return [Check("database", is_ok, detail, (time.perf_counter() - started) * 1000)]


def _find_behind(app: Flask) -> list[str]:
    """Return whose tables are behind of those without whom nothing is served; a plugin says its own by itself.

    :raises SchemaError: when their tables cannot be upgraded.
    """
    # Development upgrades by itself at the first use; what is left to do then is not a reason to be unready.
    if data.upgrades_by_itself(app):
        data.ensure_schema(app)
    schema = data.get_schema(app)
    needed = [data.find_position(app, owner) for owner in schema.owners if not schema.is_optional(owner)]
    problem = next((position.problem for position in needed if position.problem), "")
    if problem:
        raise SchemaError(problem)
    behind = [position.owner for position in needed if not position.is_current]
    if not behind:
        data.look_at_schema(app)
    return behind


def look_at_tables(app: Flask) -> str:
    """Find out which plugins have tables that are not those of their code, for the report of plugins.

    :return: a sentence when that cannot be found out.
    """
    if data.get_schema(app).owners.keys() == {"core"}:
        return ""
    try:
        data.look_at_schema(app)
    except (SQLAlchemyError, OSError) as error:
        outage = data.find_outage(app, error)
        return f"The tables were not looked at: {describe(error) if outage is None else outage.remedy}"
    except SchemaError as error:
        return error.message
    return ""


def wrap(app: Flask) -> None:
    """Answer the two probes before anything else of the app runs."""
    inner = app.wsgi_app

    def wsgi_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/livez":
            return _answer(environ, start_response, True, {"status": "ok"})
        if path == "/readyz":
            return _answer(environ, start_response, *_readiness(app))
        return inner(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]


def _readiness(app: Flask) -> tuple[bool, dict[str, t.Any]]:
    checks = check_health(app)
    is_ready = all(check.is_ok for check in checks)
    return is_ready, {
        "status": "ok" if is_ready else "down",
        "checks": {check.name: "ok" if check.is_ok else check.detail for check in checks},
    }


def _answer(
    environ: WSGIEnvironment, start_response: StartResponse, is_ok: bool, body: dict[str, t.Any]
) -> Iterable[bytes]:
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        start_response("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Length", "0")])
        return [b""]
    content = json.dumps(body).encode()
    start_response(
        "200 OK" if is_ok else "503 Service Unavailable",
        [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(content))),
            ("Cache-Control", "no-store"),
            *([] if is_ok else [("Retry-After", "5")]),
        ],
    )
    return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [content]
