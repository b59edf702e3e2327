"""Everything that is wrong with an app, for ``flask doctor``."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from .. import data, discovery, plugins
from ..config import MINIMUM_SECRET_BYTES, get_config
from ..errors import SchemaError

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask


CLASH_HINT = "Let one of the two use another name."
BEHIND_HINT = "Nothing is served before that."


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    :param id: stable, for programs: the area and the code, as in ``plugin.import-failed``;
        ``docs/plugins-reference.md`` and ``docs/blueprints.md`` list the codes.
    :param subject: what it is wrong with: a module, a plugin, a rule, a setting.
    :param summary: what is wrong, as a sentence.
    :param hint: the next step.
    """

    id: str
    subject: str
    summary: str
    hint: str


def iter_findings(app: Flask) -> Iterator[Finding]:
    """Look at everything, and yield what is wrong with it.

    Nothing is written but what the first use of the database writes in development: the tables.
    """
    # First: what is wrong with the tables of a plugin is in its report then.
    of_database = list(_iter_database(app))
    yield from _iter_settings(app)
    for module in discovery.get_report(app):
        if module.problem is not None:
            problem = module.problem
            yield Finding(f"blueprint.{problem.code}", module.module, problem.summary, problem.hint)
    for plugin in plugins.get_report(app):
        problems = [plugin.problem] if plugin.problem is not None else []
        problems += [problem for problem in plugin.conflicts if problem != plugin.problem]
        for problem in problems:
            # Rules are looked at below: the application may have added some after it was built.
            if problem.code != "rule-taken":
                yield Finding(f"plugin.{problem.code}", plugin.name, problem.summary, problem.hint)
    yield from _iter_clashes(app)
    yield from of_database
    yield from _iter_instance(get_config(app).instance_path)


def _iter_settings(app: Flask) -> Iterator[Finding]:
    loaded = get_config(app)
    meant = dict(plugins.iter_misspelt(app))
    for warning in loaded.warnings:
        key, hint = warning.partition(" ")[0], "Rename it or take it away; docs/configuration.md lists the settings."
        yield Finding("setting.unknown", key, warning, f"Did you mean {meant[key]}?" if key in meant else hint)
    if loaded.settings.safe_mode:
        summary = "MYAPP_SAFE_MODE is on: no plugin is loaded, not even a critical one."
        yield Finding("setting.safe-mode", "MYAPP_SAFE_MODE", summary, "Take it away when the repair is done.")
    for key, summary in plugins.iter_unknown_names(app):
        yield Finding("setting.unknown-plugin", key, summary, "`flask plugins list` shows the plugins that there are.")
    remedy = "Make one with: python -c 'import secrets; print(secrets.token_hex())'"
    secret = app.secret_key
    if not secret:
        yield Finding("secret-key.missing", "SECRET_KEY", "There is no secret key: sessions cannot be signed.", remedy)
    elif len(secret) < MINIMUM_SECRET_BYTES:
        summary = f"The secret key is shorter than {MINIMUM_SECRET_BYTES} bytes."
        yield Finding("secret-key.short", "SECRET_KEY", summary, remedy)


def _iter_clashes(app: Flask) -> Iterator[Finding]:
    """Yield what two owners both have: rules, and what came second of the rest and is no plugin's."""
    for clash in discovery.iter_rule_clashes(app):
        yield Finding("rule.twice", clash.name, str(clash), plugins.HINTS["rule-taken"])
    for clash in discovery.get_ownership(app).clashes:
        # Those of plugins are in their reports.
        if clash.later.kind != "plugin":
            yield Finding(f"{clash.later.kind}.{clash.kind}-taken", clash.name, str(clash), CLASH_HINT)


def _iter_database(app: Flask) -> Iterator[Finding]:
    failure = ""
    try:
        try:
            data.look_at_schema(app)
        except SchemaError as error:
            failure = error.message
        positions = data.positions(app)
    except (SQLAlchemyError, OSError) as error:
        outage = data.find_outage(app, error)
        summary = "The database cannot be reached."
        hint = discovery.describe(error) if outage is None else outage.remedy
        yield Finding("database.unreachable", "MYAPP_DATABASE_URL", summary, hint)
        return
    if failure and data.upgrades_by_itself(app):
        yield Finding("database.upgrade-failed", "MYAPP_DATABASE_URL", failure, "Nothing is served before that.")
        return
    for position in positions:
        # What the rest can do without is the problem of a plugin, and in its report.
        if not position.is_current and position.owner not in data.find_failures(app):
            yield Finding("database.behind", position.owner, str(position), BEHIND_HINT)
        elif position.is_current and data.upgrades_by_itself(app):
            yield from _iter_differences(app, position.owner)


def _iter_differences(app: Flask, owner: str) -> Iterator[Finding]:
    """Yield that the models of ``owner`` are not its tables, for whoever writes them: a migration is missing."""
    if owner == "core" and any(report.state.startswith("broken") for report in discovery.get_report(app)):
        # The models of a module that cannot be imported are missing, and not its tables.
        return
    differences = data.find_differences(app, owner)
    if differences:
        summary = f"The models of {owner} are not its tables: {'; '.join(differences)}."
        hint = f"Write a migration: flask db revision --of {owner} -m …; read it; then: flask db upgrade"
        yield Finding("database.models-differ", owner, summary, hint)


def _iter_instance(folder: Path) -> Iterator[Finding]:
    # What does not exist yet is made at first use, where its nearest folder allows that.
    nearest = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        summary = f"The instance folder {folder} cannot be written: {nearest} does not allow it."
        hint = "Let the user of this process write there, or set MYAPP_INSTANCE_PATH."
        yield Finding("instance.not-writable", "MYAPP_INSTANCE_PATH", summary, hint)
