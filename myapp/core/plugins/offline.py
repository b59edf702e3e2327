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
    from collections.abc import Iterator, Mapping

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
