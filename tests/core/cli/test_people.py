"""`flask users …` and `flask tokens …`: what they do, what they say, how they end."""

from __future__ import annotations

import json
import typing as t

import pytest

from myapp.core.access import authenticate
from tests.runners import IS_OLD_CLICK

if t.TYPE_CHECKING:
    from click.testing import Result
    from flask.testing import FlaskClient

    from myapp import CustomFlask

ANN, PASSWORD = "ann@example.com", "correct horse"
Run: t.TypeAlias = "t.Callable[..., Result]"


@pytest.fixture
def run(app: CustomFlask) -> Run:
    """Return a function that runs a command: `run("users", "list")`."""
    runner = app.test_cli_runner()
    return lambda *args, **more: runner.invoke(args=list(args), **more)


@pytest.fixture
def ann(run: Run) -> str:
    """Make a user and return the address."""
    assert run("users", "create", ANN, "--password-stdin", input=f"{PASSWORD}\n").exit_code == 0
    return ANN


def status(client: FlaskClient, token: str) -> int:
    return client.get("/api/v1/users/1", headers={"Authorization": f"Bearer {token}"}).status_code


def test_create_with_a_prompt(app: CustomFlask, run: Run) -> None:
    """Asked twice, not shown; the answer says the next step, and the password is never repeated."""
    result = run("users", "create", "Ann@Example.com", input=f"{PASSWORD}\n{PASSWORD}\n")
    assert result.exit_code == 0
    assert "Made the user Ann@example.com (id 1)." in result.output
    assert "flask tokens create --user Ann@example.com" in result.output
    assert PASSWORD not in result.output
    with app.task():
        assert authenticate(ANN, PASSWORD) is not None


@pytest.mark.skipif(IS_OLD_CLICK, reason="The runner of click 8.1 goes on giving empty lines when its input has ended.")
def test_create_with_two_passwords(run: Run) -> None:
    """They differ, and nobody is there to be asked again."""
    differing = run("users", "create", "bob@example.com", input=f"{PASSWORD}\nanother one\n")
    assert (differing.exit_code, "--password-stdin" in differing.stderr) == (2, True)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "", "\nmore lines\n"])
def test_create_from_the_standard_input(app: CustomFlask, run: Run, ending: str) -> None:
    """The first line, without its end; blanks belong to it."""
    assert run("users", "create", ANN, "--password-stdin", input=f" {PASSWORD} {ending}").exit_code == 0
    with app.task():
        assert authenticate(ANN, f" {PASSWORD} ") is not None


@pytest.mark.parametrize(
    ("address", "password", "code", "says"),
    [
        ("nobody", PASSWORD, 2, "not a mail address"),
        ("bob@example.com", "short", 2, "8 to 1,024 characters"),
        ("bob@example.com", "", 2, "8 to 1,024 characters"),
        ("ANN@example.com", PASSWORD, 1, "Somebody has this address already"),
    ],
)
def test_create_refuses(run: Run, ann: str, address: str, password: str, code: int, says: str) -> None:
    """Exit 2 for what cannot be used, 1 for what contradicts what is there; nothing is made."""
    result = run("users", "create", address, "--password-stdin", input=password)
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert len(json.loads(run("users", "list", "--json").stdout)["users"]) == 1


def test_list_and_disable(run: Run, app: CustomFlask) -> None:
    """An empty list says what would fill it; a disabled user's token is refused at once."""
    empty = run("users", "list")
    assert (empty.exit_code, empty.output) == (0, "There is no user. Make one: flask users create ADDRESS\n")
    run("users", "create", ANN, "--password-stdin", input=PASSWORD)
    token = run("tokens", "create", "--user", ANN).stdout.strip()
    assert status(app.test_client(), token) == 200
    disabled = run("users", "disable", "ANN@example.com")
    assert (disabled.exit_code, disabled.output.split(":")[0]) == (0, f"{ANN} is disabled")
    assert status(app.test_client(), token) == 401
    assert "already" in run("users", "disable", ANN).output
    [user] = json.loads(run("users", "list", "--json").stdout)["users"]
    assert sorted(user) == ["active", "address", "created", "id"]
    assert (user["address"], user["active"]) == (ANN, False)
    assert "disabled" in run("users", "list").output
    assert "user disabled" in run("tokens", "list").output
    assert "is refused" in run("tokens", "create", "--user", ANN).stderr
    unknown = run("users", "disable", "bob@example.com")
    assert (unknown.exit_code, "flask users list" in unknown.stderr) == (1, True)


def test_token_is_shown_once(run: Run, ann: str, app: CustomFlask) -> None:
    """Alone on the standard output; no list shows it, or its hash."""
    result = run("tokens", "create", "--user", ann, "--scopes", "users:write, b", "--label", "a test", "--days", "2")
    token = result.stdout.strip()
    assert (result.exit_code, result.stdout) == (0, f"{token}\n")
    assert "only now" in result.stderr
    assert status(app.test_client(), token) == 200
    as_json, as_text = run("tokens", "list", "--json").stdout, run("tokens", "list").stdout
    assert token not in as_json + as_text
    [entry] = json.loads(as_json)["tokens"]
    assert sorted(entry) == ["created", "expires", "id", "label", "revoked", "scopes", "user"]
    assert (entry["user"], entry["scopes"], entry["label"]) == (ann, ["b", "users:write"], "a test")
    assert "b,users:write  a test" in as_text
    assert "good until" in as_text


def test_revoke(run: Run, ann: str, app: CustomFlask) -> None:
    """Refused from the next request on; twice is fine; an unknown one says where to look."""
    assert "There is no token" in run("tokens", "list").output
    token = run("tokens", "create", "--user", ann).stdout.strip()
    assert "no scopes" in run("tokens", "list").output
    revoked = run("tokens", "revoke", "1")
    assert (revoked.exit_code, revoked.output) == (0, f"Token 1 of {ann} is revoked: it is refused from now on.\n")
    assert status(app.test_client(), token) == 401
    assert "already" in run("tokens", "revoke", "1").output
    assert "revoked" in run("tokens", "list").output
    unknown = run("tokens", "revoke", "7")
    assert (unknown.exit_code, "flask tokens list" in unknown.stderr) == (1, True)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--user", "bob@example.com"), 1),
        ((), 2),
        (("--user", ANN, "--scopes", "a b"), 2),
        (("--user", ANN, "--scopes", 'a"'), 2),
        (("--user", ANN, "--label", "x" * 101), 2),
        (("--user", ANN, "--days", "0"), 2),
    ],
)
def test_token_that_cannot_be_made(run: Run, ann: str, args: tuple[str, ...], code: int) -> None:
    """Exit 1 for somebody who is not there, 2 for a mistake in the command; no token is made."""
    result = run("tokens", "create", *args)
    assert (result.exit_code, result.stdout) == (code, "")
    assert json.loads(run("tokens", "list", "--json").stdout)["tokens"] == []
