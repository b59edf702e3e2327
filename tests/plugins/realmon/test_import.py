"""``flask realmon import``: what a file may look like, and what is refused."""

from __future__ import annotations

import gzip
import io
import typing as t
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from myapp_plugins.realmon.commands import progress_bar
from myapp_plugins.realmon.parsing import BadLines, FileError, Limits, read_file

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import ImportReadings

Stored = t.Callable[[], dict[str, str]]

THREE = "start,value\n2024-01-01T00:00:00+00:00,1.5\n2024-01-01T01:00:00+00:00,2.25\n2024-01-01T02:00:00+00:00,0.1\n"
THREE_STORED = {"2024-01-01T00:00": "1.5", "2024-01-01T01:00": "2.25", "2024-01-01T02:00": "0.1"}


def csv(*rows: str) -> str:
    """Return a file with these rows."""
    return "\n".join(["start,value", *rows, ""])


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(THREE, id="plain"),
        pytest.param(gzip.compress(THREE.encode()), id="gzipped"),
        pytest.param(gzip.compress(THREE[:40].encode()) + gzip.compress(THREE[40:].encode()), id="gzipped-in-parts"),
        pytest.param(b"\xef\xbb\xbf" + THREE.encode(), id="byte-order-mark"),
        pytest.param(THREE.replace("\n", "\r\n"), id="crlf"),
        pytest.param(THREE.removesuffix("\n"), id="no-newline-at-the-end"),
        pytest.param("\n" + THREE.replace("\n", "\n\n \n"), id="blank-lines"),
        pytest.param(THREE.replace("T", " "), id="blank-instead-of-T"),
        pytest.param(THREE.replace("+00:00", "Z"), id="z"),
        pytest.param(THREE.replace("+00:00", ""), id="naive"),
        pytest.param(THREE.replace("T0", "T1").replace("+00:00", "+10:00"), id="offset"),
        pytest.param(THREE.replace(":00+", "+"), id="no-seconds"),
        pytest.param('Start, "VALUE"\n' + THREE.partition("\n")[2], id="header-in-other-letters"),
        pytest.param(THREE.replace("2024", '"2024').replace("+00:00,", '+00:00", '), id="quoted"),
        pytest.param(THREE.replace("2.25", "+002.250").replace("0.1", "1e-1").replace("1.5", " 1.50 "), id="numbers"),
        pytest.param("\n".join([THREE.split("\n")[0], *THREE.split("\n")[:0:-1]]), id="newest-first"),
        pytest.param(THREE + THREE.partition("\n")[2], id="rows-twice"),
    ],
)
def test_a_file_of_readings_is_stored(source: str | bytes, import_readings: ImportReadings, stored: Stored) -> None:
    """Every usual form of the same three readings gives the same rows, value for value."""
    result = import_readings(source)

    assert result.exit_code == 0, result.output
    assert "Imported 3 readings of the meter m." in result.stdout
    assert stored() == THREE_STORED


def test_half_hours_are_stored(import_readings: ImportReadings, stored: Stored, months: Callable[..., t.Any]) -> None:
    """A half-hourly file keeps its half hours, and a missing one is one gap."""
    import_readings(csv(*(f"2024-01-01T{h:02}:{m}Z,1" for h in range(3) for m in ("00", "30") if (h, m) != (1, "30"))))

    assert list(stored()) == [f"2024-01-01T{time}" for time in ("00:00", "00:30", "01:00", "02:00", "02:30")]
    assert months() == [("2024-01", 5, "5", 1)]


def test_a_value_is_stored_to_its_last_digit(import_readings: ImportReadings, stored: Stored) -> None:
    """Neither 18 decimals nor 30 digits pass through a float."""
    import_readings(csv("2024-01-01T00:00Z,0.028999999999999998", "2024-01-01T01:00Z,123456789012345.000000000000001"))

    assert list(stored().values()) == ["0.028999999999999998", "123456789012345.000000000000001"]


def test_negative_values_are_stored(import_readings: ImportReadings, stored: Stored) -> None:
    """A meter behind solar panels counts backwards."""
    import_readings(csv("2024-01-01T00:00Z,-1.5", "2024-01-01T01:00Z,-0.0"))

    assert list(stored().values()) == ["-1.5", "0"]


def test_a_second_import_changes_nothing_and_says_so(import_readings: ImportReadings, stored: Stored) -> None:
    """What is stored already is recognised, however its number is written."""
    import_readings(THREE)

    again = import_readings(THREE.replace("2.25", "2.250"))

    assert again.exit_code == 0
    assert "nothing was changed" in again.stdout
    assert "had 3 of its readings already" in again.stdout
    assert stored() == THREE_STORED


def test_a_longer_file_adds_what_is_new(import_readings: ImportReadings, stored: Stored) -> None:
    """A file that overlaps what is stored brings the rest."""
    import_readings(THREE)

    result = import_readings(THREE + "2024-01-01T03:00:00+00:00,7\n2023-12-31T23:00Z,8\n")

    assert "Imported 2 readings" in result.stdout
    assert stored() == {"2023-12-31T23:00": "8", **THREE_STORED, "2024-01-01T03:00": "7"}


def test_a_row_that_repeats_counts_once(import_readings: ImportReadings, months: Callable[..., t.Any]) -> None:
    """The same interval with the same number, in whatever writing, is one reading."""
    result = import_readings(THREE + "2024-01-01T02:00+01:00,2.250\n")

    assert "1 repeated line counts once" in result.stdout
    assert months() == [("2024-01", 3, "3.85", 0)]


def test_a_row_that_contradicts_an_earlier_one_is_an_error(import_readings: ImportReadings, stored: Stored) -> None:
    """Both lines and both values are named, and nothing is kept."""
    result = import_readings(THREE + "2024-01-01T02:00+01:00,9\n")

    assert result.exit_code == 1
    assert "line 5: the value 9 contradicts line 3, where it is 2.25" in result.stderr
    assert stored() == {}


def test_a_row_that_contradicts_a_stored_reading_is_an_error(import_readings: ImportReadings, stored: Stored) -> None:
    """What was imported before is not changed by a later file."""
    import_readings(THREE)

    result = import_readings(THREE.replace("2.25", "3"))

    assert result.exit_code == 1
    assert "line 3: the value 3 contradicts the stored 2.25 of 2024-01-01 01:00 UTC" in result.stderr
    assert stored() == THREE_STORED


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2024-01-01T05:00Z,nan", "'nan' is no finite number"),
        ("2024-01-01T05:00Z,-Infinity", "'-Infinity' is no finite number"),
        ("2024-01-01T05:00Z,", "the value is missing"),
        ("2024-01-01T05:00Z,n/a", "'n/a' is not a decimal number"),
        ("2024-01-01T05:00Z,1_0", "'1_0' is not a decimal number"),
        ("2024-01-01T05:00Z,٣", "'٣' is not a decimal number"),
        ("2024-01-01T05:00Z,0x10", "'0x10' is not a decimal number"),
        ('2024-01-01T05:00Z,"1,234.5"', "'1,234.5' is not a decimal number"),
        ("2024-01-01T05:00Z,1,234.5", "numbers have a point, and nothing between the thousands"),
        ("2024-01-01T05:00Z," + "9" * 16, "does not fit: at most 15 digits"),
        ("2024-01-01T05:00Z,0." + "0" * 30 + "1", "and 30 behind it"),
        ("2024-01-01T05:00Z,1e999", "does not fit"),
        ("2024-01-01T05:00Z," + "1" * 1000, "more digits than a reading can have"),
        ("2024-01-01T05:00Z", "is not of the form start,value"),
        ('"2024-01-01T05:00Z,1', "is not of the form start,value"),
        (",1", "the start is missing"),
        ("yesterday,1", "'yesterday' is not a time such as"),
        ("2024-01-01,1", "'2024-01-01' is not a time such as"),
        ("2024-01-01-06:00,1", "'2024-01-01-06:00' is not a time such as"),
        ("2024-13-01T05:00Z,1", "'2024-13-01T05:00Z' is not a time such as"),
        ("2024-02-30T05:00Z,1", "'2024-02-30T05:00Z' is not a time such as"),
        ("2024-01-01T24:30Z,1", "is not a time such as"),
        ("20240101T0500Z,1", "'20240101T0500Z' is not a time such as"),
        ("1704085200,1", "'1704085200' is not a time such as"),
        ("2024-01-01T05:00:00.5Z,1", "has a fraction of a second"),
        ("2024-01-01T05:00:00.0000001Z,1", "has a fraction of a second"),
        ("2024-01-01T05:00:00+00:00:00.5,1", "has a fraction of a second"),
        ("1024-01-01T05:00Z,1", "is not between 1900 and 2200"),
        ("2024-01-01T05:20Z,1", "2024-01-01 05:20 UTC lies between two hourly readings"),
        ("\x1b[2J,1", "'\\x1b[2J' is not a time"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_kept(
    row: str, reason: str, import_readings: ImportReadings, stored: Stored
) -> None:
    """The line's number and the reason are in the message, with the way out."""
    result = import_readings(THREE + row + "\n")

    assert result.exit_code == 1
    assert "  line 5: " in result.stderr
    assert reason in result.stderr
    assert "--skip-bad" in result.stderr
    assert "Traceback" not in result.output
    assert stored() == {}


def test_bytes_that_are_no_utf8_are_a_bad_line(import_readings: ImportReadings, stored: Stored) -> None:
    """Only the line with the byte is to blame."""
    result = import_readings(THREE.encode() + b"2024-01-01T03:00Z,1\xa0\n2024-01-01T04:00Z,4\n", "--skip-bad")

    assert "line 5: " in result.stderr
    assert list(stored().values()) == ["1.5", "2.25", "0.1", "4"]


def test_every_bad_line_is_counted_and_the_first_ones_are_listed(import_readings: ImportReadings) -> None:
    """A file that is wrong throughout does not fill the terminal."""
    result = import_readings(THREE + "x,1\n" * 5000)

    assert "5,000 bad lines" in result.stderr
    assert "line 5: " in result.stderr
    assert "line 24: " in result.stderr
    assert "line 25: " not in result.stderr
    assert "… and 4,980 more" in result.stderr


def test_bad_lines_cost_bounded_memory() -> None:
    """All are counted, the reasons of the first thousand are kept."""
    bad = BadLines()

    for line in range(5000):
        bad.add(line, "no number")

    assert bad.count == 5000
    assert len(bad.reasons) == 1000


def test_bad_lines_of_every_kind_are_listed_together(import_readings: ImportReadings) -> None:
    """Who corrects a file sees all that is wrong with it, in the order of its lines."""
    import_readings(THREE)

    result = import_readings(
        csv("2024-01-01T01:00Z,9", "2024-01-01T03:30Z,1", "x,1", "2024-01-01T04:00Z,1", "2024-01-01T04:00Z,2")
    )

    numbers = [line.partition(":")[0] for line in result.stderr.splitlines() if line.startswith("  line")]
    assert numbers == ["  line 2", "  line 3", "  line 4", "  line 6"]


def test_skip_bad_keeps_the_rest(import_readings: ImportReadings, stored: Stored) -> None:
    """Bad lines are left out and named; of two that contradict each other the first counts."""
    result = import_readings(THREE + "x,1\n2024-01-01T02:00Z,9\n2024-01-01T03:00Z,nan\n", "--skip-bad")

    assert result.exit_code == 0
    assert "3 bad lines were left out" in result.stdout
    assert [line[:9] for line in result.stderr.splitlines()[1:]] == ["  line 5:", "  line 6:", "  line 7:"]
    assert stored() == THREE_STORED


def test_skip_bad_does_not_change_what_is_stored(import_readings: ImportReadings, stored: Stored) -> None:
    """A reading that contradicts a stored one is left out as well."""
    import_readings(THREE)

    result = import_readings(THREE.replace("2.25", "3") + "2024-01-01T03:00Z,4\n", "--skip-bad")

    assert "1 bad line was left out" in result.stdout
    assert stored() == {**THREE_STORED, "2024-01-01T03:00": "4"}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"\n\n", "it is empty", id="blank"),
        pytest.param(b"start,value\n", "it has no reading", id="header-only"),
        pytest.param(b"start,value\nx,1\n", "it has no reading", id="bad-lines-only"),
        pytest.param(b"time;kwh\n", "line 1 is 'time;kwh'; the first line should be: start,value", id="wrong-header"),
        pytest.param(THREE.encode().partition(b"\n")[2], "the first line should be: start,value", id="no-header"),
        pytest.param(THREE.encode("utf-16"), "the first line should be: start,value", id="utf-16"),
        pytest.param(b"x" * 100_000, "a line is longer than 4,096 bytes", id="endless-line"),
        pytest.param(gzip.compress(b"0" * 50_000_000), "a line is longer than 4,096 bytes", id="gzip-bomb"),
        pytest.param(gzip.compress(THREE.encode())[:-12], "is damaged or cut off", id="cut-off-gzip"),
        pytest.param(gzip.compress(THREE.encode())[:10] + b"\xff" * 100, "is damaged or cut off", id="damaged-gzip"),
        pytest.param(b"\x1f\x8b" + b"x" * 100, "is damaged or cut off", id="no-gzip"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    source: bytes, reason: str, import_readings: ImportReadings, stored: Stored
) -> None:
    """The message says what is wrong with the file as a whole; --skip-bad does not help it."""
    result = import_readings(source, "--skip-bad")

    assert result.exit_code == 1
    assert reason in result.stderr
    assert "was not imported" in result.stderr
    assert "Traceback" not in result.output
    assert stored() == {}


def test_a_folder_and_a_missing_file_are_usage_errors(import_readings: ImportReadings, tmp_path: Path) -> None:
    """What is no file is refused before anything else is done."""
    assert "is a directory" in import_readings(tmp_path).stderr
    assert "does not exist" in import_readings(tmp_path / "nothing.csv").stderr
    assert import_readings(tmp_path).exit_code == 2


@pytest.mark.parametrize("source", [THREE, csv(*["2024-10-27T01:30,1"] * 3)])
def test_a_file_with_too_many_readings_is_refused(source: str, tmp_path: Path) -> None:
    """What a small gzipped file can blow up to is bounded, rows that wait for their order included."""
    path = tmp_path / "readings.csv"
    path.write_text(source)

    with pytest.raises(FileError, match="more than 2 readings; split it"):
        read_file(path, ZoneInfo("Europe/London"), limits=Limits(readings=2))


def test_lines_across_the_blocks_of_a_file_are_whole(tmp_path: Path) -> None:
    """Wherever a block of the file ends, the next one continues its last line; a full memory starts anew."""
    path = tmp_path / "readings.csv"
    path.write_text(THREE + "x,1\n")

    readings = read_file(path, ZoneInfo("UTC"), limits=Limits(block_bytes=7, texts=1))

    assert list(readings.values.values()) == ["1.5", "2.25", "0.1"]
    assert list(readings.lines.values()) == [2, 3, 4]
    assert list(readings.bad.reasons) == [5]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"zone": "Europe/Lodnon"}, "Did you mean Europe/London"),
        ({"zone": "chicago"}, "Did you mean America/Chicago"),
        ({"zone": "../../etc/passwd"}, "There is no time zone"),
        ({"zone": "America"}, "There is no time zone 'America'"),
        ({"zone": ""}, "There is no time zone ''"),
        ({"meter": " "}, "A name has 1 to 100 printable characters"),
        ({"building": "b" * 101}, "A name has 1 to 100 printable characters"),
        ({"meter": "a\nb"}, "A name has 1 to 100 printable characters"),
    ],
)
def test_an_option_that_names_nothing_is_a_usage_error(
    options: dict[str, str], reason: str, import_readings: ImportReadings
) -> None:
    """A zone or a name that cannot be is refused, with what comes near."""
    result = import_readings(THREE, **options)

    assert result.exit_code == 2
    assert reason in result.stderr


def test_an_unknown_naive_zone_is_a_usage_error(import_readings: ImportReadings) -> None:
    """Both options that name a zone check it."""
    assert "Did you mean UTC" in import_readings(THREE, "--naive-zone", "UTZ").stderr


def test_a_meter_of_another_building_is_refused(import_readings: ImportReadings, stored: Stored) -> None:
    """A meter's name is unique in the installation, and stays where it is."""
    import_readings(THREE, building="Mill")

    result = import_readings(csv("2024-01-01T09:00Z,1"), building="Barn")

    assert result.exit_code == 1
    assert "the meter 'm' is in the building 'Mill'" in result.stderr
    assert stored() == THREE_STORED


def test_a_meter_with_another_unit_is_refused(import_readings: ImportReadings, stored: Stored) -> None:
    """A second file in Wh does not mix with the kWh of the first."""
    import_readings(THREE)

    result = import_readings(csv("2024-01-01T09:00Z,1"), "--unit", "Wh")

    assert result.exit_code == 1
    assert "counts in kWh, not Wh; say --unit kWh" in result.stderr
    assert stored() == THREE_STORED


def test_a_building_in_another_zone_is_refused(import_readings: ImportReadings) -> None:
    """Months cannot be of two zones."""
    import_readings(THREE, zone="Europe/London")

    result = import_readings(THREE, zone="Europe/Paris", meter="n")

    assert result.exit_code == 1
    assert "say --timezone Europe/London" in result.stderr


@pytest.mark.parametrize(("first", "second"), [(60, 30), (30, 60)])
def test_a_file_with_another_interval_is_refused(first: int, second: int, import_readings: ImportReadings) -> None:
    """Hours and half hours of one meter would be counted twice."""

    def file(minutes: int, day: int) -> str:
        begin = datetime(2024, 1, day, tzinfo=UTC)
        return csv(*(f"{(begin + timedelta(minutes=minutes * i)).isoformat()},1" for i in range(6)))

    import_readings(file(first, 1))

    result = import_readings(file(second, 2))

    names = {60: "hourly", 30: "half-hourly"}
    assert result.exit_code == 1
    assert f"its readings are {names[second]}, and those of the meter 'm' are {names[first]}" in result.stderr


@pytest.mark.parametrize(("minutes", "name"), [(5, "5 minutes"), (1440, "1440 minutes")])
def test_another_pace_than_hours_is_refused(minutes: int, name: str, import_readings: ImportReadings) -> None:
    """A file by the day or by the minute is not taken for an hourly one with gaps."""
    begin = datetime(2024, 1, 1, tzinfo=UTC)

    result = import_readings(csv(*(f"{(begin + timedelta(minutes=minutes * i)).isoformat()},1" for i in range(9))))

    assert result.exit_code == 1
    assert f"its readings are {name} apart" in result.stderr


def test_hours_need_not_begin_with_those_of_utc(import_readings: ImportReadings, stored: Stored) -> None:
    """The hours of India begin at half past; a later file has to keep to them."""
    import_readings(csv("2024-01-01T00:00,1", "2024-01-01T01:00,2", "2024-01-01T02:00,3"), zone="Asia/Kolkata")

    result = import_readings(csv("2024-01-02T00:00Z,1"), zone="Asia/Kolkata")

    assert list(stored()) == ["2023-12-31T18:30", "2023-12-31T19:30", "2023-12-31T20:30"]
    assert "line 2: 2024-01-02 00:00 UTC lies between two hourly readings" in result.stderr


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_a_progress_bar() -> None:
    """The bar tells how much of the file was read."""
    terminal = Terminal()

    with progress_bar(200, terminal) as progress:
        progress(100)
        progress(100)

    assert "50%" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


def test_progress_is_told_in_bytes_of_the_file(tmp_path: Path) -> None:
    """What is reported adds up to the size on disk, gzipped or not."""
    path = tmp_path / "readings.csv.gz"
    path.write_bytes(gzip.compress(THREE.encode()))
    told: list[int] = []

    read_file(path, ZoneInfo("UTC"), told.append)

    assert sum(told) == path.stat().st_size


def test_a_pipe_sees_no_progress_bar(import_readings: ImportReadings) -> None:
    """Nothing but the result is written where nobody looks."""
    result = import_readings(THREE)

    assert result.stderr == ""
    assert result.stdout.count("\n") == 1


def test_a_refused_import_leaves_no_meter_behind(import_readings: ImportReadings, client: t.Any) -> None:
    """Neither building nor meter nor reading of a refused file is there."""
    import_readings(THREE + "x,1\n")

    assert client.get("/realmon/api/v1/reports/monthly?meter=m").status_code == 404
