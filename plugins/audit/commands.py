"""``flask audit list``."""

from __future__ import annotations

import json
import re
import typing as t
from datetime import UTC, datetime, timedelta

import click
import sqlalchemy as sa
from flask import current_app
from flask.cli import with_appcontext

from myapp import User, get_db, untasked

from .models import Entry

AGO = re.compile(r"(\d{1,5})([mhd])")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def read_moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """Return the moment that ``2026-01-31``, ``2026-01-31T12:00`` (UTC) or ``24h`` means; an option's callback.

    :raises click.BadParameter: when it means none.
    """
    if value is None:
        return None
    if match := AGO.fullmatch(value):
        return datetime.now(UTC) - timedelta(**{UNITS[match[2]]: int(match[1])})
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter("Write a date, a time (2026-01-31T12:00, in UTC), or 30m, 24h, 7d.") from error


# It only reads, and has to wait for nobody who writes.
@untasked
@click.command("list")
@click.option("--table", metavar="NAME", help="Of this table only.")
@click.option("--key", metavar="KEY", help='Of this row only: its primary key, 5 or {"id": 5}.')
@click.option("--user", metavar="USER", help="Of this user only: an id or an address.")
@click.option("--since", metavar="TIME", callback=read_moment, help="2026-01-31, 2026-01-31T12:00 (UTC), 24h, 7d.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@with_appcontext
def list_entries(
    table: str | None, key: str | None, user: str | None, since: datetime | None, limit: int, as_json: bool
) -> None:
    """List who changed what, the newest first."""
    query = sa.select(Entry).order_by(Entry.id.desc()).limit(limit)
    with current_app.task(read_only=True):  # type: ignore[attr-defined]
        if table is not None:
            query = query.where(Entry.table_name == table)
        if key is not None:
            query = query.where(Entry.row_key.in_([key, *_as_object(key)]))
        if user is not None:
            query = query.where(Entry.user_id == _find_user_id(user))
        if since is not None:
            query = query.where(Entry.moment >= since)
        entries = [entry.to_dict() | {"moment": entry.moment.isoformat()} for entry in get_db().scalars(query)]
    if as_json:
        click.echo(json.dumps({"schema": 1, "audit": entries}, indent=2))
        return
    if not entries:
        click.echo("There is no such entry. One is written for each row that a task inserts, updates or deletes.")
    for entry in entries:
        for line in _iter_lines(entry):
            # What was written may be a terminal's commands.
            click.echo("".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in line))


def _as_object(key: str) -> list[str]:
    """Return the key of a row whose primary key is the column ``id``."""
    try:
        return [json.dumps({"id": json.loads(key)}, ensure_ascii=False)]
    except ValueError:
        return [json.dumps({"id": key}, ensure_ascii=False)]


def _find_user_id(user: str) -> int:
    if user.isdecimal():
        return int(user)
    found = get_db().scalars(sa.select(User.id).where(sa.func.lower(User.address) == user.lower())).first()
    if found is None:
        raise click.ClickException(f"There is no user {user}. Those there are: flask users list")
    return found


def _iter_lines(entry: dict[str, t.Any]) -> t.Iterator[str]:
    moment = f"{datetime.fromisoformat(entry['moment']):%Y-%m-%d %H:%M:%SZ}"
    what = entry["row_key"] or f"{'?' if entry['row_count'] is None else entry['row_count']} rows"
    who = "nobody" if entry["user_id"] is None else f"user {entry['user_id']}"
    yield (
        f"{entry['id']:>6}  {moment}  {entry['action']:<6}  {entry['table_name']}  {what}  by {who}"
        f" in {entry['kind']} {entry['task_id']}"
    )
    for column, values in (entry["changes"] or {}).items():
        shown = " → ".join(json.dumps(values[name], ensure_ascii=False) for name in ("old", "new") if name in values)
        yield f"        {column}: {shown or '(value not kept)'}"
