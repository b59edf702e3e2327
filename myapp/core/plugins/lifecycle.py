"""``init_app`` and ``start``: scan, plan, build, seal; then the hooks of the accepted app."""

from __future__ import annotations

import logging
import typing as t
from dataclasses import replace
from importlib import import_module

from ..config import did_you_mean, get_config
from ..discovery import get_report as get_module_report
from ..discovery import join
from ..errors import PluginError
from .breaker import Guards
from .build import attributed, build, file_of
from .finder import install_finder
from .hooks import HookManager
from .manifest import problem
from .ownership import guarding
from .plan import RESERVED, Plan, Policy, make_plan, report_unserved
from .report import EXTENSION, PluginReport, PluginState, get_state
from .scan import from_argument, scan
from .slots import attach_slots

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flask import Flask

    from ..config import Loaded
    from .scan import Candidate

logger = logging.getLogger("myapp.plugins")


def init_app(
    app: Flask, wanted: tuple[t.Any, ...] | None = None, quarantined: Mapping[str, Exception] | None = None
) -> None:
    """Find the plugins, decide which of them are served in which order, and register them.

    Reads ``MYAPP_PLUGIN_DIRS`` (folders below the one of devapp.py), ``MYAPP_PLUGINS`` (the only plugins that may be
    loaded), ``MYAPP_PLUGINS_DISABLED``, ``MYAPP_BLUEPRINT_PREFIXES`` (the operator's mounts) and
    ``MYAPP_PLUGIN_<NAME>__<KEY>``.

    :param wanted: None for those that are found; else exactly these names, modules or objects.
    :param quarantined: the plugins that failed in earlier builds of this app, with their errors. Errors of blueprint
        modules may be among them: a dotted name is no plugin's.
    :raises PluginError: when a plugin fails; in strict mode also when one is rejected. Build another app.
    """
    loaded = get_config(app)
    finder = install_finder()
    for folder in loaded.plugin_dirs:
        finder.add_folder(folder)
    state = app.extensions[EXTENSION] = PluginState(HookManager(), Guards(app))
    candidates = scan(loaded.plugin_dirs)
    state.is_discovered = wanted is None
    if wanted is not None:
        candidates = [from_argument(one, rank, candidates) for rank, one in enumerate(wanted)]
    plan = make_plan(candidates, _policy(app, loaded, wanted, quarantined or {}))
    if loaded.is_strict:
        _raise_for_rejected(plan)
    prefixes: dict[str, str] = app.config.get("MYAPP_BLUEPRINT_PREFIXES") or {}
    state.guards.critical = frozenset(candidate.name for candidate in plan.order if _is_critical(candidate))
    build(app, state, plan.order, prefixes)
    attach_slots(app, state)
    _seal(state, plan, prefixes)


def start(app: Flask) -> None:
    """Log what is not served and call ``myapp_ready``: once, for the app that ``create_app`` is about to return.

    An app that is thrown away has started nothing. A plugin that fails here has been registered already, and others
    may have started threads: it stays, as ``degraded``.

    :raises PluginError: in strict mode.
    """
    state = get_state(app)
    for _, summary in iter_unknown_names(app):
        logger.warning(summary)
    for report in state.reports:
        if report.problem is not None:
            logger.error("The plugin %s is not served (%s): %s", report.name, report.state, report.problem.summary)
    for plugin, target in state.active:
        try:
            with (
                attributed(plugin.name, "ready-failed", file_of(target)),
                guarding(app, state.guards, plugin.name),
            ):
                state.hooks.call("myapp_ready", target, app=app, plugin=plugin)
        except PluginError as error:
            if get_config(app).is_strict:
                raise
            logger.exception("The plugin %s is served, but its myapp_ready failed.", plugin.name)
            state.reports = tuple(
                replace(report, state="degraded", problem=problem(error.code, error.summary))
                if report.name == plugin.name and report.state == "active"
                else report
                for report in state.reports
            )


def iter_unknown_names(app: Flask) -> Iterator[tuple[str, str]]:
    """Yield each setting that names a plugin that there is not, with a sentence about it."""
    state, settings = get_state(app), get_config(app).settings
    if not state.is_discovered:
        return
    known = [report.name for report in state.reports]
    for key, names in (
        ("MYAPP_PLUGINS", settings.plugins or ()),
        ("MYAPP_PLUGINS_DISABLED", settings.plugins_disabled),
    ):
        for name in names:
            if name.replace("-", "_") not in known:
                yield key, f"{key} names {name}, which is no plugin.{did_you_mean(name, known)}"


def scan_offline(loaded: Loaded) -> tuple[PluginReport, ...]:
    """Return what can be said of the plugins without importing one, for the time when the app cannot boot."""
    plan = make_plan(scan(loaded.plugin_dirs), _operators_policy(loaded, RESERVED))
    found = [report_unserved(candidate, "unknown") for candidate in plan.order]
    return (*found, *plan.rejected)


def _policy(
    app: Flask, loaded: Loaded, wanted: tuple[t.Any, ...] | None, quarantined: Mapping[str, Exception]
) -> Policy:
    names = {name.partition(".")[0] for report in get_module_report(app) for name in report.blueprints}
    policy = _operators_policy(loaded, RESERVED | names | {"static"})
    if wanted is not None:
        # What the code asks for by name is neither discovered nor up to the operator's lists.
        policy = replace(policy, allowed=None, disabled=frozenset())
    errors = [error for error in quarantined.values() if isinstance(error, PluginError)]
    return replace(policy, quarantined={error.plugin: problem(error.code, error.summary) for error in errors})


def _operators_policy(loaded: Loaded, reserved: frozenset[str]) -> Policy:
    allowed = loaded.settings.plugins
    return Policy(
        allowed=None if allowed is None else frozenset(name.replace("-", "_") for name in allowed),
        disabled=frozenset(name.replace("-", "_") for name in loaded.settings.plugins_disabled),
        reserved=reserved,
        app_version=_own_version(),
    )


def _own_version() -> str:
    # Not from the installed metadata: a checkout need not be installed.
    return str(import_module(__name__.partition(".")[0]).__version__)


def _is_critical(candidate: Candidate) -> bool:
    return bool(candidate.manifest.get("critical"))


def _raise_for_rejected(plan: Plan) -> None:
    for report in plan.rejected:
        if report.problem is not None:
            raise PluginError(report.name, report.problem.code, report.problem.summary)


def _seal(state: PluginState, plan: Plan, prefixes: Mapping[str, str]) -> None:
    candidates = {candidate.name: candidate for candidate in plan.order}
    active = [
        PluginReport(
            plugin.name,
            plugin.version,
            "active",
            candidates[plugin.name].origin,
            module=plugin.module,
            mount=plugin.mount,
            file=file_of(target) or "",
            is_critical=plugin.name in state.guards.critical,
        )
        for plugin, target in state.active
    ]
    # Where the operator has put the others.
    rejected = [
        replace(report, mount=join("", prefixes[report.name])) if report.name in prefixes else report
        for report in plan.rejected
    ]
    state.reports = (*active, *rejected)
