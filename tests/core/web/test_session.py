"""The session that is opened on first touch behaves as Flask's own does."""

from __future__ import annotations

import typing as t

import pytest
from flask import Flask, flash, get_flashed_messages, session

if t.TYPE_CHECKING:
    from myapp import CustomFlask


def add_views(app: Flask) -> None:
    app.add_url_rule("/untouched", "untouched", lambda: "x")
    app.add_url_rule("/read", "read", lambda: str(session.get("a")))
    app.add_url_rule("/write", "write", lambda: str(session.setdefault("a", 1)))
    app.add_url_rule("/permanent", "permanent", make_permanent)
    app.add_url_rule("/clear", "clear", lambda: str(session.clear()))
    app.add_url_rule("/flash", "flash", lambda: str(flash("hello")))
    app.add_url_rule("/flashed", "flashed", lambda: str(get_flashed_messages()))


def make_permanent() -> str:
    session.permanent = True
    session["a"] = 2
    return "x"


WALKS = [
    ["untouched"],
    ["read"],
    ["read", "write", "read", "untouched", "clear", "read"],
    ["permanent", "untouched", "read", "untouched"],
    ["flash", "untouched", "flashed", "flashed"],
    ["clear"],
]


@pytest.mark.parametrize("walk", WALKS, ids=" ".join)
def test_same_answers_as_flask(make_db_app: t.Any, walk: list[str]) -> None:
    """Bodies, and whether a cookie and Vary are sent, request by request."""
    app: CustomFlask = make_db_app()
    plain = Flask(__name__)
    plain.secret_key = app.secret_key
    seen = []
    for candidate in (app, plain):
        add_views(candidate)
        client = candidate.test_client()
        answers = [client.get(f"/{step}") for step in walk]
        seen.append([(a.status_code, a.text, "Set-Cookie" in a.headers, a.headers.get("Vary")) for a in answers])
    assert seen[0] == seen[1]


@pytest.mark.parametrize("cookie", ["session=garbage", "session=", "xsession=1", "a=b; session=x.y.z"])
def test_broken_cookie_is_an_empty_session(db_app: CustomFlask, cookie: str) -> None:
    """A cookie that does not verify counts as none."""
    add_views(db_app)
    client = db_app.test_client(use_cookies=False)
    assert client.get("/read", headers={"Cookie": cookie}).text == "None"


def test_without_a_secret_key_flask_says_what_is_missing(db_app: CustomFlask) -> None:
    """Writing needs a key; reading an unkeyed session is empty."""
    db_app.secret_key = None
    add_views(db_app)
    client = db_app.test_client()
    assert client.get("/read").text == "None"
    assert client.get("/write").status_code == 500
