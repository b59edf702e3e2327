"""``init_app`` and ``start``: scan, plan, build, seal; then the hooks of the accepted app."""

from __future__ import annotations

import itertools
import logging
import typing as t
from dataclasses import replace

from .. import data
from ..config import get_config
from ..discovery import get_report as get_module_report
from ..discovery import join
from ..errors import ConfigurationError, PluginError
from .build import Builder
from .conflicts import iter_conflicts
from .failures import attributed
from .files import init_files
from .finder import install_finder
from .guarding import guarding
from .hooks import HookManager, find_hooks
from .imports import file_of
from .live import attach
from .manifest import problem
from .plan import Plan, add_way_out, is_needed, is_wanted, make_plan, report_unserved
from .policy import iter_misspelt, iter_unknown_names, make_policy, operators_policy, refuse_contradictions
from .report import EXTENSION, PluginReport, PluginState, get_state
from .scan import from_argument, scan
from .state import read_state, remember_critical

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from flask import Flask

    from ..config import Loaded
    from ..discovery import Problem
    from .attempts import Attempts
    from .scan import Candidate
    from .state import StateFile

logger = logging.getLogger("myapp.plugins")


def init_app(app: Flask, attempts: Attempts, wanted: tuple[t.Any, ...] | None = None) -> None:
    """Find the plugins, decide which of them are served in which order, and register them.

    Reads ``MYAPP_SAFE_MODE``, ``MYAPP_PLUGIN_DIRS`` (folders below the one of devapp.py), ``MYAPP_PLUGINS`` (the only
    plugins that are enabled), ``MYAPP_PLUGINS_DISABLED``, ``MYAPP_REQUIRED_PLUGINS``, ``MYAPP_PLUGIN_ORDER``,
    ``MYAPP_BLUEPRINT_PREFIXES`` (the operator's mounts), ``MYAPP_PLUGIN_<NAME>__<KEY>``, and ``plugins.json`` in the
    instance folder.

    :param attempts: what failed in earlier builds of this app.
    :param wanted: None for those that are found; else exactly these names, modules or objects.
    :raises PluginError: when a plugin fails; in strict mode, and for a critical one, also when it is rejected. Build
        another app.
    :raises ConfigurationError: when ``plugins.json`` cannot be used, or the settings contradict each other.
    """
    loaded = get_config(app)
    finder = install_finder()
    for folder in loaded.plugin_dirs:
        finder.add_folder(folder)
    state = app.extensions[EXTENSION] = PluginState(HookManager())
    init_files(app)
    found = candidates = scan(loaded.plugin_dirs)
    state.is_discovered = wanted is None
    if wanted is not None:
        candidates = [from_argument(one, rank, candidates) for rank, one in enumerate(wanted)]
    # Also those that this app does not want: the models of a module are the process's, and stay where they are.
    data.separate_owners(_iter_siblings([*found, *candidates]))
    kept = read_state(loaded)
    if not loaded.settings.safe_mode:
        kept = _remember(loaded, candidates)
        if state.is_discovered:
            refuse_contradictions(loaded, kept)
    names = {name.partition(".")[0] for report in get_module_report(app) for name in report.blueprints}
    policy = make_policy(loaded, kept, attempts.plugins, reserved=names, is_discovered=state.is_discovered)
    settings = {key: value for key, value in app.config.items() if str(key).startswith("MYAPP_PLUGIN_")}
    prefixes: dict[str, str] = app.config.get("MYAPP_BLUEPRINT_PREFIXES") or {}
    builder = Builder(app, state, attempts, settings, prefixes)
    while True:
        plan = make_plan(candidates, policy)
        _raise_for_rejected(plan, attempts, loaded.is_strict)
        no = builder.load(plan.order)
        if not no:
            break
        policy = replace(policy, skipped={**policy.skipped, **no})
    builder.register(plan.order)
    attach(app, state, plan.order)
    critical = frozenset(candidate.name for candidate in plan.order if is_needed(candidate, policy))
    _seal(state, plan, attempts, prefixes, critical)


def start(app: Flask, attempts: Attempts) -> None:
    """Log what is not served and call ``myapp_ready``: once, for the app that ``create_app`` is about to return.

    What those have left in the process that are not served is taken away before.

    An app that is thrown away has started nothing. A plugin that fails here has been registered already, and others
    may have started threads: it stays, as ``degraded``.

    :raises PluginError: in strict mode, and of a critical plugin.
    """
    attempts.end()
    state = get_state(app)
    state.reports = tuple(_with_conflicts(app, state.reports))
    _log(app, state.reports)
    for plugin, target in state.active:
        report = next(report for report in state.reports if report.name == plugin.name and "migrations" in report.steps)
        try:
            if state.hooks.find("myapp_ready", target) is not None:
                with (
                    attributed(plugin, "ready-failed", file_of(target)),
                    guarding(app, plugin.name),
                ):
                    state.hooks.call("myapp_ready", target, app=app, plugin=plugin)
            changed = replace(report, steps=(*report.steps, "ready"))
        except PluginError as error:
            wrong = problem(error.code, error.summary)
            if report.is_critical:
                loaded = get_config(app)
                policy = replace(operators_policy(loaded, read_state(loaded)), is_discovered=state.is_discovered)
                raise error.as_critical(add_way_out(wrong, plugin.name, policy).hint) from error
            if get_config(app).is_strict:
                raise
            logger.error("The plugin %s is served, but its myapp_ready failed.\n%s", plugin.name, error.traceback)
            changed = replace(report, state="degraded", problem=wrong, traceback=error.traceback)
        state.reports = tuple(changed if one is report else one for one in state.reports)


def _iter_siblings(candidates: Iterable[Candidate]) -> Iterator[str]:
    """Yield the largest package, or the module, of each plugin that shares its import root and has that to itself."""
    modules = {one.module.partition(":")[0] for one in candidates if one.module and one.target is None}
    for module in modules:
        others = modules - {module}
        packages = itertools.accumulate(module.split("."), "{}.{}".format)
        own = next((one for one in packages if not any(data.is_below(other, one) for other in others)), module)
        if own != data.import_root(module):
            yield own


def _remember(loaded: Loaded, candidates: Sequence[Candidate]) -> StateFile:
    """Keep which of the candidates are critical, and return what is kept of all.

    :raises ConfigurationError: when the file cannot be used.
    """
    found = {}
    kept = read_state(loaded).require()
    policy = operators_policy(loaded, kept)
    for candidate in reversed(candidates):
        # Reversed: of two with one name the first counts.
        if candidate.is_critical is not None and candidate.target is None:
            # One that nobody has switched on is not missed when it is gone.
            found[candidate.name] = (candidate.is_critical and is_wanted(candidate, policy), candidate.origin)
    try:
        return remember_critical(loaded, found)
    except ConfigurationError as error:
        # A folder that cannot be written is no reason not to serve; what is lost is the memory alone.
        names = ", ".join(sorted(name for name, (is_critical, _) in found.items() if is_critical))
        logger.warning(
            "That %s is critical cannot be remembered for the day on which its manifest cannot be read; name it in"
            " MYAPP_REQUIRED_PLUGINS. %s",
            names,
            error.problems[0],
        )
        return kept


def _raise_for_rejected(plan: Plan, attempts: Attempts, is_strict: bool) -> None:
    """Refuse to go on without a critical plugin, or, in strict mode, without any that is not off.

    :raises PluginError: for the first of them.
    """
    for report in plan.rejected:
        wrong = report.problem
        if wrong is not None and (is_strict or report.is_critical):
            failure = attempts.plugins.get(report.name)
            raise PluginError(
                report.name,
                wrong.code,
                wrong.summary,
                hint=wrong.hint,
                is_critical=report.is_critical,
                traceback=failure.traceback if failure else "",
            )


def _seal(
    state: PluginState, plan: Plan, attempts: Attempts, prefixes: Mapping[str, str], critical: frozenset[str]
) -> None:
    candidates = {candidate.name: candidate for candidate in plan.order}
    reports = []
    for plugin, target in state.active:
        candidate = candidates[plugin.name]
        report = report_unserved(candidate, "active")
        reports.append(
            replace(
                report,
                module=plugin.module,
                mount=plugin.mount,
                file=file_of(target) or "",
                reason=_reason(candidate, target, state.hooks.silent.get(plugin.name, ())),
                is_critical=plugin.name in critical,
                steps=tuple(attempts.steps[plugin.name]),
            )
        )
    for report in plan.rejected:
        failure = attempts.plugins.get(report.name)
        if failure is not None and report.problem is not None and report.problem.code == failure.code:
            report = replace(report, steps=failure.steps, traceback=failure.traceback)
        # Where the operator has put it.
        mount = join("", prefixes[report.name]) if report.name in prefixes else report.mount
        reports.append(replace(report, mount=mount))
    state.reports = tuple(reports)


def _reason(candidate: Candidate, target: t.Any, silent: Sequence[str]) -> str:
    """Return what its author may not have meant, though it is no problem."""
    if not find_hooks(target):
        return "It serves nothing: it has none of the hooks; docs/plugins-reference.md lists them."
    if silent:
        return f"Its {' and its '.join(silent)} returned nothing: is a `return` missing?"
    return "" if candidate.has_manifest else "It has no manifest."


def _with_conflicts(app: Flask, reports: Sequence[PluginReport]) -> Iterator[PluginReport]:
    conflicts: dict[str, list[Problem]] = {}
    for name, one in iter_conflicts(app):
        conflicts.setdefault(name, []).append(one)
    for report in reports:
        if report.state == "active" and report.name in conflicts:
            found = tuple(conflicts[report.name])
            report = replace(report, conflicts=found, problem=found[0])
        yield report


def _log(app: Flask, reports: Sequence[PluginReport]) -> None:
    """Say what is not as somebody wants it: once, for the app that stands."""
    if get_config(app).settings.safe_mode:
        logger.warning("MYAPP_SAFE_MODE is on: no plugin is loaded.")
    for key, meant in iter_misspelt(app):
        logger.warning("%s is ignored. Did you mean %s?", key, meant)
    for _, summary in iter_unknown_names(app):
        logger.warning(summary)
    for report in reports:
        if report.problem is not None and report.state == "active":
            for conflict in report.conflicts:
                logger.error("The plugin %s is served, but: %s", report.name, conflict.summary)
        elif report.problem is not None:
            text = f"\n{report.traceback}" if report.traceback else ""
            logger.error(
                "The plugin %s is not served (%s): %s%s", report.name, report.state, report.problem.summary, text
            )
        elif report.state == "active" and report.name in get_state(app).hooks.silent:
            logger.warning("The plugin %s is served, but: %s", report.name, report.reason)
        elif report.is_critical and report.state == "disabled":
            logger.warning("The critical plugin %s is not loaded: %s", report.name, report.reason)
