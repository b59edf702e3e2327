"""Months of a meter: how many readings, their exact sum, how many are missing."""

from __future__ import annotations

import typing as t
from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from myapp import get_db

from .decimals import EXACT, exact_sum, rounded
from .models import UNITS, Meter, Reading

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal
    from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Month:
    """One calendar month of the building's zone."""

    #: Such as ``2015-11``.
    month: str
    readings: int
    #: The exact sum, rounded half-even to 6 decimals, as text.
    kwh: str
    #: Intervals without a reading, between the meter's first and last one.
    gaps: int

    def to_json(self) -> dict[str, t.Any]:
        """Return the month as the API shows it."""
        return {"month": self.month, "readings": self.readings, "kwh": self.kwh, "gaps": self.gaps}


def monthly(meter: Meter) -> list[Month]:
    """Return the months from the meter's first reading to its last, those without any reading included."""
    # Columns and not objects: twenty thousand of them are one report.
    query = sa.select(Reading.start, Reading.value).where(Reading.meter_id == meter.id).order_by(Reading.start)
    rows = get_db().execute(query).all()
    starts = [row[0] for row in rows]
    values = [row[1] for row in rows]
    return list(iter_months(starts, values, meter.building.zone, meter.interval_seconds or 1, UNITS[meter.unit]))


def iter_months(
    starts: list[int], values: list[Decimal], zone: ZoneInfo, interval: int, kwh_exponent: int = 0
) -> Iterator[Month]:
    """Yield the months of sorted readings.

    :param starts: seconds since 1970, a multiple of ``interval`` apart.
    :param values: the value of each.
    :param interval: in seconds.
    :param kwh_exponent: the power of ten of a kWh that the values count in.
    """
    if not starts:
        return
    first = datetime.fromtimestamp(starts[0], zone)
    year, month = first.year, first.month
    begin, position = starts[0], 0
    while position < len(starts):
        following = (year + month // 12, month % 12 + 1)
        # What the meter should have read from here on: up to the month's end, or up to the last reading.
        end = min(int(datetime(*following, 1, tzinfo=zone).timestamp()), starts[-1] + interval)
        expected = -((begin - end) // interval)
        after = bisect_left(starts, end, position)
        total = exact_sum(values[position:after]).scaleb(kwh_exponent, context=EXACT)
        yield Month(f"{year:04}-{month:02}", after - position, rounded(total), expected - (after - position))
        begin += expected * interval
        position = after
        year, month = following
