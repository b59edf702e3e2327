"""What plugins do while the app runs: attached when all of them are registered."""

from __future__ import annotations

import typing as t

from ..discovery import get_report as get_module_report
from ..policy import ContentPolicy
from .breaker import get_guards
from .health import attach_health
from .report import get_report, get_state
from .settings import redact
from .slots import attach_slots
from .tables import attach_tables

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask, Response

    from .health import Probe
    from .report import PluginState
    from .scan import Candidate

EXTENSION = "myapp.probes"
HEADER = "X-Myapp-Degraded"


def attach(app: Flask, state: PluginState, order: Sequence[Candidate]) -> None:
    """Attach slots, health checks, policies and the look at the tables of the plugins that were registered.

    :param order: what was built, for the manifests.
    """
    guards, settings = get_guards(app), {plugin.name: plugin.config for plugin, _ in state.active}
    guards.is_critical = lambda plugin: _is_critical(app, plugin)
    guards.redact = lambda plugin, text: redact(settings.get(plugin), text)
    attach_tables(app, state, order)
    attach_slots(app, state)
    app.extensions[EXTENSION] = attach_health(app, state)
    added = {candidate.name: candidate.manifest.get("csp") for candidate in order}
    app.extensions["myapp.web"].policies = {name: ContentPolicy(csp) for name, csp in added.items() if csp}
    if app.debug:
        _name_degraded(app)


def get_probes(app: Flask) -> list[Probe]:
    """Return the health checks of the plugins that have one, in the order of ``flask plugins list``."""
    return t.cast("list[Probe]", app.extensions[EXTENSION])


def _name_degraded(app: Flask) -> None:
    """Say in a header of each answer what is not served, or not well: a developer looks at the page first."""
    process_response = app.process_response

    def process_and_name(*args: t.Any) -> Response:
        response = process_response(*args)
        names = [report.name for report in get_module_report(app) if report.problem is not None]
        names += [report.name for report in get_report(app) if report.problem is not None]
        if names:
            # A header is ASCII, and a module may have any name.
            response.headers[HEADER] = ", ".join(names).encode("ascii", "replace").decode()
        return response

    app.process_response = process_and_name  # type: ignore[method-assign,assignment]


def _is_critical(app: Flask, plugin: str) -> bool:
    # From the report, and when it is wanted: the manifest is not the only one who decides.
    return any(report.is_critical for report in get_state(app).reports if report.name == plugin)
