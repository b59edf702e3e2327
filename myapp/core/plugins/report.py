"""What became of each plugin of an app, and why."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ..discovery import Problem

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

    from .breaker import Guards
    from .context import PluginContext
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

#: The state that each problem leads to. The codes are stable; ``docs/plugins.md`` describes them.
STATES: Mapping[str, State] = MappingProxyType(
    {
        "syntax-error": "broken-import",
        "import-failed": "broken-import",
        "not-found": "broken-import",
        "no-init-file": "broken-import",
        "outside-folder": "broken-import",
        "manifest-invalid": "misconfigured",
        "name-invalid": "misconfigured",
        "settings-invalid": "misconfigured",
        "name-reserved": "conflict",
        "name-taken": "conflict",
        "app-version": "incompatible",
        "requires-missing": "missing-dependency",
        "requires-cycle": "missing-dependency",
        "hook-unknown": "broken-register",
        "hook-failed": "broken-register",
        "ready-failed": "degraded",
        "runtime-failed": "degraded",
    }
)

HINTS: Mapping[str, str] = MappingProxyType(
    {
        "syntax-error": "Correct the line that the message names and restart.",
        "import-failed": "Correct what the message names, or install what is missing, and restart.",
        "not-found": "`flask plugins list` shows the plugins that there are.",
        "no-init-file": "Create an __init__.py in it, or move its files away.",
        "outside-folder": "Copy the plugin into the folder, or list its own folder in MYAPP_PLUGIN_DIRS.",
        "manifest-invalid": "Correct __plugin__; docs/plugins.md lists its keys.",
        "name-invalid": "Rename it: a lower-case letter, then letters, digits and _, 2 to 40 in all.",
        "settings-invalid": "Correct the settings that the message names and restart.",
        "name-reserved": "Rename the plugin: the core uses this name.",
        "name-taken": "Rename or remove one of the two.",
        "app-version": "Install a version of the plugin that is made for this version of myapp.",
        "requires-missing": "Install or repair the plugin that it requires, or remove this one.",
        "requires-cycle": "Take one of the requirements, `after` or `before` away.",
        "hook-unknown": "Rename the function, or remove it.",
        "hook-failed": "Correct what the message names and restart.",
        "ready-failed": "Correct what the message names and restart.",
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
    :param file: where its source is, if that is known before the import.
    :param is_critical: whether the site is not served without it.
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
    is_critical: bool = False


@dataclass
class PluginState:
    """What the plugin part keeps on an app."""

    hooks: HookManager
    guards: Guards
    #: Whether the plugins were looked for, and not passed to ``create_app``.
    is_discovered: bool = True
    #: What was registered, in the order of the plan, which is the order of hook calls.
    active: list[tuple[PluginContext, t.Any]] = field(default_factory=list)
    reports: tuple[PluginReport, ...] = ()


def get_state(app: Flask) -> PluginState:
    """Return what :func:`myapp.core.plugins.init_app` has put on ``app``."""
    return t.cast("PluginState", app.extensions[EXTENSION])


def get_report(app: Flask) -> tuple[PluginReport, ...]:
    """Return what became of each plugin: the active ones in the order of hook calls, then the others by name."""
    state = get_state(app)
    return tuple(_as_it_is_now(report, state.guards) for report in state.reports)


def _as_it_is_now(report: PluginReport, guards: Guards) -> PluginReport:
    failing = guards.find_failing(report.name) if report.state == "active" else None
    if failing is None:
        return report
    problem = Problem("runtime-failed", failing.summary, HINTS["runtime-failed"])
    return replace(report, state="degraded", problem=problem)
