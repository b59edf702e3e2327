"""Times without offset, and the hours that a clock leaves out or shows twice."""

from __future__ import annotations

import gzip
import typing as t
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from .test_import import csv
from .test_reports import METER_DATA, needs_meter_data

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import ImportReadings

Stored = t.Callable[[], dict[str, str]]

LONDON = "Europe/London"
# In 2024 London's clock jumps from 01:00 to 02:00 on 31 March, and goes back from 02:00 to 01:00 on 27 October.
AUTUMN = ("00:00", "01:00", "01:00", "02:00")
AUTUMN_STORED = {
    "2024-10-26T23:00": "0",
    "2024-10-27T00:00": "1",
    "2024-10-27T01:00": "2",
    "2024-10-27T02:00": "3",
}


def autumn(*rows: str) -> str:
    """Return a file with these rows of the day on which the clock goes back."""
    return csv(*(f"2024-10-27T{row}" for row in rows))


def test_a_naive_time_is_of_the_buildings_zone(import_readings: ImportReadings, stored: Stored) -> None:
    """In July London is an hour ahead of UTC."""
    import_readings(csv("2024-07-01T00:00,1", "2024-07-01T01:00,2"), zone=LONDON)

    assert list(stored()) == ["2024-06-30T23:00", "2024-07-01T00:00"]


def test_the_naive_zone_wins_over_the_buildings(import_readings: ImportReadings, stored: Stored) -> None:
    """A file in UTC from a building in London is read as UTC, and its months are London's."""
    import_readings(csv("2024-07-01T00:00,1", "2024-07-01T01:00,2"), "--naive-zone", "UTC", zone=LONDON)

    assert list(stored()) == ["2024-07-01T00:00", "2024-07-01T01:00"]


def test_an_offset_wins_over_the_naive_zone(import_readings: ImportReadings, stored: Stored) -> None:
    """Lines with and without offset may stand in one file."""
    import_readings(csv("2024-07-01T00:00+02:00,1", "2024-07-01T00:00,2"), zone=LONDON)

    assert list(stored()) == ["2024-06-30T22:00", "2024-06-30T23:00"]


def test_a_time_that_does_not_exist_is_an_error(import_readings: ImportReadings, stored: Stored) -> None:
    """The hour that the clock jumps over has its line named, with the remedy, which helps."""
    source = csv("2024-03-31T00:00,1", "2024-03-31T01:00,2", "2024-03-31T02:00,3")

    result = import_readings(source, zone=LONDON)

    assert result.exit_code == 1
    assert "line 3: 2024-03-31 01:00:00 does not exist in Europe/London" in result.stderr
    assert "--naive-zone UTC" in result.stderr
    assert stored() == {}
    assert import_readings(source, "--naive-zone", "UTC", zone=LONDON).exit_code == 0


def test_a_time_that_occurs_once_of_twice_is_an_error(import_readings: ImportReadings, stored: Stored) -> None:
    """One row for an hour that the clock shows twice could be either."""
    source = autumn("00:00,0", "01:00,1", "02:00,3")

    result = import_readings(source, zone=LONDON)

    assert result.exit_code == 1
    assert "line 3: 2024-10-27 01:00:00 occurs twice in Europe/London" in result.stderr
    assert "--naive-zone UTC" in result.stderr
    assert stored() == {}
    assert import_readings(source, "--naive-zone", "UTC", zone=LONDON).exit_code == 0


def test_order_tells_the_two_hours_apart(import_readings: ImportReadings, stored: Stored) -> None:
    """In a sorted file the first row is of summer time and the second of winter time."""
    result = import_readings(autumn("00:00,0", "01:00,1", "01:00,2", "02:00,3"), zone=LONDON)

    assert result.exit_code == 0, result.output
    assert stored() == AUTUMN_STORED


def test_two_hours_with_equal_values_are_two_readings(import_readings: ImportReadings, stored: Stored) -> None:
    """A row that looks like a repetition is the second hour, because the clock was put back between them."""
    import_readings(autumn("00:00,0", "01:00,5", "01:00,5", "02:00,3"), zone=LONDON)

    assert list(stored().values()) == ["0", "5", "5", "3"]


def test_order_tells_half_hours_apart(import_readings: ImportReadings, stored: Stored) -> None:
    """The step back may lie between two half hours, and one of the four may be missing."""
    import_readings(autumn("00:30,0", "01:00,1", "01:30,2", "01:00,3", "01:30,4", "02:00,5"), zone=LONDON)
    import_readings(autumn("00:30,0", "01:00,1", "01:30,2", "01:30,4", "02:00,5"), zone=LONDON, meter="n", building="c")

    assert list(stored()) == [
        f"2024-10-2{t}" for t in ("6T23:30", "7T00:00", "7T00:30", "7T01:00", "7T01:30", "7T02:00")
    ]


def test_order_tells_apart_when_the_newest_is_first(import_readings: ImportReadings, stored: Stored) -> None:
    """In a file that runs backwards the first of the two rows is the later hour."""
    import_readings(autumn("02:00,3", "01:00,2", "01:00,1", "00:00,0"), zone=LONDON)

    assert stored() == AUTUMN_STORED


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(
            ("00:00,0", "00:00,0", "01:00,1", "01:00,1", "01:00,2", "01:00,2", "02:00,3", "02:00,3"), id="all"
        ),
        pytest.param(("00:00,0", "01:00,1", "01:00,1", "01:00,2", "01:00,2", "02:00,3"), id="only-these"),
        pytest.param(("00:00,0", "01:00,1", "01:00,2", "02:00,3") * 2, id="file-twice"),
    ],
)
def test_order_tells_apart_when_rows_repeat(
    rows: tuple[str, ...], import_readings: ImportReadings, stored: Stored
) -> None:
    """Rows that stand twice are put together before the step back is looked for."""
    result = import_readings(autumn(*rows), zone=LONDON)

    assert result.exit_code == 0, result.output
    assert stored() == AUTUMN_STORED


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(("00:00,0", "00:00,0", "01:00,1", "01:00,1", "02:00,3", "02:00,3"), id="one-row-twice"),
        pytest.param(("00:00,0", "01:00,1", "01:00,2", "01:00,4", "02:00,3"), id="three-rows"),
        pytest.param(("03:00,0", "01:00,1", "01:00,2", "04:00,3"), id="out-of-order"),
        pytest.param(("00:00,0", "01:00,1", "02:00,3", "01:00,2"), id="apart"),
        pytest.param(("00:00,0", "01:00,1", "01:00,2", "00:00,0"), id="steps-back-behind"),
    ],
)
def test_rows_that_order_does_not_tell_apart_are_errors(
    rows: tuple[str, ...], import_readings: ImportReadings, stored: Stored
) -> None:
    """No reading is invented and none is put into the wrong hour."""
    result = import_readings(autumn(*rows), zone=LONDON)

    assert result.exit_code == 1
    assert result.stderr.count("occurs twice in Europe/London") == len([row for row in rows if row.startswith("01")])
    assert stored() == {}


def test_order_that_contradicts_itself_is_an_error(import_readings: ImportReadings) -> None:
    """The hours are known, and a later line says something else about one of them."""
    rows = ("00:00,0", "01:00,1", "01:00,2", "02:00,3")

    result = import_readings(autumn(*rows, "00:00,0", "01:00,2", "01:00,1", "02:00,3"), zone=LONDON)

    assert "line 7: the value 2 contradicts line 3, where it is 1" in result.stderr
    assert "line 8: the value 1 contradicts line 4, where it is 2" in result.stderr


def test_two_autumns_are_told_apart(import_readings: ImportReadings, stored: Stored) -> None:
    """A file that has nothing between two changes of the clock keeps them separate."""
    result = import_readings(
        csv("2023-10-29T01:00,1", "2023-10-29T01:00,2", "2024-10-27T01:00,3", "2024-10-27T01:00,4"), zone=LONDON
    )

    assert result.exit_code == 0, result.output
    assert list(stored().values()) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("zone", ["America/St_Johns", "Australia/Lord_Howe", "Europe/London", "Atlantic/Azores"])
@pytest.mark.parametrize("minutes", [30, 60])
def test_a_year_of_local_times_is_read_back(
    zone: str, minutes: int, import_readings: ImportReadings, stored: Stored
) -> None:
    """What a clock on the wall wrote all year gives the instants at which it wrote it.

    Lord Howe's clock moves by half an hour, which hourly readings cannot show: they are told apart or refused.
    """
    clock = ZoneInfo(zone)
    begin = datetime(2023, 1, 1, tzinfo=UTC)
    instants = [begin + timedelta(minutes=minutes * i) for i in range(365 * 24 * 60 // minutes)]

    result = import_readings(
        csv(*(f"{instant.astimezone(clock):%Y-%m-%d %H:%M},{i}" for i, instant in enumerate(instants))), zone=zone
    )

    if (zone, minutes) == ("Australia/Lord_Howe", 60):
        assert "2023-04-02 01:30:00 occurs twice in Australia/Lord_Howe" in result.stderr
        assert result.stderr.count("  line") == 1
        return
    assert result.exit_code == 0, result.output
    assert stored() == {f"{instant:%Y-%m-%dT%H:%M}": str(i) for i, instant in enumerate(instants)}


@needs_meter_data
def test_real_readings_without_their_offsets_are_read_back(
    import_readings: ImportReadings, months: Callable[..., t.Any]
) -> None:
    """The household in Illinois, with the clock's times only, gives the same months."""
    path = METER_DATA / "il-electricity-cdd-hdd-hourly.csv.gz"
    header, *lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    naive = "\n".join([header, *(line[:19] + line[25:] for line in lines)])

    assert import_readings(path, zone="America/Chicago").exit_code == 0
    result = import_readings(naive, zone="America/Chicago")

    assert result.exit_code == 0, result.output
    assert "nothing was changed" in result.stdout
