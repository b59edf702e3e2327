"""Commands for the tables: every owner's, by Alembic."""

from __future__ import annotations

import json
import typing as t

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from .. import data, discovery
from ..tasks import untasked

if t.TYPE_CHECKING:
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
    """Write a revision with what the models of one owner have and its tables do not."""
    broken = [report for report in discovery.get_report(_app()) if report.state.startswith("broken")]
    if owner == "core" and broken:
        names = ", ".join(report.module for report in broken)
        raise click.ClickException(
            f"{names} cannot be imported, so the revision would drop the tables of its models. Correct that first:"
            " flask blueprints list"
        )
    path = data.revise(_app(), owner, message)
    click.echo(f"Wrote {path}. Read it, then run `flask db upgrade`.")


@db.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def current(as_json: bool) -> None:
    """Show how far the tables of each owner have come."""
    positions = data.positions(_app())
    if as_json:
        owners = [
            {"owner": position.owner, "current": position.current, "newest": position.newest} for position in positions
        ]
        click.echo(json.dumps({"schema": 1, "owners": owners}))
        return
    for position in positions:
        state = "up to date" if position.is_current else "behind: run `flask db upgrade`"
        click.echo(f"{position.owner:<20} {position.current or 'nothing':<16} {state}")


def _upgrade() -> None:
    lines = data.upgrade(_app())
    click.echo("\n".join(lines) if lines else "The tables are up to date.")


for _command in (init_db, upgrade, downgrade, revision, current):
    untasked(_command)
