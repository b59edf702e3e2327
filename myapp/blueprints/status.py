"""``/status``: whether the application is well, for everybody who may ask; in detail for an operator."""

from __future__ import annotations

from flask import Blueprint, current_app

from myapp import ApiResult
from myapp.core import ops

blueprint = Blueprint("status", __name__)


@blueprint.get("/status")
def status() -> ApiResult:
    """Return ``{"status": "ok"}``, or ``"degraded"`` when a check fails or something is not served.

    :raises ApiException: 401, when there is a token and it is bad.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    return ApiResult(
        ops.read_status(app, is_complete=ops.is_operator(app)),
        headers={"Cache-Control": "no-store", "Vary": "Authorization"},
    )
