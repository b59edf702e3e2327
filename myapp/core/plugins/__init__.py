"""Plugins: scan, plan, build, seal. See ``docs/plugins.md``."""

from __future__ import annotations

import typing as t
from importlib import import_module

if t.TYPE_CHECKING:
    from .attempts import Attempts as Attempts
    from .attempts import attempting as attempting
    from .breaker import get_guards as get_guards
    from .context import PluginContext as PluginContext
    from .health import Outcome as Outcome
    from .health import Probe as Probe
    from .health import Status as Status
    from .health import measure as measure
    from .hookspecs import hookimpl as hookimpl
    from .lifecycle import init_app as init_app
    from .lifecycle import start as start
    from .live import get_probes as get_probes
    from .offline import iter_declared as iter_declared
    from .offline import read_manifests as read_manifests
    from .offline import scan_offline as scan_offline
    from .policy import iter_misspelt as iter_misspelt
    from .policy import iter_unknown_names as iter_unknown_names
    from .report import HINTS as HINTS
    from .report import STATES as STATES
    from .report import PluginReport as PluginReport
    from .report import get_report as get_report
    from .report import is_discovered as is_discovered
    from .scaffold import create_plugin as create_plugin
    from .scan import iter_editable as iter_editable
    from .state import Kept as Kept
    from .state import StateFile as StateFile
    from .state import decide as decide
    from .state import read_state as read_state

__all__ = [
    "HINTS",
    "STATES",
    "Attempts",
    "Kept",
    "Outcome",
    "PluginContext",
    "PluginReport",
    "Probe",
    "StateFile",
    "Status",
    "attempting",
    "create_plugin",
    "decide",
    "get_guards",
    "get_probes",
    "get_report",
    "hookimpl",
    "init_app",
    "is_discovered",
    "iter_declared",
    "iter_editable",
    "iter_misspelt",
    "iter_unknown_names",
    "measure",
    "read_manifests",
    "read_state",
    "scan_offline",
    "start",
]

#: Which module gives which name. Resolved at first use (PEP 562): ``import myapp`` installs the finder of this
#: package, and must not import Flask and SQLAlchemy for it.
_MODULES = {
    "Attempts": "attempts",
    "HINTS": "report",
    "STATES": "report",
    "attempting": "attempts",
    "Kept": "state",
    "Outcome": "health",
    "PluginContext": "context",
    "PluginReport": "report",
    "Probe": "health",
    "StateFile": "state",
    "Status": "health",
    "create_plugin": "scaffold",
    "decide": "state",
    "get_guards": "breaker",
    "get_probes": "live",
    "get_report": "report",
    "hookimpl": "hookspecs",
    "init_app": "lifecycle",
    "is_discovered": "report",
    "iter_misspelt": "policy",
    "iter_unknown_names": "policy",
    "measure": "health",
    "read_manifests": "offline",
    "read_state": "state",
    "iter_declared": "offline",
    "iter_editable": "scan",
    "scan_offline": "offline",
    "start": "lifecycle",
}


def __getattr__(name: str) -> t.Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    return value
