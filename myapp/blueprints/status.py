"""``/status``: whether the application is well, for everybody who may ask."""

from __future__ import annotations

from flask import Blueprint, current_app

from myapp import ApiResult
from myapp.core import discovery, ops, plugins

blueprint = Blueprint("status", __name__)


@blueprint.get("/status")
def status() -> ApiResult:
    """Return ``{"status": "ok"}``, or ``"degraded"`` when a dependency is down or something could not be loaded."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    problems = [report.problem for report in discovery.get_report(app)]
    problems += [report.problem for report in plugins.get_report(app)]
    is_ready = all(check.is_ok for check in ops.check_health(app))
    return ApiResult(
        {"status": "ok" if is_ready and not any(problems) else "degraded"}, headers={"Cache-Control": "no-store"}
    )
