"""The report of one month: every meter of every building, mailed to the buildings' owners."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa
from flask import current_app

from myapp import create_message, get_db, send_mail

from .models import Building, Meter
from .reports import Month, monthly

if t.TYPE_CHECKING:
    from collections.abc import Iterable


class MeterMonth(t.NamedTuple):
    """One month of one meter; None when the meter had not begun, or has ended before."""

    meter: Meter
    month: Month | None

    def to_json(self) -> dict[str, t.Any]:
        """Return the month as the API shows it."""
        shown = {"readings": 0, "kwh": None, "gaps": 0} if self.month is None else self.month.to_json()
        return {"meter": self.meter.name} | {key: shown[key] for key in ("readings", "kwh", "gaps")}


def report_power(year: int, month: int) -> dict[str, t.Any]:
    """Return what the meters of each building counted in a month, and mail it to the owners.

    The mails are queued with the commit: of a report that is made twice, because a worker died, only one is sent.
    """
    name = f"{year:04}-{month:02}"
    # Adding up takes a while, and a task that writes holds SQLite's write lock from its first query on.
    with current_app.task(read_only=True):
        buildings = get_db().scalars(sa.select(Building).order_by(Building.name)).all()
        reports = [(building, list(_iter_rows(building, name))) for building in buildings]
    mailed = [(building, rows) for building, rows in reports if building.owner is not None and rows]
    for building, rows in mailed:
        send_mail(
            create_message(
                "realmon/emails/power", recipients=[building.owner], building=building, month=name, rows=rows
            )
        )
    shown = [{"building": building.name, "meters": rows} for building, rows in reports]
    return {"month": name, "buildings": shown, "mails": len(mailed)}


def _iter_rows(building: Building, name: str) -> Iterable[MeterMonth]:
    query = sa.select(Meter).where(Meter.building_id == building.id).order_by(Meter.name)
    for meter in get_db().scalars(query).all():
        yield MeterMonth(meter, next((month for month in monthly(meter) if month.month == name), None))
