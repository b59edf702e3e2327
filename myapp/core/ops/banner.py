"""What ``flask run`` says at its start, on the error stream."""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

import click
from flask.cli import run_command
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader

from .. import data, discovery, plugins
from ..config import get_config, hide_password, own_version

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask


def show(app: Flask) -> None:
    """Print the banner when ``flask run`` is what builds the app; with the reloader, in the child only.

    :raises SchemaError: in production, when the tables are older than the code.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.command is not run_command:
        return
    data.ensure_schema(app)
    reloads = context.params.get("reload")
    if (get_debug_flag() if reloads is None else reloads) and not is_running_from_reloader():
        return
    for line in _iter_lines(app):
        click.echo(line, err=True)


def _iter_lines(app: Flask) -> Iterator[str]:
    loaded = get_config(app)
    yield f"myapp {own_version()}, profile {loaded.settings.profile}"
    if loaded.settings.safe_mode:
        yield f"  {'SAFE MODE':<11}MYAPP_SAFE_MODE is on: no plugin is loaded, not even a critical one."
    modules, extensions = discovery.get_report(app), plugins.get_report(app)
    for title, command, reports in (("blueprints", "blueprints", modules), ("plugins", "plugins", extensions)):
        names = [report.name for report in reports if report.state in ("active", "degraded")]
        yield f"  {title:<11}{', '.join(names) or 'none'}"
        for report in reports:
            if report.problem is not None:
                yield f"  {'':<11}{report.name}: {report.state}. See: flask {command} list"
    yield f"  {'routes':<11}{len(list(app.url_map.iter_rules()))}"
    where = "set MYAPP_DATABASE_URL to grow" if not loaded.settings.database_url else "from MYAPP_DATABASE_URL"
    yield f"  {'database':<11}{hide_password(loaded.database_url)} ({where})"
    server = urlsplit(loaded.settings.mail_url)
    sent = (
        f"sent by {server.scheme}://{server.hostname}" if server.hostname else "captured (set MYAPP_MAIL_URL to send)"
    )
    yield f"  {'mail':<11}{sent}"
