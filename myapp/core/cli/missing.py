"""Why ``flask shop …`` is no command: the plugin shop is there, and is not served."""

from __future__ import annotations

import typing as t

import click

from .. import plugins
from ..config import plain_name

if t.TYPE_CHECKING:
    from flask import Flask


def explain_missing(app: Flask) -> None:
    """Name the plugin and the next step where click would only say that there is no such command."""
    get_command = app.cli.get_command

    def get_command_or_explain(context: click.Context, name: str) -> click.Command | None:
        command = get_command(context, name)
        if command is None:
            why = _find_reason(app, plain_name(name))
            if why:
                raise click.UsageError(f"No such command {name!r}: {why}", context)
        return command

    app.cli.get_command = get_command_or_explain  # type: ignore[method-assign,assignment]


def _find_reason(app: Flask, name: str) -> str:
    for report in plugins.get_report(app):
        if report.name == name and report.state not in ("active", "degraded"):
            problem = report.problem
            reason = report.reason if problem is None else str(problem)
            return f"the plugin {name} is {report.state}. {reason}"
    return ""
