"""``flask why NAME|PATH``: explain one thing, also when the app cannot boot. The rules of ``offline`` hold here."""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import asdict
from pathlib import Path

import click

from . import offline

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flask import Flask

    from ..discovery import ModuleReport
    from ..plugins import PluginReport

    Entry: t.TypeAlias = dict[str, t.Any]

SETTING = re.compile(r"[A-Z][A-Z0-9_]+")
#: What is printed of each kind of entry, in this order.
MEMBERS = {
    "blueprint": ("module", "file", "prefix", "blueprints", "rules", "claims"),
    "plugin": ("version", "origin", "module", "file", "mount"),
    "path": ("rule", "endpoint", "view", "owner", "methods", "closest"),
    "setting": ("value", "source"),
}


@click.command()
@click.argument("subject", metavar="NAME|PATH")
@click.option("--method", default="GET", show_default=True, help="The method of the request, for a PATH.")
@offline.as_json_option
@click.pass_context
def why(context: click.Context, subject: str, method: str, as_json: bool) -> None:
    """Explain one blueprint module, plugin, setting or URL path: what it serves, or why it does not.

    NAME is as in `flask blueprints list` and `flask plugins list`, a dotted module, or its file; a PATH begins with a
    slash. Exit 0 fine, 1 problems, 2 the application could not be loaded.
    """
    app, cause = offline.load_app(context, "myapp.discovery")
    entries: list[Entry] = []
    try:
        if subject.startswith("/") and not _is_source(subject):
            entries.append(_explain_path(app, subject, method.upper()))
        else:
            entries.extend(_iter_named(context, app, subject))
    except ImportError:
        # A package that the core itself needs is missing; the cause says which.
        if not cause:
            raise
    if as_json:
        click.echo(json.dumps({"schema": 1, "why": entries}, indent=2))
    else:
        for entry in entries:
            _print(entry)
    offline.leave(context, cause, has_problems=any(entry["is_problem"] for entry in entries))


def _is_source(subject: str) -> bool:
    return subject.endswith(".py") and Path(subject).is_file()


def _explain_path(app: Flask | None, path: str, method: str) -> Entry:
    entry = {"kind": "path", "name": f"{method} {path}", "problem": None}
    if app is not None:
        # What is wrong with the tables of a plugin is in its report then.
        offline.look_at_tables(app)
        report = offline.part("ops").explain_path(app, path, method)
        return entry | {"state": str(report.status), "is_problem": report.status >= 400} | asdict(report)
    reports = offline.reports_of_modules(None)
    unserved = [
        {"kind": "blueprint", "name": report.name, "module": report.module, "state": report.state}
        for report in reports
        if offline.part("discovery").claims_path(report.claims, path)
    ]
    reason = "Nothing is served while the application cannot be loaded."
    return entry | {"state": "unknown", "is_problem": True, "reason": reason, "unserved": unserved}


def _iter_named(context: click.Context, app: Flask | None, name: str) -> Iterator[Entry]:
    modules, plugins = offline.reports_of_modules(app), offline.reports_of_plugins(context, app)
    found = False
    for kind, reports in (("blueprint", modules), ("plugin", plugins)):
        for report in reports:
            if _is_meant(report, name):
                found = True
                yield {"kind": kind, "is_problem": report.problem is not None, **asdict(report)}
    if not found and SETTING.fullmatch(name):
        found = True
        yield _explain_setting(app, name)
    if not found:
        known = sorted({report.name for report in modules} | {report.name for report in plugins})
        hint = offline.part("config").did_you_mean(name, known).strip()
        summary = f"No blueprint module and no plugin is called {name}."
        problem = {
            "code": "not-found",
            "summary": summary,
            "hint": hint or "See: flask blueprints list, flask plugins list",
        }
        yield {"kind": "name", "name": name, "state": "unknown", "is_problem": True, "reason": "", "problem": problem}


def _is_meant(report: ModuleReport | PluginReport, name: str) -> bool:
    if name in (report.name, report.module) or offline.part("config").plain_name(name) == report.name:
        return True
    if name in getattr(report, "blueprints", ()):
        return True
    return bool(report.file) and _is_source(name) and Path(name).resolve() == Path(report.file).resolve()


def _explain_setting(app: Flask | None, key: str) -> Entry:
    loaded = offline.part("config").get_config(app) if app is not None else offline.load_known()
    known = {entry["key"]: entry for entry in offline.entries_of(loaded)}
    entry = {"kind": "setting", "name": key, "is_problem": key not in known, "reason": "", "problem": None}
    if key in known and key not in loaded.unknown:
        return entry | {"state": "set", **known[key]}
    suggestion = offline.part("config").did_you_mean(key, [name for name in known if name not in loaded.unknown])
    problem = {
        "code": "setting-unknown",
        "summary": f"{key} is not set and is no setting of myapp.",
        "hint": suggestion.strip() or "`flask config show` lists the settings.",
    }
    if key in known:
        problem["summary"] = f"{key} (from {known[key]['source']}) is not a setting of myapp and is ignored."
    return entry | {"state": "unknown", "is_problem": True, "problem": problem}


def _print(entry: Mapping[str, t.Any]) -> None:
    click.echo(f"{entry['kind']} {entry['name']}: {entry['state']}" if entry["kind"] != "name" else entry["name"])
    for member in MEMBERS.get(entry["kind"], ()):
        value = entry.get(member)
        if value:
            click.echo(f"  {member:<11}{', '.join(value) if isinstance(value, list | tuple) else value}")
    if entry.get("reason"):
        click.echo(f"  {'because':<11}{entry['reason']}")
    if entry["problem"]:
        click.echo(f"  {'problem':<11}{entry['problem']['code']}: {entry['problem']['summary']}")
        click.echo(f"  {'next':<11}{entry['problem']['hint']}")
    for one in entry.get("unserved", ()):
        click.echo(f"  {'not served':<11}{one['kind']} {one['name']} ({one['module']}): {one['state']}")
        for text in filter(None, (one.get("reason"), one.get("hint"))):
            click.echo(f"  {'':<11}{text}")
