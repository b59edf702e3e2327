"""What can be said of the plugins when the app cannot boot; it needs neither the app nor the database's library."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .manifest import problem
from .plan import add_way_out, is_needed, make_plan, report_unserved
from .policy import operators_policy
from .report import HINTS, STATES
from .scan import scan
from .settings import iter_settings
from .state import read_state

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..config import Loaded
    from ..errors import PluginError
    from .plan import Policy
    from .report import PluginReport
    from .settings import Setting


def scan_offline(loaded: Loaded, failure: PluginError | None = None) -> tuple[PluginReport, ...]:
    """Return what can be said of the plugins without importing one.

    :param failure: what stopped the start, if it was a plugin.
    """
    policy = operators_policy(loaded, read_state(loaded))
    plan = make_plan(scan(loaded.plugin_dirs), policy)
    found = [
        replace(report_unserved(candidate, "unknown"), is_critical=is_needed(candidate, policy))
        for candidate in plan.order
    ]
    return tuple(_with_failure(report, failure, policy) for report in (*found, *plan.rejected))


def _with_failure(report: PluginReport, failure: PluginError | None, policy: Policy) -> PluginReport:
    # A code that is not ours is that of an error which the plugin has raised itself.
    if failure is None or failure.plugin != report.name or report.problem is not None or failure.code not in HINTS:
        return report
    wrong = problem(failure.code, failure.summary)
    if failure.hint:
        wrong = replace(wrong, hint=failure.hint)
    elif report.is_critical or failure.is_critical:
        wrong = add_way_out(wrong, report.name, policy)
    return replace(report, state=STATES[failure.code], problem=wrong, traceback=failure.traceback)


def read_manifests(loaded: Loaded) -> dict[str, Mapping[str, t.Any]]:
    """Return what can be read of each plugin's manifest, by name; of two with one name the first counts."""
    manifests: dict[str, Mapping[str, t.Any]] = {}
    for candidate in scan(loaded.plugin_dirs):
        manifests.setdefault(candidate.name, candidate.manifest)
    return manifests


def iter_declared(loaded: Loaded) -> Iterator[Setting]:
    """Yield the settings that the plugins declare in their manifests, whether they are loaded or not."""
    for name, manifest in read_manifests(loaded).items():
        yield from iter_settings(name, manifest.get("config", {}))
