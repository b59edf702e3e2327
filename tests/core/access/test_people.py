"""Users and tokens in the database: addresses, logins, what is stored of a token."""

from __future__ import annotations

import hashlib
import typing as t
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from myapp import ApiException, User, get_db
from myapp.core import access, data
from myapp.core.access import Passwords, Token, authenticate, create_user, find_user, issue_token, normalize_address
from myapp.core.config import get_config

if t.TYPE_CHECKING:
    from myapp import CustomFlask

ANN, PASSWORD = "ann@example.com", "correct horse"


@pytest.fixture
def ann(app: CustomFlask) -> int:
    """Return the id of a user."""
    with app.task():
        return create_user(ANN, PASSWORD).id


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Ann.Lee@EXAMPLE.com", "Ann.Lee@example.com"),
        ("ann+tag@example.org", "ann+tag@example.org"),
        ("a@xn--exmple-cua.com", "a@exämple.com"),
        ("u\N{COMBINING DIAERESIS}@example.com", "ü@example.com"),
    ],
)
def test_addresses_are_normalised(text: str, address: str) -> None:
    """The domain in lower case and Unicode, the rest as its owner writes it."""
    assert normalize_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "ann@",
        "@example.com",
        "ann@example",
        "ann@example.com\n",
        " ann@example.com",
        "<script>@x.y",
        "ann\x00@example.com",
        "ann@example.com, bob@example.com",
        "Ann <ann@example.com>",
        "ann@[127.0.0.1]",
        "ann@localhost",
        "\ud800@example.com",
        "x" * 100_000 + "@example.com",
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """With the same words for all: they do not repeat it."""
    with pytest.raises(ValueError, match=r"^This is not a mail address that can be used\. Write it like \S+\.$"):
        normalize_address(text)


@pytest.mark.parametrize(
    ("first", "second"), [("ann@example.com", "ANN@Example.COM"), ("ärger@example.com", "Ärger@example.com")]
)
def test_addresses_are_unique_whatever_their_case(app: CustomFlask, first: str, second: str) -> None:
    """Also where the database's own lower() would see two; either form finds the user."""
    with app.task():
        created = create_user(first, PASSWORD)
        with pytest.raises(ApiException, match="409"):
            create_user(second, PASSWORD)
        assert find_user(second) is created
    with app.task():
        assert get_db().scalar(sa.select(sa.func.count(User.id))) == 1


def test_lost_race_leaves_the_task_alone(app: CustomFlask, ann: int) -> None:
    """What the task has written before a 409 is still there, for a caller that goes on."""
    with app.task():
        create_user("bob@example.com", PASSWORD)
        with pytest.raises(ApiException, match="409"):
            create_user(ANN, PASSWORD)
        user = get_db().get(User, ann)
        assert user is not None
        with pytest.raises(ApiException, match="409"):
            access.change_user(user, address="BOB@example.com")
        assert user.address == ANN
    with app.task():
        assert find_user("bob@example.com") is not None


def test_hash_is_never_shown(app: CustomFlask, ann: int) -> None:
    """Not by to_dict, not in a repr, not of the token either."""
    with app.task():
        user = get_db().get(User, ann)
        assert user is not None
        _, token = issue_token(user, ["a"])
        assert list(user.to_dict()) == ["id", "address", "active", "created"]
        assert list(token.to_dict()) == ["id", "label", "scopes", "created", "expires", "revoked"]
        assert "argon2" not in repr(user) + repr(token)
        with pytest.raises(ApiException, match="422"):
            user.from_dict({"password_hash": "x", "active": True})


def test_ids_are_never_used_again(app: CustomFlask, ann: int) -> None:
    """Whatever refers to a user who is gone does not mean the next one."""
    with app.task():
        get_db().delete(get_db().get(User, ann))
    with app.task():
        assert create_user(ANN, PASSWORD).id == ann + 1


def test_token_is_stored_as_its_sha256(app: CustomFlask, ann: int) -> None:
    """Neither it nor a password is anywhere in the database; a deleted user takes it along."""
    with app.task():
        user = get_db().get(User, ann)
        assert user is not None
        text, token = issue_token(user, ["b", "a", "a"], label="for a test")
        assert token.digest == hashlib.sha256(text.encode()).hexdigest()
        assert token.scopes == ["a", "b"]
        assert text.startswith("myapp_")
        assert text != issue_token(user)[0]
    folder = Path(get_config(app).database_url.removeprefix("sqlite:///")).parent
    stored = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
    assert token.digest.encode() in stored
    assert text.removeprefix("myapp_").encode() not in stored
    assert PASSWORD.encode() not in stored
    with app.task():
        get_db().delete(get_db().get(User, ann))
    with app.task():
        assert get_db().scalars(sa.select(Token)).all() == []


def test_names_of_scopes_and_labels(app: CustomFlask, ann: int) -> None:
    """What could end a header or a line is refused."""
    with app.task():
        user = get_db().get(User, ann)
        assert user is not None
        for name in ('a"', "a b", "a\n", ""):
            with pytest.raises(ValueError, match="name of a scope"):
                issue_token(user, [name])
        for label in ("x" * 101, "a\nb", "\x1b[2J"):
            with pytest.raises(ValueError, match="label"):
                issue_token(user, label=label)


def test_authenticate(app: CustomFlask, ann: int) -> None:
    """The right password of an active user, however the address is written; None for everything else."""
    with app.task():
        found = authenticate("Ann@Example.com", PASSWORD)
        assert found is not None
        assert found.id == ann
        assert authenticate(ANN, "a wrong one") is None
        assert authenticate("bob@example.com", PASSWORD) is None
        assert authenticate("no address", PASSWORD) is None
        found.active = False
        assert authenticate(ANN, PASSWORD) is None


def test_login_replaces_an_older_hash(app: CustomFlask) -> None:
    """Then only is the password known; a wrong one replaces nothing."""
    app.extensions["myapp.access"] = Passwords(PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
    with app.task():
        old = create_user(ANN, PASSWORD).password_hash
    app.extensions["myapp.access"] = Passwords()
    with app.task():
        assert authenticate(ANN, "a wrong one") is None
    with app.task():
        assert find_user(ANN).password_hash == old  # type: ignore[union-attr]
        assert authenticate(ANN, PASSWORD) is not None
    with app.task():
        new = find_user(ANN).password_hash  # type: ignore[union-attr]
        assert "m=19456" in new
        assert authenticate(ANN, PASSWORD) is not None


def test_moments_are_aware(app: CustomFlask, ann: int) -> None:
    """Read in UTC; a naive one is refused, because it could mean any zone."""
    with app.task():
        user = get_db().get(User, ann)
        assert user is not None
        assert user.created.tzinfo is UTC
        user.created = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    with app.task(read_only=True):
        assert get_db().scalars(sa.select(User.created)).one() == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(sa.exc.StatementError, match="no moment"), app.task():
        get_db().execute(sa.update(User).values(created=datetime(2026, 1, 1)))


def test_tables_are_those_of_the_models(app: CustomFlask) -> None:
    """The migration makes what the models say, and can be taken back."""
    data.upgrade(app)
    from_models = data.get_metadata()
    inspector = sa.inspect(data.get_engine(app))
    for name in ("users", "users_tokens"):
        table = from_models.tables[name]
        columns = {column["name"]: column for column in inspector.get_columns(name)}
        assert {column.name: column.nullable for column in table.columns} == {
            column["name"]: column["nullable"] for column in columns.values()
        }
        unique = {constraint["name"] for constraint in inspector.get_unique_constraints(name)}
        assert unique == {
            constraint.name for constraint in table.constraints if isinstance(constraint, sa.UniqueConstraint)
        }
        assert {index["name"] for index in inspector.get_indexes(name)} == {index.name for index in table.indexes}
    data.downgrade(app, "core", "base")
    assert not {"users", "users_tokens"} & set(sa.inspect(data.get_engine(app)).get_table_names())
