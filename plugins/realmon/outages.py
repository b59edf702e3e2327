"""Meters that have stopped reporting: their buildings' owners get one mail for each outage."""

from __future__ import annotations

import time
import typing as t
from datetime import UTC, datetime

import sqlalchemy as sa

from myapp import create_message, get_db, job, send_mail

from .models import Building, Meter, Reading

if t.TYPE_CHECKING:
    from collections.abc import Iterator

#: A meter that sends once a day is not silent in between.
DEFAULT_HOURS = 48.0


class Silence(t.NamedTuple):
    """A meter that has stopped reporting, and the end of its last interval in the clock of its building."""

    meter: Meter
    last_start: int

    @property
    def since(self) -> str:
        """The end of the last interval, as the building's clock showed it."""
        end = datetime.fromtimestamp(self.last_start + (self.meter.interval_seconds or 0), UTC)
        return f"{end.astimezone(self.meter.building.zone):%Y-%m-%d %H:%M %Z}"


def _key(hours: float = DEFAULT_HOURS) -> str:
    return str(float(hours))


# A check that waits is not queued again; one with other hours finds other meters.
@job(name="realmon.check_meters", unique_key=_key)
def check_meters(hours: float = DEFAULT_HOURS) -> dict[str, int]:
    """Mail the owner of each building whose meters have said nothing for ``hours``, once for each outage.

    An outage is known by the last reading before it: when the meter has reported again and stops once more, it is
    another one. That it was told of, and the mail, are one commit. A building without an owner waits until it has one.

    :return: how many meters and how many mails.
    """
    told = 0
    mails = 0
    for building, silences in _by_building(find_silences(time.time() - hours * 3600)):
        send_mail(
            create_message(
                "realmon/emails/silent", recipients=[building.owner or ""], building=building, silences=silences
            )
        )
        mails += 1
        for silence in silences:
            silence.meter.silent_since = silence.last_start
            told += 1
    return {"meters": told, "mails": mails}


def find_silences(until: float) -> list[Silence]:
    """Return the meters whose last reading ended before ``until``, and whose owner was not told of it yet."""
    last = sa.select(sa.func.max(Reading.start)).where(Reading.meter_id == Meter.id).scalar_subquery()
    query = (
        sa.select(Meter, last)
        .join(Meter.building)
        .where(Building.owner.is_not(None), last + sa.func.coalesce(Meter.interval_seconds, 0) < int(until))
        .where(sa.or_(Meter.silent_since.is_(None), Meter.silent_since != last))
        .order_by(Building.name, Meter.name)
        # A check with other hours may run at the same time: it waits here, and sees who was told.
        .with_for_update(of=Meter)
    )
    return [Silence(meter, last_start) for meter, last_start in get_db().execute(query)]


def _by_building(silences: list[Silence]) -> Iterator[tuple[Building, list[Silence]]]:
    buildings = {silence.meter.building_id: silence.meter.building for silence in silences}
    for building_id, building in buildings.items():
        yield building, [silence for silence in silences if silence.meter.building_id == building_id]
