"""What became of each plugin of an app, and why."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ..discovery import Problem

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Flask

    from .breaker import Guards
    from .context import PluginContext
    from .files import Files
    from .hooks import HookManager

EXTENSION = "myapp.plugins"

State: t.TypeAlias = t.Literal[
    "active",
    "degraded",
    "disabled",
    "skipped",
    "incompatible",
    "missing-dependency",
    "conflict",
    "misconfigured",
    "broken-import",
    "broken-register",
    "unknown",
]

#: The state that each problem leads to. The codes are stable; ``docs/plugins-reference.md`` lists them. A plugin with a
#: conflict over a single thing is served, but for that thing.
STATES: Mapping[str, State] = MappingProxyType(
    {
        "syntax-error": "broken-import",
        "import-failed": "broken-import",
        "not-found": "broken-import",
        "needed-missing": "missing-dependency",
        "critical-skipped": "skipped",
        "no-init-file": "broken-import",
        "outside-folder": "broken-import",
        "manifest-invalid": "misconfigured",
        "name-invalid": "misconfigured",
        "settings-invalid": "misconfigured",
        "name-reserved": "conflict",
        "name-taken": "conflict",
        "blueprint-taken": "conflict",
        "endpoint-taken": "conflict",
        "rule-taken": "active",
        "template-taken": "active",
        "config-taken": "active",
        "command-taken": "active",
        "app-version": "incompatible",
        "api-version": "incompatible",
        "requires-missing": "missing-dependency",
        "requires-cycle": "missing-dependency",
        "hook-unknown": "broken-register",
        "hook-failed": "broken-register",
        "enabled-failed": "broken-register",
        "mapper-failed": "broken-register",
        "ready-failed": "degraded",
        "tables-failed": "degraded",
        "runtime-failed": "degraded",
        "template-outside": "degraded",
    }
)

HINTS: Mapping[str, str] = MappingProxyType(
    {
        "syntax-error": "Correct the line that the message names and restart.",
        "import-failed": "Correct what the message names, or install what is missing, and restart.",
        "not-found": "`flask plugins list` shows the plugins that there are.",
        "needed-missing": "Put it back.",
        "critical-skipped": "Let its enabled(app) say yes.",
        "no-init-file": "Create an __init__.py in it, or move its files away.",
        "outside-folder": "Copy the plugin into the folder, or list its own folder in MYAPP_PLUGIN_DIRS.",
        "manifest-invalid": "Correct __plugin__; docs/plugins-reference.md lists its keys.",
        "name-invalid": "Rename it: a lower-case letter, then letters, digits and _, 2 to 40 in all.",
        "settings-invalid": "Correct the settings that the message names and restart.",
        "name-reserved": "Rename the plugin: the core uses this name.",
        "name-taken": "Rename or remove one of the two.",
        "blueprint-taken": "Rename one of the two blueprints; one named like its plugin cannot clash.",
        "endpoint-taken": "Give one of the two views another endpoint; in a blueprint it cannot clash.",
        "rule-taken": "Change one of the two paths; MYAPP_BLUEPRINT_PREFIXES moves a whole blueprint or plugin.",
        "template-taken": "Rename the other one; what is to replace it belongs into the application's own templates.",
        "config-taken": "Let one of the two use another key; a plugin's own settings are plugin.config.",
        "command-taken": "Return the command from myapp_commands: there it is `flask <plugin> <command>`.",
        "app-version": "Install a version of the plugin that is made for this version of myapp.",
        "api-version": "Install a newer myapp, or an older version of the plugin.",
        "requires-missing": "Install or repair the plugin that it requires, or remove this one.",
        "requires-cycle": "Take one of the requirements, `after` or `before` away.",
        "hook-unknown": "Correct the function, or remove it.",
        "hook-failed": "Correct what the message names and restart.",
        "enabled-failed": "Correct what the message names and restart.",
        "mapper-failed": "Correct the model that the message names and restart.",
        "ready-failed": "Correct what the message names and restart.",
        "tables-failed": "Do what the message says, or `flask plugins disable NAME`; its pages answer 503 until then.",
        "template-outside": "Move the files into the folder of the plugin's name, and name them so: shop/page.html.",
        "runtime-failed": "Look into the log; correct what the message names, and restart.",
    }
)


@dataclass(frozen=True)
class PluginReport:
    """One plugin as an app sees it.

    :param origin: where it was found: a distribution, a folder, the argument of ``create_app``.
    :param module: the dotted name that it is imported under; empty when it was not.
    :param mount: the path before its URLs, or before those that it would have; empty for the root.
    :param reason: why a plugin that is no problem serves nothing, as a sentence.
    :param problem: what stopped it, or the first of its conflicts.
    :param file: where its source is, if that is known before the import.
    :param summary: what its manifest says that it is for.
    :param is_critical: whether nothing is served without it: its manifest or ``MYAPP_REQUIRED_PLUGINS`` says so.
    :param steps: how far it came, from ``found`` on.
    :param conflicts: what it and somebody else both have, each with the one who gets it.
    :param traceback: of the error that stopped it, as a text.
    """

    name: str
    version: str
    state: State
    origin: str
    module: str = ""
    mount: str = ""
    reason: str = ""
    problem: Problem | None = None
    file: str = ""
    summary: str = ""
    is_critical: bool = False
    steps: tuple[str, ...] = ()
    conflicts: tuple[Problem, ...] = ()
    traceback: str = ""


@dataclass
class PluginState:
    """What the plugin part keeps on an app."""

    hooks: HookManager
    #: Whether the plugins were looked for, and not passed to ``create_app``.
    is_discovered: bool = True
    #: What was registered, in the order of the plan, which is the order of hook calls.
    active: list[tuple[PluginContext, t.Any]] = field(default_factory=list)
    #: Whose tables each of these cannot do without: those of the plugins that it requires, and its own.
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: What keeps a plugin's tables from being those of its code, as far as is known; the database is not asked.
    find_tables_failure: Callable[[str], str] = lambda _: ""
    reports: tuple[PluginReport, ...] = ()


def get_state(app: Flask) -> PluginState:
    """Return what :func:`myapp.core.plugins.init_app` has put on ``app``."""
    return t.cast("PluginState", app.extensions[EXTENSION])


def get_report(app: Flask) -> tuple[PluginReport, ...]:
    """Return what became of each plugin: the active ones in the order of hook calls, then the others by name."""
    return tuple(_as_it_is_now(app, report) for report in get_state(app).reports)


def _as_it_is_now(app: Flask, report: PluginReport) -> PluginReport:
    """Return ``report`` with what has gone wrong since it was made."""
    # Not imported from there: reports are made where an app cannot be built, too.
    guards: Guards | None = app.extensions.get("myapp.guards")
    files: Files | None = app.extensions.get("myapp.plugin_files")
    failing = guards.find_failing(report.name) if guards is not None else None
    if report.state != "active":
        return report
    tables = get_state(app).find_tables_failure(report.name)
    if tables:
        code, summary = "tables-failed", tables
    elif failing is not None:
        code, summary = "runtime-failed", failing.summary
    elif files is not None and report.name in files.outside:
        code, summary = "template-outside", files.outside[report.name]
    else:
        return report
    return replace(report, state="degraded", problem=Problem(code, summary, HINTS[code].replace("NAME", report.name)))


def is_discovered(app: Flask) -> bool:
    """Whether the plugins were looked for; else the code has asked for these, and no decision counts."""
    return get_state(app).is_discovered
