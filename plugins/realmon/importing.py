"""Stores the readings of a file or of a request: all of them, or nothing."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

import sqlalchemy as sa

from myapp import get_db

from .decimals import plain
from .intervals import NAMES, IntervalError, find_interval, find_misplaced
from .models import Building, Meter, Reading
from .parsing import Readings, utc_text

if t.TYPE_CHECKING:
    from collections.abc import Collection
    from zoneinfo import ZoneInfo


class RefusedError(Exception):
    """The readings do not belong to this meter, or some cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Target:
    """Which meter an import is for."""

    meter: str
    building: str
    zone: ZoneInfo
    unit: str
    #: Who is to be told about the building from now on; None leaves it as it is.
    owner: str | None = None


@dataclass(frozen=True)
class Imported:
    """What an import did."""

    new: int
    #: How many readings of the file the meter had before.
    known: int
    #: How many lines said again what an earlier one had said.
    repeated: int
    bad: int


def store(readings: Readings, target: Target, *, skips_bad: bool = False) -> Imported:
    """Store what the meter does not have yet, in the task's transaction.

    The building and the meter are created when they are new.

    :param readings: of one file; those that cannot be used are moved to its bad lines.
    :param skips_bad: whether bad lines are left out; otherwise one is enough to refuse the file.
    :raises RefusedError: and the caller's task rolls back.
    """
    meter = get_meter(target)
    known = check(meter, readings)
    if readings.bad.count and not skips_bad:
        raise RefusedError("nothing of it was kept, because of its bad lines")
    if not readings.values:
        raise RefusedError("it has no reading that can be used")
    return insert(meter, readings, known)


def check(meter: Meter, readings: Readings) -> dict[int, str]:
    """Return what the meter has of the readings already, and turn those that it cannot have into bad lines.

    Whoever stores readings of the same meter meanwhile waits until this transaction has ended, and sees its readings.

    :raises RefusedError: when they are at another pace than the meter's.
    """
    # PostgreSQL locks the meter's row. On SQLite, a task that writes is alone since its first query.
    get_db().refresh(meter, ["interval_seconds"], with_for_update=True)
    first = get_db().scalar(sa.select(sa.func.min(Reading.start)).where(Reading.meter_id == meter.id))
    _check_intervals(readings, meter, first)
    known = {} if first is None else _stored(meter, readings.values)
    for start, value in known.items():
        if readings.values[start] != value:
            readings.drop(
                start,
                f"the value {readings.values[start]} contradicts the stored {value} of {utc_text(start)}",
                "value",
            )
    return known


def insert(meter: Meter, readings: Readings, known: dict[int, str]) -> Imported:
    """Insert the readings that are not ``known``, as :func:`check` has returned it."""
    new = {start: value for start, value in readings.values.items() if start not in known} if known else readings.values
    _insert(meter, new)
    return Imported(len(new), len(readings.values) - len(new), readings.repeated, readings.bad.count)


def get_meter(target: Target) -> Meter:
    """Return the meter, created with its building when they are new.

    :raises RefusedError: when the installation knows one of them otherwise.
    """
    building, _created = Building.get_or_create({"timezone": target.zone.key}, name=target.building)
    if building.timezone != target.zone.key:
        raise RefusedError(
            f"the building {building.name!r} is in the zone {building.timezone}, not {target.zone.key}; say"
            f" --timezone {building.timezone}, or give another building"
        )
    if target.owner is not None:
        building.owner = target.owner
    meter, created = Meter.get_or_create({"building": building, "unit": target.unit}, name=target.meter)
    if not created and meter.building_id != building.id:
        raise RefusedError(
            f"the meter {meter.name!r} is in the building {meter.building.name!r}; a name belongs to one meter of the"
            " installation, so give another --meter or that building"
        )
    if meter.unit != target.unit:
        raise RefusedError(
            f"the meter {meter.name!r} counts in {meter.unit}, not {target.unit}; say --unit {meter.unit}, or give"
            " another --meter"
        )
    return meter


def _check_intervals(readings: Readings, meter: Meter, first: int | None) -> None:
    """Find the meter's interval, and make bad lines of the readings that begin between two of them.

    :param first: the first reading that is stored.
    :raises RefusedError: when the file has another interval than the meter.
    """
    try:
        found = find_interval(sorted(readings.values))
    except IntervalError as error:
        raise RefusedError(str(error)) from error
    interval = meter.interval_seconds or (found.interval if found else None)
    if interval is None:
        return
    if found is not None and found.is_certain and found.interval != interval:
        raise RefusedError(
            f"its readings are {NAMES[found.interval]}, and those of the meter {meter.name!r} are {NAMES[interval]};"
            " give another meter"
        )
    for start in find_misplaced(readings.values, interval, first):
        readings.drop(start, f"{utc_text(start)} lies between two {NAMES[interval]} readings", "start")
    meter.interval_seconds = interval


def _stored(meter: Meter, starts: Collection[int]) -> dict[int, str]:
    """Return those of the readings at ``starts`` that the meter has, as canonical texts."""
    if not starts:
        return {}
    query = sa.select(Reading.start, Reading.value).where(
        Reading.meter_id == meter.id, Reading.start.between(min(starts), max(starts))
    )
    return {start: plain(value) for start, value in get_db().execute(query) if start in starts}


def _insert(meter: Meter, values: dict[int, str]) -> None:
    """Insert the readings at the speed of the driver.

    The statement is SQLAlchemy's, in the parameter style of the database at hand; only the work on each row, which
    would take longer than the insert itself, is not.
    """
    connection = get_db().connection()
    statement = sa.insert(Reading).compile(dialect=connection.dialect)
    # A positional statement takes the columns in the order of the model.
    rows: list[tuple[int, int, str]] = [(meter.id, start, values[start]) for start in sorted(values)]
    names = [column.name for column in sa.inspect(Reading).columns]
    parameters: t.Any = rows if statement.positional else [dict(zip(names, row, strict=True)) for row in rows]
    if rows:
        connection.exec_driver_sql(str(statement), parameters)
