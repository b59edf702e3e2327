"""How the energy monitor is: whether its zones are known here, and how far its readings go."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa

from myapp import get_db

from .models import Building, Meter, Reading


def look() -> str | tuple[str, str]:
    """Return what ``/status`` says of this plugin.

    A building whose zone the machine does not know has no months: its page and its reports fail.
    """
    db = get_db()
    unknown = [zone for zone in db.scalars(sa.select(Building.timezone).distinct()) if not _is_known(zone)]
    if unknown:
        return "degraded", f"zones that this machine does not know: {', '.join(sorted(unknown))}; install tzdata"
    # One look at the end of each meter's readings, which are in order; not a look at all of them.
    latest = sa.select(sa.func.max(Reading.start)).where(Reading.meter_id == Meter.id).scalar_subquery()
    count, start = db.execute(sa.select(sa.func.count(Meter.id), sa.func.max(latest))).one()
    if start is None:
        return f"meters: {count}, no readings"
    return f"meters: {count}, latest reading: {datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M} UTC"


def _is_known(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return False
    return True
