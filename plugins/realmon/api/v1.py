"""``/realmon/api/v1``: reports, for everybody; readings, from those who may bring them."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa
from flask import Blueprint, request

from myapp import ApiException, ApiResult, ValidationError, background, get_db, scopes

from ..models import Meter
from ..posting import read_body, store_posted
from ..power import report_power
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
    meter = _find(name)
    return {
        "meter": meter.name,
        "unit": meter.unit,
        "zone": meter.building.timezone,
        "months": monthly(meter),
    }


@api_v1.post("/reports/power/<int(min=1, max=9999):year>/<int(min=1, max=12):month>")
@scopes("reports:write")
@background
def report_monthly_power(year: int, month: int) -> dict[str, t.Any]:
    """Report the month of every building as a job, and mail it to their owners (founding document 000)."""
    return report_power(year, month)


# A name may have a slash in it.
@api_v1.post("/meters/<path:name>/readings")
@scopes("readings:write")
def post_readings(name: str) -> ApiResult:
    """Store one reading or many, all of them or nothing.

    :raises ValidationError: with an entry for each thing that is wrong with the body.
    :raises ApiException: 404, when there is no meter of that name; 415, 413 and 400 for a body that cannot be read.
    """
    # Read before the first query: the database's write lock is not held while a slow client sends.
    posted = read_body()
    meter = _find(name)
    stored = store_posted(meter, posted)
    return ApiResult({"meter": meter.name, "new": stored.new, "known": stored.known}, 201)


def _find(name: str) -> Meter:
    meter = get_db().scalars(sa.select(Meter).where(Meter.name == name)).one_or_none()
    if meter is None:
        raise ApiException(f"There is no meter {name!r}. The page /realmon/ shows the ones there are.", 404)
    return meter
