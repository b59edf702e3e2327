"""Who asks: Bearer tokens, the task they are bound to, and everything that is no token."""

from __future__ import annotations

import sqlite3
import typing as t
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from flask import Response, stream_with_context

from myapp import ApiException, User, after_commit, after_rollback, get_db, get_user
from myapp.core.access import Token, find_user, issue_token, require
from myapp.core.config import get_config
from myapp.core.data import get_engine
from myapp.core.errors import NoTaskError
from myapp.testing import bearer

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from myapp import CustomFlask

ANN = "ann@example.com"
INVALID = 'Bearer realm="myapp", error="invalid_token"'


@pytest.fixture
def app(db_app: CustomFlask) -> CustomFlask:
    """Return an app that says at `/` who asks."""
    db_app.add_url_rule("/", "who", who, methods=["GET", "POST"])
    return db_app


@pytest.fixture
def client(app: CustomFlask) -> FlaskClient:
    return app.test_client()


def who() -> t.Any:
    user = get_user()
    return {"user": None if user is None else user.address}


def statements(app: CustomFlask) -> list[str]:
    """Collect what is sent to the database from now on."""
    sent: list[str] = []
    sa.event.listen(get_engine(app), "before_cursor_execute", lambda c, cursor, text, *more: sent.append(text))
    return sent


def test_user_of_the_token(app: CustomFlask, client: FlaskClient) -> None:
    """Of several, the one whose token was sent; the name of the scheme has no case."""
    headers = bearer(app, ANN)
    bearer(app, "bob@example.com")
    for method in ("GET", "POST"):
        assert client.open("/", method=method, headers=headers).json == {"user": ANN}
    assert client.get("/", headers={"Authorization": headers["Authorization"].replace("Bearer", "BEARER")}).json == {
        "user": ANN
    }


def test_without_the_header_nothing_is_asked(app: CustomFlask, client: FlaskClient) -> None:
    """None, and not one statement."""
    sent = statements(app)
    assert client.get("/").json == {"user": None}
    assert sent == []


def test_looked_up_once_for_each_task(app: CustomFlask, client: FlaskClient) -> None:
    """One query, however often it is asked."""

    @app.get("/thrice")
    def thrice() -> t.Any:
        assert get_user() is get_user() is require()
        return "ok"

    headers = bearer(app, ANN)
    sent = statements(app)
    assert client.get("/thrice", headers=headers).text == "ok"
    assert len([text for text in sent if "users_tokens" in text]) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("fault", ["unknown", "revoked", "expired", "disabled"])
def test_bad_token_is_a_401(app: CustomFlask, client: FlaskClient, fault: str, method: str) -> None:
    """With `error="invalid_token"` and one text for all: it does not tell which tokens there were."""
    headers = bearer(app, ANN)
    with app.task():
        token = get_db().scalars(sa.select(Token)).one()
        if fault == "unknown":
            get_db().delete(token)
        elif fault == "revoked":
            token.revoke()
        elif fault == "expired":
            token.expires = datetime.now(UTC)
        else:
            token.user.active = False
    answer = client.open("/", method=method, headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, INVALID)
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "unknown, revoked or expired" in answer.json["detail"]


def test_token_that_expires_later_is_good(app: CustomFlask, client: FlaskClient) -> None:
    """Until then it is as good as any."""
    bearer(app, ANN)
    with app.task():
        user = find_user(ANN)
        assert user is not None
        text, _ = issue_token(user, expires=datetime.now(UTC) + timedelta(days=1))
    assert client.get("/", headers={"Authorization": f"Bearer {text}"}).json == {"user": ANN}


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer x y",
        "Bearer x, Bearer y",
        "Bearer \x00",
        "Bearer " + "x" * 10_000,
        "Bearer " + " " * 10_000,
        "Bearer schl\xfcssel",
        "Bearer \xff\xfe",
        "Bearer ===",
        "bearer '; DROP TABLE users --",
    ],
)
def test_malformed_token_is_a_401(client: FlaskClient, header: str) -> None:
    """As an unknown one is; never a 500."""
    answer = client.get("/", environ_overrides={"HTTP_AUTHORIZATION": header})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, INVALID)


@pytest.mark.parametrize(
    "header", ["", " ", "Basic YW5uOnBhc3N3b3Jk", "Digest x", "Bearerx", "\x00", "\xfc", "x" * 10_000, "Bearer\tx"]
)
def test_other_schemes_are_no_token(app: CustomFlask, client: FlaskClient, header: str) -> None:
    """None, and where one is required a 401 without an error code (RFC 6750, 3.1)."""
    app.add_url_rule("/mine", "mine", lambda: require().address)
    assert client.get("/", environ_overrides={"HTTP_AUTHORIZATION": header}).json == {"user": None}
    answer = client.get("/mine", environ_overrides={"HTTP_AUTHORIZATION": header})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="myapp"')


def test_token_is_read_from_the_header_only(app: CustomFlask, client: FlaskClient) -> None:
    """Not from the query, a form or a cookie, which end in logs and come along by themselves."""
    text = bearer(app, ANN)["Authorization"].removeprefix("Bearer ")
    for name in ("access_token", "token"):
        client.set_cookie(name, text)
        assert client.post("/", query_string={name: text}, data={name: text}).json == {"user": None}


@pytest.mark.backend("sqlite")
def test_who_asks_never_waits_for_the_write_lock(app: CustomFlask, client: FlaskClient) -> None:
    """Otherwise whoever sends rubbish could stop those who write."""
    headers = bearer(app, ANN)
    other = sqlite3.connect(get_config(app).database_url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        assert client.post("/", headers={"Authorization": "Bearer rubbish"}).status_code == 401
        assert client.post("/", headers=headers).json == {"user": ANN}
    finally:
        other.close()


@pytest.mark.parametrize("reads_before", [True, False])
def test_what_is_assigned_to_the_user_is_written(app: CustomFlask, client: FlaskClient, *, reads_before: bool) -> None:
    """It is an object of the task's session, with or without a query before it."""

    @app.post("/rename")
    def rename() -> t.Any:
        if reads_before:
            get_db().scalars(sa.select(User)).all()
        user = get_user()
        assert user is not None
        user.address = "anna@example.com"
        return "ok"

    headers = bearer(app, ANN)
    assert client.post("/rename", headers=headers).text == "ok"
    assert client.get("/", headers=headers).json == {"user": "anna@example.com"}


@pytest.mark.parametrize("asks_before", [True, False])
def test_callbacks_blocks_and_streams_have_the_user(app: CustomFlask, *, asks_before: bool) -> None:
    """Of their request, whether its view has asked or not; in a callback the user is the callback's to change."""
    seen: list[t.Any] = []

    def callback() -> None:
        user = get_user()
        assert user is not None
        assert user in get_db()
        seen.append(("callback", user.address))

    @app.post("/work")
    def work() -> t.Any:
        if asks_before:
            seen.append(("view", get_user().address))  # type: ignore[union-attr]
        with app.task(read_only=True):
            seen.append(("block", get_user().address))  # type: ignore[union-attr]
        with app.app_context():
            seen.append(("bare", get_user().address))  # type: ignore[union-attr]
        after_commit(callback)

        def body() -> Iterator[str]:
            yield str(who()["user"])

        return Response(body())

    assert app.test_client().post("/work", headers=bearer(app, ANN)).text == ANN
    expected = ["block", "bare", "callback"]
    assert seen == [(name, ANN) for name in (["view", *expected] if asks_before else expected)]


def test_stream_with_the_request_has_the_user(app: CustomFlask, client: FlaskClient) -> None:
    """`stream_with_context` pushes the context of the request again."""

    @app.get("/stream")
    def stream() -> t.Any:
        return Response(stream_with_context(str(who()["user"]) for _ in range(2)))

    assert client.get("/stream", headers=bearer(app, ANN)).text == ANN * 2


def test_callback_after_a_rollback_has_the_user(app: CustomFlask, client: FlaskClient) -> None:
    """Whoever was refused can be written down."""
    seen: list[t.Any] = []

    @app.post("/refuse")
    def refuse() -> t.Any:
        require()
        after_rollback(lambda: seen.append(who()))
        raise ApiException("No.", 409)

    assert client.post("/refuse", headers=bearer(app, ANN)).status_code == 409
    assert seen == [{"user": ANN}]


def test_who_asked_stays_who_asked(app: CustomFlask, client: FlaskClient) -> None:
    """A request that revokes its own token has callbacks with its user; the next request is refused."""
    seen: list[t.Any] = []

    @app.post("/leave")
    def leave() -> t.Any:
        require().active = False
        after_commit(lambda: seen.append(who()))
        return "bye"

    headers = bearer(app, ANN)
    assert client.post("/leave", headers=headers).text == "bye"
    assert seen == [{"user": ANN}]
    assert client.get("/", headers=headers).status_code == 401


def test_callback_of_a_bad_token_has_nobody(app: CustomFlask, client: FlaskClient, caplog: t.Any) -> None:
    """There is no answer left that could be a 401."""
    seen: list[t.Any] = []

    @app.post("/open")
    def view() -> t.Any:
        after_commit(lambda: seen.append(who()))
        return "ok"

    assert client.post("/open", headers={"Authorization": "Bearer rubbish"}).text == "ok"
    assert seen == [{"user": None}]
    assert caplog.text == ""


def test_error_handler_may_ask(app: CustomFlask, client: FlaskClient) -> None:
    """It gets None for a token that was refused, instead of a 401 in place of its answer; the user for any other."""
    app.register_error_handler(401, lambda error: (who(), 401))
    app.register_error_handler(409, lambda error: (who(), 409))

    @app.post("/conflict")
    def conflict() -> t.Any:
        require()
        raise ApiException("No.", 409)

    refused = client.post("/conflict", headers={"Authorization": "Bearer rubbish"})
    assert (refused.status_code, refused.json) == (401, {"user": None})
    conflicting = client.post("/conflict", headers=bearer(app, ANN))
    assert (conflicting.status_code, conflicting.json) == (409, {"user": ANN})


def test_request_inside_of_a_request_stands_alone(app: CustomFlask, make_db_app: t.Any) -> None:
    """It has its own header, or nobody; and another app has its own users."""
    other = make_db_app()

    @app.get("/nested")
    def nested() -> t.Any:
        inner = app.test_client().get("/").json
        with other.app_context():
            foreign = get_user()
        return {"inner": inner, "foreign": foreign, **who()}

    answer = app.test_client().get("/nested", headers=bearer(app, ANN))
    assert answer.json == {"inner": {"user": None}, "foreign": None, "user": ANN}


def test_outside_of_requests_there_is_nobody(app: CustomFlask) -> None:
    """Blocks, commands and bare contexts; a request that a test pushes by hand has its user."""
    headers = bearer(app, ANN)
    app.cli.command("who")(lambda: print(who()))
    with app.task():
        assert get_user() is None
    with app.app_context():
        assert get_user() is None
    assert app.test_cli_runner().invoke(args=["who"]).output == "{'user': None}\n"
    with app.test_request_context(headers=headers):
        assert who() == {"user": ANN}
    with pytest.raises(NoTaskError):
        get_user()


def test_without_a_database_it_is_a_503(make_app: t.Any, tmp_path: t.Any) -> None:
    """Nobody is told that their token is bad because it could not be looked up."""
    (tmp_path / "folder.sqlite3").mkdir()
    config = {"PROPAGATE_EXCEPTIONS": False, "MYAPP_DATABASE_URL": f"sqlite:///{tmp_path / 'folder.sqlite3'}"}
    app = make_app(config=config)
    app.add_url_rule("/who", "who", who)
    assert app.test_client().get("/who", headers={"Authorization": "Bearer x"}).status_code == 503
    assert app.test_client().get("/who").status_code == 200


def test_pending_changes_survive_a_question(app: CustomFlask, client: FlaskClient) -> None:
    """What was assigned and is not written yet is neither overwritten nor overlooked."""

    @app.post("/change")
    def change() -> t.Any:
        user = require()
        user.address = "anna@example.com"
        assert find_user(ANN) is None
        assert find_user("ANNA@example.com") is user
        return "ok"

    assert client.post("/change", headers=bearer(app, ANN)).text == "ok"
    with app.task():
        assert find_user("anna@example.com") is not None
