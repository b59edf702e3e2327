"""Finds out how long the intervals of a file are, and which readings lie between them."""

from __future__ import annotations

import typing as t
from collections import Counter
from operator import sub

if t.TYPE_CHECKING:
    from collections.abc import Collection

#: In seconds, the longest first. Hours and half hours are what files hold; quarters cost nothing more.
INTERVALS = (3600, 1800, 900)
NAMES = {3600: "hourly", 1800: "half-hourly", 900: "quarter-hourly"}
#: How often a distance must occur before it is the file's pace, and not the distance between a few lone readings.
PACE = 3


class IntervalError(Exception):
    """The readings are of a pace that is not served; the message says which."""


class Found(t.NamedTuple):
    """The interval of a file, in seconds, and whether enough readings say so."""

    interval: int
    is_certain: bool


def find_interval(starts: list[int]) -> Found | None:
    """Return the interval, or None for fewer than two readings, which do not tell.

    It is the most frequent distance of neighbours; where a few readings lie far apart, the longest interval that fits.

    :param starts: sorted, each once.
    :raises IntervalError: when the readings follow each other at a pace that is none of :data:`INTERVALS`.
    """
    distances = Counter(map(sub, starts[1:], starts))
    if not distances:
        return None
    most = max(distances.values())
    distance = min(seconds for seconds, count in distances.items() if count == most)
    if most >= PACE and distance not in INTERVALS:
        raise IntervalError(
            f"its readings are {distance / 60:g} minutes apart; hourly, half-hourly and quarter-hourly ones are read"
        )
    interval = next((interval for interval in INTERVALS if distance % interval == 0), INTERVALS[-1])
    return Found(interval, most >= PACE)


def find_misplaced(starts: Collection[int], interval: int, first: int | None) -> list[int]:
    """Return the readings that begin between two intervals.

    Where an interval begins is not always a multiple of its length: the hours of India begin at half past those of UTC.

    :param first: a reading that counts as well placed; None to go by the majority.
    """
    phases = Counter([start % interval for start in starts])
    most = max(phases, key=lambda phase: (phases[phase], -phase), default=0)
    phase = most if first is None else first % interval
    if phases.keys() <= {phase}:
        return []
    return [start for start in starts if start % interval != phase]
