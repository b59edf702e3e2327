"""The headers that tell a browser what a page may do."""

from __future__ import annotations

import secrets
import typing as t

from flask import g, request

from ..errors import TaskEndedError
from ..policy import ContentPolicy
from ..tasks import find_task

if t.TYPE_CHECKING:
    from flask import Flask, Response

    from .problems import WebState

CSP = "Content-Security-Policy"
NONCE = "_myapp_csp_nonce"
JSON = ("Content-Type", "application/json")
PAGES = ("text/html", "application/xhtml+xml")
DEFAULT = ContentPolicy()


def init_app(app: Flask) -> None:
    """Protect every answer, and give templates ``csp_nonce()``.

    What a view or an ``after_request`` function has set stays as it is.
    """
    process_response = app.process_response
    app.jinja_env.globals["csp_nonce"] = csp_nonce

    def process_and_protect(*args: t.Any) -> Response:
        response = process_response(*args)
        # What most answers are: no browser makes anything else of JSON. Werkzeug puts the type first, and a look at it
        # is cheaper than a search.
        for header in response.headers:
            if header == JSON:
                return response
            break
        return protect(app, response)

    app.process_response = process_and_protect  # type: ignore[method-assign,assignment]


def protect(app: Flask, response: Response) -> Response:
    """Give ``response`` the headers of its kind: pages a policy, everything but JSON ``nosniff``."""
    headers = response.headers
    kind = headers.get("Content-Type")
    if not kind or kind == JSON[1]:
        return response
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if kind.startswith(PAGES):
        headers.setdefault("Referrer-Policy", "same-origin")
        if CSP not in headers:
            state: WebState = app.extensions["myapp.web"]
            # The blueprints of a plugin begin with its name.
            policy = state.policies.get((request.endpoint or "").partition(".")[0], DEFAULT)
            headers[CSP] = policy.render(g.get(NONCE))
    return response


def csp_nonce() -> str:
    """Return the nonce of this answer, for ``<script nonce="…">``; it is made when somebody first asks for it.

    :raises TaskEndedError: in a streamed body whose headers have been sent without it.
    """
    nonce: str | None = g.get(NONCE)
    if nonce is None:
        task = find_task()
        if task is not None and task.kind == "stream":
            raise TaskEndedError(
                "csp_nonce() was called in a streamed body, after the headers. Call it in the view, before the"
                " response is made."
            )
        nonce = secrets.token_urlsafe(16)
        setattr(g, NONCE, nonce)
    return nonce
