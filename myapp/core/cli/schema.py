"""Commands for the tables: every owner's, by Alembic."""

from __future__ import annotations

import json
import sys
import typing as t
from dataclasses import asdict

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from .. import data, discovery
from ..errors import SchemaError
from ..tasks import untasked

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from flask import Flask

# A migration is a transaction of its own, with foreign keys off: these commands are no tasks.

OWNER = click.option(
    "--of", "owner", required=True, metavar="NAME", help="The core or the plugin that owns the tables."
)


def _app() -> Flask:
    return t.cast("Flask", current_app._get_current_object())  # type: ignore[attr-defined]


@click.command("init-db")
@with_appcontext
def init_db() -> None:
    """Create or upgrade the tables of the core and of every plugin; fine twice."""
    _upgrade()


@click.group(cls=AppGroup)
def db() -> None:
    """Look at and change the tables."""


@db.command()
def upgrade() -> None:
    """Upgrade the tables of the core and of every plugin."""
    _upgrade()


@db.command()
@OWNER
@click.argument("revision", default="-1")
def downgrade(owner: str, revision: str) -> None:
    """Take the tables of one owner back by one revision, or to REVISION (`base` for nothing)."""
    data.downgrade(_app(), owner, revision)
    click.echo(f"The tables of {owner} were taken back. Run `flask db upgrade` to bring them forward again.")


@db.command()
@OWNER
@click.option("-m", "--message", required=True, help="What the revision does, for its file name.")
def revision(owner: str, message: str) -> None:
    """Write a revision with what the models of one owner have and its tables do not, if there is anything."""
    broken = [report for report in discovery.get_report(_app()) if report.state.startswith("broken")]
    if owner == "core" and broken:
        names = ", ".join(report.module for report in broken)
        raise click.ClickException(
            f"{names} cannot be imported, so the revision would drop the tables of its models. Correct that first:"
            " flask blueprints list"
        )
    path, warnings = data.revise(_app(), owner, message)
    if path is None:
        click.echo(f"Wrote nothing: the models of {owner} have what its tables have. Is the changed one imported?")
        return
    click.echo(f"Wrote {path}. Read it, then run `flask db upgrade`.")
    for warning in warnings:
        click.echo(warning, err=True)


@db.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def current(as_json: bool) -> None:
    """Show how far the tables of each owner have come, and who has tables and is not loaded."""
    positions = data.positions(_app())
    absent = data.find_absent(_app())
    if as_json:
        owners = [asdict(position) for position in positions]
        click.echo(json.dumps({"schema": 1, "owners": owners, "absent": absent}))
    else:
        for position in positions:
            state = "up to date" if position.is_current else position.problem or "behind: run `flask db upgrade`"
            click.echo(f"{position.owner:<20} {position.current or 'nothing':<16} {state}")
        for name, revision in absent.items():
            click.echo(f"{name:<20} {revision:<16} its tables are there, and no plugin of this name is loaded")
    if any(position.problem for position in positions):
        sys.exit(1)


def upgrade_tables(app: Flask, owners: Iterable[str]) -> None:
    """Upgrade the tables of ``owners``, in this order, and say what has changed.

    :raises click.ClickException: in the end, with each owner whose tables could not be upgraded; at once when they are
        the core's, to which those of the others may refer.
    """
    problems: list[str] = []
    lines: list[str] = []
    for name in owners:
        try:
            lines += data.upgrade(app, names=[name])
        except SchemaError as error:
            problems.append(error.message)
            if name == "core":
                break
    for line in lines:
        click.echo(line)
    if problems:
        raise click.ClickException("\n".join(problems))
    if not lines:
        click.echo("The tables are up to date.")


def _upgrade() -> None:
    upgrade_tables(_app(), list(data.get_schema(_app()).owners))


for _command in (init_db, upgrade, downgrade, revision, current):
    untasked(_command)
