"""What can be said of the plugins when the app cannot boot; it needs neither the app nor the database's library."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .plan import is_needed, make_plan, report_unserved
from .policy import operators_policy
from .scan import scan
from .settings import iter_settings
from .state import read_state

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config import Loaded
    from .report import PluginReport
    from .settings import Setting


def scan_offline(loaded: Loaded) -> tuple[PluginReport, ...]:
    """Return what can be said of the plugins without importing one."""
    policy = operators_policy(loaded, read_state(loaded))
    plan = make_plan(scan(loaded.plugin_dirs), policy)
    found = [
        replace(report_unserved(candidate, "unknown"), is_critical=is_needed(candidate, policy))
        for candidate in plan.order
    ]
    return (*found, *plan.rejected)


def iter_declared(loaded: Loaded) -> Iterator[Setting]:
    """Yield the settings that the plugins declare in their manifests, whether they are loaded or not.

    Of two plugins with one name the first counts.
    """
    seen: set[str] = set()
    for candidate in scan(loaded.plugin_dirs):
        if candidate.name not in seen:
            seen.add(candidate.name)
            yield from iter_settings(candidate.name, candidate.manifest.get("config", {}))
