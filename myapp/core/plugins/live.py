"""What plugins do while the app runs: attached when all of them are registered."""

from __future__ import annotations

import typing as t

from ..policy import ContentPolicy
from .breaker import get_guards
from .health import attach_health
from .report import get_state
from .slots import attach_slots

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask

    from .health import Probe
    from .report import PluginState
    from .scan import Candidate

EXTENSION = "myapp.probes"


def attach(app: Flask, state: PluginState, order: Sequence[Candidate]) -> None:
    """Attach slots, health checks and policies of the plugins that were registered.

    :param order: what was built, for the manifests.
    """
    get_guards(app).is_critical = lambda plugin: _is_critical(app, plugin)
    attach_slots(app, state)
    app.extensions[EXTENSION] = attach_health(app, state)
    added = {candidate.name: candidate.manifest.get("csp") for candidate in order}
    app.extensions["myapp.web"].policies = {name: ContentPolicy(csp) for name, csp in added.items() if csp}


def get_probes(app: Flask) -> list[Probe]:
    """Return the health checks of the plugins that have one, in the order of ``flask plugins list``."""
    return t.cast("list[Probe]", app.extensions[EXTENSION])


def _is_critical(app: Flask, plugin: str) -> bool:
    # From the report, and when it is wanted: the manifest is not the only one who decides.
    return any(report.is_critical for report in get_state(app).reports if report.name == plugin)
