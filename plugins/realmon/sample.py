"""A year of readings of our own making: the same ones every time."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

if t.TYPE_CHECKING:
    from collections.abc import Iterator

ZONE = ZoneInfo("Europe/Berlin")
YEAR = 2025
#: What a small household takes in each hour of a day, in Wh.
MORNING = (110, 100, 95, 95, 100, 130, 240, 380, 340, 260, 230, 250)
EVENING = (330, 300, 240, 230, 270, 390, 520, 560, 480, 390, 270, 160)
DAY = MORNING + EVENING
#: What each month adds, in percent: light and heating pumps.
MONTHS = (38, 33, 22, 10, 0, -6, -4, -5, 2, 14, 28, 40)


def iter_sample() -> Iterator[str]:
    """Yield the lines of a CSV file: every hour of one year in Germany, clock changes included."""
    yield "start,value"
    moment = datetime(YEAR, 1, 1, tzinfo=ZONE).astimezone(UTC)
    hour = 0
    while (local := moment.astimezone(ZONE)).year == YEAR:
        watt_hours = _watt_hours(hour, local)
        yield f"{local.isoformat()},{watt_hours // 1000}.{watt_hours % 1000:03}"
        moment += timedelta(hours=1)
        hour += 1


def _watt_hours(hour: int, local: datetime) -> int:
    """Return the use of one hour, from integers only: no library's random numbers may change it."""
    weekend = 60 if local.weekday() >= 5 and 8 <= local.hour <= 22 else 0
    scatter = (hour * hour * 31 + hour * 17) % 101
    return (DAY[local.hour] + weekend + scatter) * (100 + MONTHS[local.month - 1]) // 100
