"""Requests of somebody: users and tokens that exist for a test."""

from __future__ import annotations

import typing as t

from ..core.access import create_user, find_user, issue_token

if t.TYPE_CHECKING:
    from flask.testing import FlaskClient

    from ..core.app import CustomFlask


def bearer(app: CustomFlask, address: str, *scopes: str) -> dict[str, str]:
    """Return the headers of a request with a new token: ``client.get("/", headers=bearer(app, "ann@example.com"))``.

    :param address: whose token; the user is made when there is none, with the password ``a password for tests``.
    :param scopes: what the token may be used for.
    """
    with app.task():
        user = find_user(address) or create_user(address, "a password for tests")
        text, _ = issue_token(user, scopes, label="tests")
    return {"Authorization": f"Bearer {text}"}


def client_of(app: CustomFlask, address: str, *scopes: str) -> FlaskClient:
    """Return a test client that sends a new token of ``address`` with every request."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = bearer(app, address, *scopes)["Authorization"]
    return client
