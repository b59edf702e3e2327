"""``/realmon/api/v1``: reports, for everybody."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa
from flask import Blueprint, request

from myapp import ApiException, ValidationError, get_db

from ..models import Meter
from ..reports import monthly

api_v1 = Blueprint("api_v1", __name__)


@api_v1.get("/reports/monthly")
def report_monthly() -> dict[str, t.Any]:
    """Return the months of the meter that the query names.

    :raises ValidationError: without a ``meter``.
    :raises ApiException: 404, when there is none of that name.
    """
    name = request.args.get("meter", "").strip()
    if not name:
        raise ValidationError(
            errors=[{"parameter": "meter", "code": "required", "detail": "Name the meter: ?meter=NAME."}]
        )
    meter = get_db().scalars(sa.select(Meter).where(Meter.name == name)).one_or_none()
    if meter is None:
        raise ApiException(f"There is no meter {name!r}. The page /realmon/ shows the ones there are.", 404)
    return {
        "meter": meter.name,
        "unit": meter.unit,
        "zone": meter.building.timezone,
        "months": monthly(meter),
    }
