"""Flask's cookie session, opened on first touch."""

from __future__ import annotations

import typing as t

from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

if t.TYPE_CHECKING:
    from flask import Flask, Request, Response
    from flask.sessions import SessionMixin


class LazySessionInterface(SecureCookieSessionInterface):
    """Flask's own session, which costs nothing for a request that carries no cookie and does not touch it.

    A request with the cookie takes Flask's path, so that a permanent session is refreshed
    (``SESSION_REFRESH_EACH_REQUEST``) even when nobody reads it.
    """

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the session; empty, and without deriving a key, when the request has no session cookie."""
        if app.secret_key and self.get_cookie_name(app) not in request.environ.get("HTTP_COOKIE", ""):
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Write the cookie if it has to be written; a session that was neither filled nor touched has none."""
        if session or session.accessed or session.modified:
            super().save_session(app, session, response)
