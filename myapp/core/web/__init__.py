"""Results, strict JSON, problems and the session: what leaves the process as an answer."""

from __future__ import annotations

import typing as t

from . import headers, hooks, problems, routing, session
from .inputs import Request, read_json, validate
from .json import StrictJSONProvider, ToJSONProvider
from .pages import forbid_storing, page, read_limit
from .problems import members_of
from .results import ApiResult, unfold
from .routing import LazyRule

if t.TYPE_CHECKING:
    from flask import Flask

__all__ = [
    "ApiResult",
    "LazyRule",
    "StrictJSONProvider",
    "ToJSONProvider",
    "forbid_storing",
    "init_app",
    "members_of",
    "page",
    "read_json",
    "read_limit",
    "unfold",
    "validate",
]


def init_app(app: Flask) -> None:
    """Attach the strict JSON provider, problem answers and the session that is opened on first touch.

    Reads ``DEBUG``, ``SECRET_KEY`` and Flask's ``SESSION_*`` keys.
    """
    app.json = StrictJSONProvider(app)
    app.request_class = Request
    app.session_interface = session.LazySessionInterface()
    hooks.init_app(app)
    routing.init_app(app)
    problems.init_app(app)
    headers.init_app(app)
