"""Time zones by name, and local times that a clock change makes unclear."""

from __future__ import annotations

import difflib
import typing as t
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import click

from .decimals import shorten

if t.TYPE_CHECKING:
    from collections.abc import Iterator

REMEDY = "if the times of the file are UTC, say --naive-zone UTC"
#: Ambiguous rows further apart than this belong to different clock changes.
ONE_CHANGE = timedelta(days=1)


class LocalTimeError(ValueError):
    """A time that the clock of the zone never showed; the message says what to do."""


def read_zone(ctx: click.Context, param: click.Parameter, value: str | None) -> ZoneInfo | None:
    """Return the zone that an option names; its callback.

    :raises click.BadParameter: when there is none, with the names that are nearest.
    """
    if value is None:
        return None
    try:
        return ZoneInfo(value)
    # A folder of the database (`America`) and a path (`../x`) are no zones either.
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.BadParameter(f"There is no time zone {shorten(value)}.{_suggestion(value)}") from error


def _suggestion(name: str) -> str:
    known = sorted(available_timezones())
    wanted = name.casefold().replace(" ", "_")
    # People know the city: `Chicago` and `berlin` name a zone by its last part.
    near = [zone for zone in known if wanted in (zone.casefold(), zone.casefold().rpartition("/")[2])]
    folded = {zone.casefold(): zone for zone in known}
    near += [folded[match] for match in difflib.get_close_matches(wanted, folded, n=3)]
    names = list(dict.fromkeys(near))[:3]
    return f" Did you mean {' or '.join(names)}?" if names else " Names look like Europe/London or America/Chicago."


@dataclass(frozen=True, slots=True)
class LocalRow:
    """A line whose stamp has no offset."""

    line: int
    local: datetime
    value: str


@dataclass(slots=True)
class Visit:
    """Consecutive rows of the hour that a clock shows twice, and what surrounds them in the file."""

    #: Whether the row in front of it stands twice: then two equal rows here are one row, and not two hours.
    is_doubled: bool
    before: datetime | None
    rows: list[LocalRow] = field(default_factory=list)
    after: datetime | None = None

    def iter_resolved(self) -> Iterator[tuple[LocalRow, int | None]]:
        """Yield each row with its ``fold``: 0 for the first time the clock shows it, 1 for the second, None unknown.

        The rows must step back exactly once, as the clock did: before the step they are of the first time.
        """
        groups = self._ascending()
        folds: list[int] | None = None
        if groups is not None:
            folds = _folds([group[0].local for group in groups])
            if folds is None and not self.is_doubled:
                groups = _merged(groups)
                folds = _folds([group[0].local for group in groups])
        if groups is None or folds is None:
            yield from ((row, None) for row in self.rows)
            return
        for group, fold in zip(groups, folds, strict=True):
            yield from ((row, fold) for row in group)

    def _ascending(self) -> list[list[LocalRow]] | None:
        """Return the rows in the order of time, or None when the rows around them leave it open."""
        first, last = self.rows[0].local, self.rows[-1].local
        groups = [[row] for row in self.rows]
        if self.is_doubled:
            groups = _merged(groups)
        if (self.before is None or self.before < first) and (self.after is None or self.after > last):
            return groups
        if (self.before is None or self.before > first) and (self.after is None or self.after < last):
            return groups[::-1]
        return None


def _merged(groups: list[list[LocalRow]]) -> list[list[LocalRow]]:
    """Return ``groups`` with equal neighbours put together."""
    merged: list[list[LocalRow]] = []
    for group in groups:
        previous = merged[-1][0] if merged else None
        if previous is not None and (previous.local, previous.value) == (group[0].local, group[0].value):
            merged[-1].extend(group)
        else:
            merged.append(list(group))
    return merged


def _folds(times: list[datetime]) -> list[int] | None:
    steps = [index for index in range(1, len(times)) if times[index] <= times[index - 1]]
    if len(steps) != 1:
        return None
    return [int(index >= steps[0]) for index in range(len(times))]


class LocalTimes:
    """Turns stamps without offset into instants, in the order of the file.

    :param zone: whose clock wrote them.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self.visits: list[Visit] = []
        #: How many rows were put off.
        self.pending = 0
        self._is_inside = False
        self._last: tuple[datetime, str] | None = None
        self._repeats = False

    def resolve(self, line: int, local: datetime, value: str) -> datetime | None:
        """Return the instant, or None when only the rows that follow can tell: then it is among :attr:`visits`.

        :raises LocalTimeError: when the clock never showed this time; the message says why.
        """
        instant = local.replace(tzinfo=self.zone)
        first, second = instant.utcoffset(), instant.replace(fold=1).utcoffset()
        if first != second:
            # Both are offsets of a zone, never None. Before a jump forward the offset is the smaller one.
            if t.cast("timedelta", first) < t.cast("timedelta", second):
                raise LocalTimeError(
                    f"{local} does not exist in {self.zone.key}, where the clock jumps over it; {REMEDY}"
                )
            self._enter(LocalRow(line, local, value))
            return None
        if self._is_inside:
            self.visits[-1].after = local
            self._is_inside = False
        self._repeats = self._last == (local, value)
        self._last = (local, value)
        return instant

    def iter_resolved(self) -> Iterator[tuple[LocalRow, datetime | None]]:
        """Yield the rows that :meth:`resolve` put off, each with its instant or None; call it after the last line."""
        for visit in self.visits:
            for row, fold in visit.iter_resolved():
                instant = None if fold is None else row.local.replace(tzinfo=self.zone, fold=fold).astimezone(UTC)
                yield row, instant

    def explain(self, row: LocalRow) -> str:
        """Return why ``row`` has no instant."""
        return (
            f"{row.local} occurs twice in {self.zone.key}, where the clock is put back, and the order of the lines does"
            f" not tell which one is meant; {REMEDY}"
        )

    def _enter(self, row: LocalRow) -> None:
        self.pending += 1
        before = self._last[0] if self._last else None
        self._last = (row.local, row.value)
        if self._is_inside and before is not None:
            if abs(row.local - before) < ONE_CHANGE:
                self.visits[-1].rows.append(row)
                return
            self.visits[-1].after = row.local
        self.visits.append(Visit(self._repeats, before, [row]))
        self._is_inside = True
