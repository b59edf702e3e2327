"""Errors as answers: problem+json (:rfc:`9457`), or a plain page for a browser."""

from __future__ import annotations

import html
import logging
import re
import typing as t
from dataclasses import dataclass, field

from flask import current_app, render_template, request
from jinja2 import TemplateError
from sqlalchemy import exc
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.http import HTTP_STATUS_CODES

from ..data import find_outage
from ..errors import ApiException, PluginUnavailableError, SchemaError, ValidationError
from ..tasks import find_task
from .headers import protect
from .results import add_headers

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask, Response
    from werkzeug.wrappers import Response as BaseResponse

    from ..policy import ContentPolicy

logger = logging.getLogger("myapp.web")

MEDIA_TYPE = "application/problem+json"
#: What SQLite and PostgreSQL say of a table or a column that is not there.
NO_SUCH = re.compile(r"no such (table|column)|Undefined(Table|Column)")


@dataclass
class WebState:
    """What the answers of one app share: what upper parts attach."""

    #: The members that a 404 of debug mode has on top, for a path that no rule matches.
    explain_miss: Callable[[str], dict[str, t.Any]] | None = None
    #: The policies of those who add to the default, by the first word of their endpoints.
    policies: dict[str, ContentPolicy] = field(default_factory=dict)


def init_app(app: Flask) -> None:
    """Answer every error as a problem, and the database's own errors with the status that they deserve.

    A handler that the team registers for a class or a status wins over these.
    """
    app.register_error_handler(HTTPException, answer)
    app.register_error_handler(exc.IntegrityError, _conflict)
    app.register_error_handler(exc.OperationalError, _outage)
    app.register_error_handler(exc.TimeoutError, _outage)
    app.register_error_handler(exc.ProgrammingError, _outage)
    app.register_error_handler(SchemaError, _old_schema)
    app.extensions["myapp.answer"] = answer
    app.extensions["myapp.web"] = WebState()
    app.extensions["myapp.tasks"].last_resort = lambda: protect(app, _respond(InternalServerError()))


def answer(error: HTTPException) -> Response | BaseResponse:
    """Return the answer to ``error``: its own response if it carries one, else a problem or a page.

    The headers of the exception stay (``Allow``, ``WWW-Authenticate``, ``Retry-After``); a 5xx tells the request id
    and nothing of the exception.
    """
    if error.response is not None:
        return t.cast("BaseResponse", error.response)
    kind = type(error)
    if kind.get_response is not HTTPException.get_response or kind.get_body is not HTTPException.get_body:
        # An exception that makes its own answer, as Werkzeug documents it.
        return error.get_response(request.environ)
    return _respond(error)


def problem_of(error: HTTPException) -> dict[str, t.Any]:
    """Return the members of the problem: ``type, title, status, detail, instance, request_id`` and its own."""
    task = find_task()
    problem = members_of(error, instance=request.path, request_id=None if task is None else task.id)
    # Never outside of debug mode: it names files, and what is off. A 404 that a view raises is the view's business.
    if current_app.debug and problem["status"] == 404 and request.routing_exception is error:
        explain_miss = current_app.extensions["myapp.web"].explain_miss
        problem |= {} if explain_miss is None else explain_miss(request.path)
    return problem


def members_of(error: HTTPException, **place: t.Any) -> dict[str, t.Any]:
    """Return the members of the problem that ``error`` is wherever it was raised, in a job as well.

    :param place: further members, which come before its own.
    """
    # The exception of `abort(response)` has no code of its own.
    status = error.code or (500 if error.response is None else error.response.status_code)
    name = error.name if error.code else HTTP_STATUS_CODES.get(status, error.name)
    problem = {
        "type": getattr(error, "type", None) or "about:blank",
        # RFC 9110's name; Werkzeug and older Pythons have the one of before.
        "title": "Unprocessable Content" if status == 422 else name,
        "status": status,
        "detail": error.description or "",
        **place,
    }
    if isinstance(error, ValidationError) and error.errors:
        problem["errors"] = error.errors
    if isinstance(error, ApiException):
        problem |= {key: value for key, value in error.extra.items() if key not in problem}
    return problem


def prefers_html() -> bool:
    """Whether ``Accept`` names text/html with a higher quality than any JSON type; ``*/*`` alone does not."""
    qualities = {"html": 0.0, "json": 0.0}
    for media_type, quality in request.accept_mimetypes:
        if media_type in ("text/html", "application/xhtml+xml"):
            qualities["html"] = max(qualities["html"], quality)
        elif media_type == "application/json" or media_type.endswith("+json"):
            qualities["json"] = max(qualities["json"], quality)
    return qualities["html"] > qualities["json"]


def _respond(error: HTTPException) -> Response:
    problem = problem_of(error)
    if prefers_html():
        response = current_app.response_class(_page(problem), mimetype="text/html")
    else:
        response = current_app.response_class(_encode(problem), content_type=MEDIA_TYPE)
    response.status_code = problem["status"]
    for name, value in error.get_headers(request.environ):
        if name.lower() != "content-type":
            response.headers.add(name, value)
    add_headers(response, getattr(error, "headers", None) or ())
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _encode(problem: dict[str, t.Any]) -> bytes:
    """Encode a problem whose members may be anything: the answer to an error must not be another one."""
    try:
        return current_app.json.dumps(problem).encode()
    except (TypeError, ValueError):
        logger.exception("A problem could not be encoded; only its standard members were sent.")
        members = {key: problem[key] for key in ("type", "title", "status", "detail", "instance", "request_id")}
        text = {key: str(value).encode(errors="replace").decode() for key, value in members.items()}
        return current_app.json.dumps({**text, "status": problem["status"]}).encode()


def _page(problem: dict[str, t.Any]) -> str:
    try:
        return render_template("error.html", problem=problem)
    except Exception as error:
        # The page of an error must not depend on what broke: a template of a plugin, its context processor. What a
        # critical plugin has raised was logged when it began to fail.
        if not isinstance(error, PluginUnavailableError):
            logger.log(
                logging.WARNING if isinstance(error, TemplateError) else logging.ERROR,
                "The error page could not be rendered; a bare one was sent.",
                exc_info=True,
            )
        title = html.escape(f"{problem['status']} {problem['title']}")
        return f"<!doctype html><html lang=en><title>{title}</title><h1>{title}</h1><p>{html.escape(problem['detail'])}"


def _conflict(error: exc.IntegrityError) -> Response | BaseResponse:
    # The constraint is for the log alone: its text names columns, and on some databases values.
    logger.warning("A constraint refused what %s %s wrote: %s", request.method, request.path, error.orig)
    return answer(ApiException("This contradicts what is stored: it exists already, or something refers to it.", 409))


def _outage(error: exc.SQLAlchemyError) -> Response | BaseResponse:
    outage = find_outage(current_app._get_current_object(), error)  # type: ignore[attr-defined]
    if outage is None:
        # A mistake in the code: Flask's own path to a 500.
        if NO_SUCH.search(str(error)):
            logger.error(
                "A table or a column does not exist. If a model has it and no migration creates it, run:"
                " flask db revision --of core -m … (or --of PLUGIN), read the file, and then: flask db upgrade"
            )
        raise error
    logger.error("%s", outage.remedy, exc_info=error)
    return answer(ApiException(outage.detail, 503, headers={"Retry-After": str(outage.retry_after)}))


def _old_schema(error: SchemaError) -> Response | BaseResponse:
    logger.error("%s", error)
    return answer(
        ApiException("The application is being upgraded. Try again later.", 503, headers={"Retry-After": "30"})
    )
