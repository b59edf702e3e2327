"""`/api/v1/users`: who sees and changes whom, what is refused and how."""

from __future__ import annotations

import json
import sqlite3
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from argon2 import PasswordHasher

from myapp.core.access import Passwords, authenticate
from myapp.core.config import get_config
from myapp.testing import bearer

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

    from myapp import CustomFlask
    from tests.databases import Tables

ANN, BOB, PASSWORD = "ann@example.com", "bob@example.com", "correct horse"
USERS = "/api/v1/users"
Headers: t.TypeAlias = "dict[str, str]"


@pytest.fixture
def app(make_app: Callable[..., CustomFlask], tables: Tables) -> CustomFlask:
    app = make_app(config={"PROPAGATE_EXCEPTIONS": False})
    tables.make(app)
    return app


@pytest.fixture
def client(app: CustomFlask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def ann(app: CustomFlask) -> Headers:
    """Return the headers of user 1, who has no scope."""
    return bearer(app, ANN)


@pytest.fixture
def admin(app: CustomFlask, ann: Headers) -> Headers:
    """Return the headers of user 2, who has `users:write`."""
    return bearer(app, BOB, "users:write")


def test_show(client: FlaskClient, ann: Headers, admin: Headers) -> None:
    """Four members, never a hash; out of every cache."""
    answer = client.get(f"{USERS}/1", headers=ann)
    assert answer.status_code == 200
    assert sorted(answer.json) == ["active", "address", "created", "id"]
    assert (answer.json["id"], answer.json["address"], answer.json["active"]) == (1, ANN, True)
    assert answer.json["created"].endswith("Z")
    assert answer.headers["Cache-Control"] == "no-store"
    assert client.get(f"{USERS}/1", headers=admin).json == answer.json


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_somebody_else_is_a_403(client: FlaskClient, ann: Headers, admin: Headers, method: str) -> None:
    """Whether they exist or not, and whatever the body is; 404 for whoever may know."""
    for number in (2, 3):
        answer = client.open(f"{USERS}/{number}", method=method, headers=ann, json={"password": "short"})
        assert answer.status_code == 403
        assert 'error="insufficient_scope", scope="users:write"' in answer.headers["WWW-Authenticate"]
    assert client.open(f"{USERS}/3", method=method, headers=admin, json={}).status_code == 404


@pytest.mark.parametrize("number", ["0", "-1", "x", str(2**31), str(2**63), "9" * 30])
def test_ids_that_no_user_has(client: FlaskClient, admin: Headers, number: str) -> None:
    """404, also for what no database can hold."""
    assert client.get(f"{USERS}/{number}", headers=admin).status_code == 404


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", ""), ("GET", "/1"), ("PATCH", "/1")])
def test_every_route_asks_for_a_token(client: FlaskClient, ann: Headers, method: str, path: str) -> None:
    """401 without one, with a bad one, and with one in the query."""
    token = ann["Authorization"].split()[1]
    missing, bad = 'Bearer realm="myapp"', 'Bearer realm="myapp", error="invalid_token"'
    attempts: list[tuple[dict[str, t.Any], str]] = [
        ({}, missing),
        ({"query_string": {"access_token": token}}, missing),
        ({"headers": {"Authorization": "Bearer x"}}, bad),
    ]
    for more, challenge in attempts:
        answer = client.open(f"{USERS}{path}", method=method, json={}, **more)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, challenge)


def test_create(client: FlaskClient, app: CustomFlask, admin: Headers) -> None:
    """201 with the place of the new user, who can then be authenticated; 403 without the scope."""
    answer = client.post(USERS, headers=admin, json={"address": "Cid@EXAMPLE.com", "password": PASSWORD})
    assert (answer.status_code, answer.headers["Location"]) == (201, f"{USERS}/3")
    assert (answer.json["address"], answer.json["active"]) == ("Cid@example.com", True)
    assert client.get(answer.headers["Location"], headers=admin).json == answer.json
    with app.task():
        assert authenticate("cid@example.com", PASSWORD) is not None
    again = client.post(USERS, headers=admin, json={"address": "CID@example.com", "password": PASSWORD})
    assert again.status_code == 409
    assert "cid" not in again.text.lower()


def test_create_needs_the_scope(client: FlaskClient, ann: Headers) -> None:
    """403 before the body is looked at."""
    answer = client.post(USERS, headers=ann, data="{")
    assert answer.status_code == 403
    assert 'scope="users:write"' in answer.headers["WWW-Authenticate"]


def test_update_oneself(client: FlaskClient, app: CustomFlask, ann: Headers) -> None:
    """Address and password, each alone; nothing changes nothing."""
    before = client.get(f"{USERS}/1", headers=ann).json
    assert client.patch(f"{USERS}/1", headers=ann, json={}).json == before
    changed = client.patch(f"{USERS}/1", headers=ann, json={"address": "Anna@Example.com"})
    assert (changed.status_code, changed.json) == (200, {**before, "address": "Anna@example.com"})
    assert client.patch(f"{USERS}/1", headers=ann, json={"password": PASSWORD}).json == changed.json
    assert client.get(f"{USERS}/1", headers=ann).json == changed.json
    with app.task():
        assert authenticate("anna@example.com", PASSWORD) is not None
        assert authenticate(ANN, "a password for tests") is None


def test_own_address_in_another_case(client: FlaskClient, ann: Headers) -> None:
    """It is no conflict with oneself."""
    assert client.patch(f"{USERS}/1", headers=ann, json={"address": "ANN@example.com"}).json["address"] == (
        "ANN@example.com"
    )


def test_taken_address_is_a_409_and_changes_nothing(client: FlaskClient, app: CustomFlask, ann: Headers) -> None:
    """The password that came along stays the old one."""
    bearer(app, BOB)
    answer = client.patch(f"{USERS}/1", headers=ann, json={"address": "BOB@example.com", "password": PASSWORD})
    assert answer.status_code == 409
    with app.task():
        assert authenticate(ANN, PASSWORD) is None
        assert authenticate(ANN, "a password for tests") is not None


def test_active_is_for_users_write(client: FlaskClient, ann: Headers, admin: Headers) -> None:
    """Nobody enables or disables oneself; a disabled user's token is refused at once, and good again afterwards."""
    refused = client.patch(f"{USERS}/1", headers=ann, json={"active": False, "password": PASSWORD})
    assert refused.status_code == 403
    assert client.patch(f"{USERS}/1", headers=admin, json={"active": False}).json["active"] is False
    assert client.get(f"{USERS}/1", headers=ann).status_code == 401
    assert client.patch(f"{USERS}/1", headers=admin, json={"active": True}).json["active"] is True
    assert client.get(f"{USERS}/1", headers=ann).status_code == 200


FAULTS: list[tuple[str, t.Any, list[str]]] = [
    ("POST", {}, ["/address", "/password"]),
    ("POST", {"address": "x", "password": "y"}, ["/address", "/password"]),
    ("POST", {"address": 1, "password": None, "more": 1, "a/b~c": 2}, ["/address", "/a~1b~0c", "/more", "/password"]),
    ("POST", {"address": BOB, "password": PASSWORD, "active": True}, ["/active"]),
    ("POST", [], [""]),
    ("POST", None, [""]),
    ("POST", "text", [""]),
    ("PATCH", {"address": None, "password": None, "active": None}, ["/active", "/address", "/password"]),
    ("PATCH", {"active": 1}, ["/active"]),
    ("PATCH", {"active": "true", "id": 7, "password_hash": "x"}, ["/active", "/id", "/password_hash"]),
    ("PATCH", [{"active": True}], [""]),
]


@pytest.mark.parametrize(("method", "body", "pointers"), FAULTS)
def test_every_fault_of_a_body_is_listed(
    client: FlaskClient, admin: Headers, method: str, body: t.Any, pointers: list[str]
) -> None:
    """One 422 that points at each, with a code and a sentence."""
    path = USERS if method == "POST" else f"{USERS}/2"
    answer = client.open(path, method=method, headers=admin, data=json.dumps(body), content_type="application/json")
    assert answer.status_code == 422
    assert sorted(error["pointer"] for error in answer.json["errors"]) == pointers
    assert all(error["code"] and error["detail"] for error in answer.json["errors"])


def test_input_is_never_repeated(client: FlaskClient, admin: Headers) -> None:
    """An address and a password that are wrong come back in no part of the answer."""
    body = {"address": "canary-of-an-address", "password": "canary7", "more": "canary of an unknown key"}
    for method, path in (("POST", USERS), ("PATCH", f"{USERS}/2")):
        answer = client.open(path, method=method, headers=admin, json=body)
        assert answer.status_code == 422
        assert "canary" not in answer.text


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b"address=a", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
        (b"{}", None, 415),
        (b"{}", "application/merge-patch+json", 200),
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"address": "\xff"}', "application/json", 400),
        (b'{"active": NaN}', "application/json", 400),
        (b'{"active": 1e400}', "application/json", 400),
        (b"[" * 5_000, "application/json", 400),
        (b"[1234567890123456789" + b"[" * 30_000, "application/json", 400),
        (b'{"\\ud800": 1234567890123456789}', "application/json", 400),
        (b'{"address": "\\ud800", "a": 1234567890123456789}', "application/json", 400),
        (b'"' + b"x" * 40_000 + b'"', "application/json", 413),
    ],
)
def test_bodies_that_are_no_json(
    client: FlaskClient, admin: Headers, data: bytes, content_type: str | None, status: int
) -> None:
    """415, 400, 413 or 422, never a 500."""
    answer = client.patch(f"{USERS}/2", headers=admin, data=data, content_type=content_type)
    assert answer.status_code == status
    assert status == 200 or answer.mimetype == "application/problem+json"
    assert answer.headers.get("Accept-Patch") == ("application/json" if status == 415 else None)


def test_list_is_oneself_or_everybody(client: FlaskClient, ann: Headers, admin: Headers) -> None:
    """In the order of their ids."""
    assert [user["address"] for user in client.get(USERS, headers=ann).json["items"]] == [ANN]
    page = client.get(USERS, headers=admin)
    assert [user["address"] for user in page.json["items"]] == [ANN, BOB]
    assert page.json["next"] is None
    assert "Link" not in page.headers
    assert "hash" not in page.text


def test_pages(client: FlaskClient, app: CustomFlask, admin: Headers) -> None:
    """Each user once, by following `next`, which the Link header names too; a last page that is full has none."""
    for number in range(4):
        bearer(app, f"user{number}@example.com")
    seen: list[int] = []
    path: str | None = f"{USERS}?limit=2"
    while path:
        page = client.get(path, headers=admin)
        seen += [user["id"] for user in page.json["items"]]
        path = page.json["next"]
        assert page.headers.get("Link") == (f'<{path}>; rel="next"' if path else None)
    assert seen == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("limit", ["0", "-1", "201", "x", "", "1.0", "9" * 5_000, "\N{ARABIC-INDIC DIGIT ONE}"])
def test_limits_that_are_refused(client: FlaskClient, ann: Headers, limit: str) -> None:
    """422 that names the parameter."""
    answer = client.get(USERS, query_string={"limit": limit}, headers=ann)
    assert (answer.status_code, answer.json["errors"][0]["parameter"]) == (422, "limit")


def test_cursor_of_the_largest_id_is_followed(client: FlaskClient, ann: Headers) -> None:
    """Every id that a user can have is the end of some page."""
    assert client.get(USERS, query_string={"cursor": 2**31 - 1}, headers=ann).json["items"] == []


@pytest.mark.parametrize("cursor", ["x", "-1", "", "9" * 30, str(2**31), "1 OR 1=1"])
def test_cursors_that_are_refused(client: FlaskClient, ann: Headers, cursor: str) -> None:
    """400: they come from no page."""
    assert client.get(USERS, query_string={"cursor": cursor}, headers=ann).status_code == 400


def test_two_threads_make_the_same_user_once(app: CustomFlask, admin: Headers) -> None:
    """One 201, one 409, one row, however close they are."""
    together = threading.Barrier(2)

    def create(address: str) -> int:
        client = app.test_client()
        together.wait()
        return client.post(USERS, headers=admin, json={"address": address, "password": PASSWORD}).status_code

    with ThreadPoolExecutor(2) as pool:
        for number in range(5):
            addresses = [f"new{number}@example.com", f"NEW{number}@example.com"]
            assert sorted(pool.map(create, addresses)) == [201, 409]
    everybody = app.test_client().get(USERS, headers=admin).json["items"]
    assert len(everybody) == 2 + 5


class LookingHasher(PasswordHasher):
    """argon2 itself, which also takes the write lock for a moment: an error when somebody holds it."""

    def __init__(self, app: CustomFlask) -> None:
        super().__init__(time_cost=1, memory_cost=1024, parallelism=1)
        self.path = get_config(app).database_url.removeprefix("sqlite:///")
        self.looked = 0

    def hash(self, *args: t.Any, **more: t.Any) -> str:
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")
            self.looked += 1
        return super().hash(*args, **more)


def test_nobody_waits_for_a_hash(client: FlaskClient, app: CustomFlask, ann: Headers, admin: Headers) -> None:
    """SQLite's only write lock is free while a password is hashed, whoever makes or changes a user."""
    hasher = LookingHasher(app)
    app.extensions["myapp.access"] = Passwords(hasher)
    created = client.post(USERS, headers=admin, json={"address": "cid@example.com", "password": PASSWORD})
    assert created.status_code == 201
    for headers in (ann, admin):
        assert client.patch(f"{USERS}/1", headers=headers, json={"password": PASSWORD}).status_code == 200
    assert hasher.looked == 3


def test_other_methods(client: FlaskClient, admin: Headers) -> None:
    """405 with what there is."""
    answer = client.delete(f"{USERS}/1", headers=admin)
    assert answer.status_code == 405
    assert "PATCH" in answer.headers["Allow"]
