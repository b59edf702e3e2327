"""What ``/status`` tells: one word to everybody, and everything to an operator."""

from __future__ import annotations

import ipaddress
import time
import typing as t
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from flask import request
from sqlalchemy.exc import SQLAlchemyError

from .. import discovery, plugins
from ..access import has_scope
from ..config import get_config, own_version
from ..errors import SchemaError
from .health import check_health

if t.TYPE_CHECKING:
    from flask import Flask

    from ..discovery import ModuleReport
    from ..plugins import PluginReport

EXTENSION = "myapp.ops"
#: More than a plugin has: the first look imports Alembic, and in development it may upgrade the tables.
DATABASE_SECONDS = 3.0
#: The scope of a token that may read everything.
SCOPE = "status:read"
#: Who sends one of these stands before others: whoever is behind it is not on this machine.
FORWARDED = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP")


@dataclass
class OpsState:
    """What the operations of one app keep."""

    database: plugins.Probe
    started: float


def init_app(app: Flask) -> None:
    """Begin to count the time, and make the probe of the database."""

    def check() -> tuple[plugins.Status, str]:
        found = check_health(app)[0]
        return ("ok" if found.is_ok else "down"), found.detail

    probe = plugins.Probe("database", check, lambda: plugins.get_guards(app).clock(), DATABASE_SECONDS)
    app.extensions[EXTENSION] = OpsState(probe, time.monotonic())


def read_status(app: Flask, *, is_complete: bool) -> dict[str, t.Any]:
    """Return ``{"status": "ok"}``, or ``"degraded"`` when a check is not ok, or something is not served.

    :param is_complete: whether version, uptime, safe mode, checks, plugins and broken blueprint modules are told, too.
    """
    state: OpsState = app.extensions[EXTENSION]
    # The plugins after the database, whose first look may have to bring the tables that theirs need.
    outcomes = plugins.measure([state.database]) + plugins.measure(plugins.get_probes(app))
    modules = [report for report in discovery.get_report(app) if report.problem is not None]
    reports = plugins.get_report(app)
    is_safe = get_config(app).settings.safe_mode
    is_well = (
        not is_safe
        and all(outcome.status == "ok" for outcome in outcomes)
        and not modules
        and not any(report.problem for report in reports)
    )
    status = {"status": "ok" if is_well else "degraded"}
    if not is_complete:
        return status
    guards = plugins.get_guards(app)
    return {
        **status,
        "version": own_version(),
        "uptime_seconds": round(time.monotonic() - state.started, 1),
        "safe_mode": is_safe,
        "checks": [{**outcome._asdict(), "milliseconds": round(outcome.milliseconds, 1)} for outcome in outcomes],
        "plugins": [
            {**_describe(report), "version": report.version, "failures": guards.count_failures(report.name)}
            for report in reports
        ],
        "blueprints": [_describe(report) for report in modules],
    }


def is_operator(app: Flask) -> bool:
    """Whether the request may be told everything: a token with the scope ``status:read``, or development on loopback.

    A header never makes an operator of anybody; one of a proxy takes it away from whoever is behind it.

    :raises ApiException: 401, when there is a token and it is bad.
    """
    if get_config(app).is_development and _is_local():
        return True
    try:
        return has_scope(SCOPE)
    except (SQLAlchemyError, SchemaError):
        # The state of the database is the first thing to be told, and it is told without it.
        return False


def _describe(report: ModuleReport | PluginReport) -> dict[str, t.Any]:
    problem = None if report.problem is None else asdict(report.problem)
    return {"name": report.name, "state": report.state, "problem": problem}


def _is_local() -> bool:
    """Whether the request comes from this machine, and was meant for it."""
    environ = request.environ
    if any(name in environ for name in FORWARDED) or "werkzeug.proxy_fix.orig" in environ:
        return False
    # A page of another site can have its name lead here; the Host says so.
    host = urlsplit(f"//{request.host}").hostname or ""
    return _is_loopback(environ.get("REMOTE_ADDR", "")) and (host == "localhost" or _is_loopback(host))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
