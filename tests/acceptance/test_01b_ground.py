"""The ground completed, point by point; the tests of each part go further than these."""

from __future__ import annotations

import hashlib
import statistics
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from argon2 import PasswordHasher

from myapp import get_db
from myapp.core.access import Passwords, Token, authenticate, create_user

if t.TYPE_CHECKING:
    from myapp import CustomFlask

ANN, BOB, PASSWORD = "ann@example.com", "bob@example.com", "correct horse"


def test_2_people_and_their_tokens(make_app: t.Any) -> None:
    """Somebody else's record is a 403, an unknown token and a disabled user a 401; made with the commands."""
    app = make_app(config={"PROPAGATE_EXCEPTIONS": False})
    runner, client = app.test_cli_runner(), app.test_client()
    headers = {}
    for address in (ANN, BOB):
        made = runner.invoke(args=["users", "create", address, "--password-stdin"], input=PASSWORD)
        assert made.exit_code == 0, made.output
        token = runner.invoke(args=["tokens", "create", "--user", address]).stdout.strip()
        headers[address] = {"Authorization": f"Bearer {token}"}
        # Shown once: what is kept is the SHA-256.
        with app.task(read_only=True):
            [digest] = get_db().scalars(sa.select(Token.digest).where(Token.user.has(address=address)))
            assert digest == hashlib.sha256(token.encode()).hexdigest()
        assert token not in runner.invoke(args=["tokens", "list", "--json"]).output

    own = client.get("/api/v1/users/1", headers=headers[ANN])
    assert (own.status_code, own.json["address"]) == (200, ANN)
    assert "argon2" not in own.text
    elses = client.get("/api/v1/users/2", headers=headers[ANN])
    assert elses.status_code == 403
    assert elses.headers["WWW-Authenticate"] == (
        'Bearer realm="myapp", error="insufficient_scope", scope="users:write"'
    )
    nobody = client.get("/api/v1/users/1")
    assert (nobody.status_code, nobody.headers["WWW-Authenticate"]) == (401, 'Bearer realm="myapp"')
    unknown = client.get("/api/v1/users/1", headers={"Authorization": "Bearer unknown"})
    assert (unknown.status_code, unknown.mimetype) == (401, "application/problem+json")
    assert unknown.headers["WWW-Authenticate"] == 'Bearer realm="myapp", error="invalid_token"'

    assert runner.invoke(args=["users", "disable", ANN]).exit_code == 0
    disabled = client.get("/api/v1/users/1", headers=headers[ANN])
    assert (disabled.status_code, disabled.headers["WWW-Authenticate"]) == (
        401,
        'Bearer realm="myapp", error="invalid_token"',
    )
    assert client.get("/api/v1/users/2", headers=headers[BOB]).status_code == 200


class CountingHasher(PasswordHasher):
    """argon2 itself, which also counts what it is asked to verify."""

    verified = 0

    def verify(self, *args: t.Any) -> t.Literal[True]:
        self.verified += 1
        return super().verify(*args)


def test_2_people_wrong_passwords_take_as_long_for_unknown_addresses(app: CustomFlask) -> None:
    """Twenty for an address that somebody has and twenty for others: one verification each, and the same time."""
    hasher = CountingHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
    app.extensions["myapp.access"] = Passwords(hasher)
    with app.task():
        create_user(ANN, PASSWORD)
    seconds: dict[str, list[float]] = {"known": [], "unknown": []}
    # In turns, so that whatever else this machine does slows both.
    for number in range(20):
        for kind, address in (("known", ANN), ("unknown", f"nobody{number}@example.com")):
            before, started = hasher.verified, time.perf_counter()
            with app.task():
                assert authenticate(address, f"a wrong one {number}") is None
            seconds[kind].append(time.perf_counter() - started)
            assert hasher.verified - before == 1
    ratio = statistics.median(seconds["unknown"]) / statistics.median(seconds["known"])
    assert 0.5 < ratio < 2, seconds


def test_2_people_two_threads_make_one_user(make_app: t.Any) -> None:
    """One 201 and one 409 for the same address, whatever its case."""
    app = make_app(config={"PROPAGATE_EXCEPTIONS": False})
    runner = app.test_cli_runner()
    runner.invoke(args=["users", "create", ANN, "--password-stdin"], input=PASSWORD)
    token = runner.invoke(args=["tokens", "create", "--user", ANN, "--scopes", "users:write"]).stdout.strip()
    together = threading.Barrier(2)

    def create(address: str) -> int:
        client = app.test_client()
        together.wait()
        body = {"address": address, "password": PASSWORD}
        answer = client.post("/api/v1/users", json=body, headers={"Authorization": f"Bearer {token}"})
        return int(answer.status_code)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(create, [BOB, BOB.upper()])) == [201, 409]
    assert runner.invoke(args=["users", "list"]).output.lower().count(BOB) == 1
