"""``flask users …`` and ``flask tokens …``: people and their tokens."""

from __future__ import annotations

import json
import sys
import typing as t
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import click
import sqlalchemy as sa
from flask.cli import AppGroup

from ..access import Token, User, create_user, find_user, issue_token
from ..data import get_db
from ..errors import ApiException

if t.TYPE_CHECKING:
    from collections.abc import Iterator

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group(cls=AppGroup)
def users() -> None:
    """Make, list and disable users."""


@users.command("create")
@click.argument("address")
@click.option("--password-stdin", is_flag=True, help="Read the password from the standard input instead of asking.")
def create(address: str, password_stdin: bool) -> None:
    """Make a user with the mail address ADDRESS."""
    password = _read_password() if password_stdin else _ask_for_password()
    with _as_click_errors():
        user = create_user(address, password)
    click.echo(
        f"Made the user {user.address} (id {user.id}). A token for it: flask tokens create --user {user.address}"
    )


@users.command("list")
@AS_JSON
def list_users(as_json: bool) -> None:
    """List every user."""
    found = list(get_db().scalars(sa.select(User).order_by(User.id)))
    if as_json:
        _print_json("users", [_plain(user) for user in found])
        return
    if not found:
        click.echo("There is no user. Make one: flask users create ADDRESS")
    for user in found:
        click.echo(f"{user.id:>6}  {_day(user.created)}  {'active' if user.active else 'disabled':<8}  {user.address}")


@users.command("disable")
@click.argument("address")
def disable(address: str) -> None:
    """Refuse the password and every token of the user with ADDRESS from now on."""
    user = _find_user(address)
    if not user.active:
        click.echo(f"{user.address} was disabled already. Nothing was changed.")
        return
    user.active = False
    click.echo(f"{user.address} is disabled: its password and its tokens are refused from now on.")


@click.group(cls=AppGroup)
def tokens() -> None:
    """Make, list and revoke Bearer tokens."""


@tokens.command("create")
@click.option("--user", "address", required=True, metavar="ADDRESS", help="Whose token it is.")
@click.option("--scopes", default="", metavar="A,B", help="What it may be used for; nothing special when left out.")
@click.option("--label", default="", help="What it is for, so that you know later.")
@click.option("--days", type=click.IntRange(1, 36_500), help="How long it is good; without it, until it is revoked.")
def create_token(address: str, scopes: str, label: str, days: int | None) -> None:
    """Make a token and print it, once: only its SHA-256 is kept.

    The token alone goes to the standard output, so that a script can read it.
    """
    user = _find_user(address)
    names = [name.strip() for name in scopes.split(",") if name.strip()]
    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with _as_click_errors():
        text, token = issue_token(user, names, label=label, expires=expires)
    click.echo(
        f"Made token {token.id} of {user.address}. It is shown only now; send it as: Authorization: Bearer TOKEN",
        err=True,
    )
    if not user.active:
        click.echo(f"{user.address} is disabled: the token is refused as long as it is.", err=True)
    click.echo(text)


@tokens.command("list")
@AS_JSON
def list_tokens(as_json: bool) -> None:
    """List every token: whose it is, what for, and whether it is good; never the token itself."""
    found = list(get_db().scalars(sa.select(Token).order_by(Token.id)))
    if as_json:
        _print_json("tokens", [{**_plain(token), "user": token.user.address} for token in found])
        return
    if not found:
        click.echo("There is no token. Make one: flask tokens create --user ADDRESS")
    for token in found:
        parts = [token.user.address, ",".join(token.scopes) or "no scopes", token.label]
        click.echo(f"{token.id:>6}  {_day(token.created)}  {_state(token):<18}  {'  '.join(filter(None, parts))}")


@tokens.command("revoke")
@click.argument("token_id", metavar="ID", type=click.IntRange(1, 2**31 - 1))
def revoke(token_id: int) -> None:
    """Refuse the token with this ID (see `flask tokens list`) from now on."""
    token = get_db().get(Token, token_id)
    if token is None:
        raise click.ClickException(f"There is no token {token_id}. Those there are: flask tokens list")
    if token.revoked is not None:
        click.echo(f"Token {token_id} was revoked already. Nothing was changed.")
        return
    token.revoke()
    click.echo(f"Token {token_id} of {token.user.address} is revoked: it is refused from now on.")


def _ask_for_password() -> str:
    try:
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("No password was given. Where nobody can be asked: --password-stdin.") from None


def _read_password() -> str:
    """Return the first line of the standard input."""
    try:
        return sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise click.UsageError("The standard input is no text. Write the password into it, in UTF-8.") from error


def _find_user(address: str) -> User:
    user = find_user(address)
    if user is None:
        raise click.ClickException(f"There is no user {address}. Those there are: flask users list")
    return user


@contextmanager
def _as_click_errors() -> Iterator[None]:
    """End the command with exit 2 for what cannot be used, and with 1 for what contradicts what is stored."""
    try:
        yield
    except ApiException as error:
        raise click.ClickException(error.message) from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _plain(row: User | Token) -> dict[str, t.Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in row.to_dict().items()}


def _print_json(name: str, rows: list[dict[str, t.Any]]) -> None:
    click.echo(json.dumps({"schema": 1, name: rows}, indent=2))


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _state(token: Token) -> str:
    if token.revoked is not None:
        return "revoked"
    if not token.user.active:
        return "user disabled"
    if token.expires is None:
        return "good"
    return f"{'good until' if token.is_good else 'expired'} {_day(token.expires)}"
