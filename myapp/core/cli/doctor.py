"""``flask doctor``: look at everything, also when the app cannot boot. The rules of ``offline`` hold here."""

from __future__ import annotations

import json
import typing as t
from dataclasses import asdict

import click

from . import offline

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask


@click.command()
@offline.as_json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Look at everything, and list what is wrong and what to do.

    Settings, blueprint modules, plugins, rules of two owners, the database, the instance folder, the secret key. Exit
    0 fine, 1 something is wrong, 2 the application could not be loaded.
    """
    app, cause = offline.load_app(context, "myapp.discovery")
    findings = list(_iter_findings(context, app, cause))
    if as_json:
        click.echo(json.dumps({"schema": 1, "doctor": findings}, indent=2))
    else:
        for finding in findings:
            click.echo(f"{finding['id']}  {finding['subject']}\n  {finding['summary']}\n  {finding['hint']}\n")
        count = len(findings)
        click.echo(
            "Everything is fine." if not count else f"{count} {'thing is' if count == 1 else 'things are'} wrong."
        )
    offline.leave(context, cause, has_problems=bool(findings))


def _iter_findings(context: click.Context, app: Flask | None, cause: str) -> Iterator[dict[str, str]]:
    if app is not None:
        for finding in offline.part("ops").iter_findings(app):
            yield asdict(finding)
        return
    yield {
        "id": "app.not-loaded",
        "subject": "the application",
        "summary": cause.splitlines()[-1] if cause else "The application could not be loaded.",
        "hint": "Correct this first; most of the rest is not known before.",
    }
    # What can be said without importing anything.
    for report in offline.reports_of_plugins(context, None):
        if report.problem is not None:
            problem = report.problem
            yield {
                "id": f"plugin.{problem.code}",
                "subject": report.name,
                "summary": problem.summary,
                "hint": problem.hint,
            }
