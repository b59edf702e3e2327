"""Reads a file of readings: plain or gzipped CSV, line by line, in bounded memory."""

from __future__ import annotations

import contextlib
import csv
import gzip
import re
import typing as t
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .decimals import canonical, shorten
from .zones import LocalTimes

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from zoneinfo import ZoneInfo

V = t.TypeVar("V")

HEADER = ["start", "value"]
GZIP_MAGIC = b"\x1f\x8b"
YEARS = range(1900, 2201)
#: One that is no zero: many programs write 05:00:00.000Z.
FRACTION = re.compile(r"[.,]0*[1-9]")


@dataclass(frozen=True)
class Limits:
    """What a file may cost: a gzipped one of a few kilobytes can hold gigabytes."""

    #: How much is read at once.
    block_bytes: int = 1 << 18
    #: No line of readings is longer.
    line_bytes: int = 4096
    readings: int = 5_000_000
    #: How many texts of dates, times and values are remembered before they are forgotten again.
    texts: int = 100_000


LIMITS = Limits()


class FileError(Exception):
    """The file as a whole cannot be read; the message says why."""


class LineError(ValueError):
    """One line cannot be used; the message says why."""


class Reason(t.NamedTuple):
    """Why a line cannot be used."""

    text: str
    #: The column that is to blame, where it is one alone.
    column: str | None = None


@dataclass
class BadLines:
    """What is wrong with which line; every line is counted, the first ones are kept."""

    reasons: dict[int, Reason] = field(default_factory=dict)
    #: How many reasons are kept: a film is not a file of readings in any of its lines.
    kept: int = 1000
    count: int = 0

    def add(self, line: int, reason: str, column: str | None = None) -> None:
        """Note that ``line`` cannot be used."""
        self.count += 1
        if len(self.reasons) < self.kept:
            self.reasons[line] = Reason(reason, column)

    def listing(self, most: int = 20) -> str:
        """Return the first ``most`` lines with their reasons, and how many there are besides."""
        shown = sorted(self.reasons.items())[:most]
        lines = [f"  line {number}: {reason.text}" for number, reason in shown]
        if self.count > len(shown):
            lines.append(f"  … and {self.count - len(shown):,} more")
        return "\n".join(lines)


@dataclass
class Readings:
    """What a file says: the value of each interval, by its beginning."""

    #: Seconds since 1970 (UTC), and the canonical text of the value.
    values: dict[int, str] = field(default_factory=dict)
    #: The line in which each was found.
    lines: dict[int, int] = field(default_factory=dict)
    bad: BadLines = field(default_factory=BadLines)
    #: How many lines said again what an earlier one had said.
    repeated: int = 0

    def add(self, line: int, start: int, value: str) -> None:
        """Take one reading; what repeats counts once, what contradicts is a bad line."""
        known = self.values.setdefault(start, value)
        if self.lines.setdefault(start, line) == line:
            return
        if known == value:
            self.repeated += 1
        else:
            self.bad.add(line, f"the value {value} contradicts line {self.lines[start]}, where it is {known}")

    def drop(self, start: int, reason: str, column: str) -> None:
        """Turn a reading into a bad line, because of what it has in ``column``."""
        self.bad.add(self.lines.pop(start), reason, column)
        del self.values[start]


def read_file(
    path: Path,
    naive_zone: ZoneInfo,
    progress: Callable[[int], None] = lambda size: None,
    limits: Limits = LIMITS,
) -> Readings:
    """Read a file of readings.

    :param path: CSV with the columns ``start`` and ``value``, plain or gzipped, UTF-8.
    :param naive_zone: whose clock wrote the stamps that have no offset.
    :param progress: called with the number of bytes of the file that were read since the last call.
    :param limits: what is too much.
    :raises FileError: when the file as a whole cannot be read.
    """
    parser = Parser(naive_zone, limits)
    try:
        with path.open("rb") as raw:
            is_gzip = raw.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
            with gzip.open(raw) if is_gzip else contextlib.nullcontext(raw) as stream:
                done = 0
                for block in _iter_blocks(t.cast("t.BinaryIO", stream), limits):
                    parser.feed(block)
                    at = raw.tell() if raw.seekable() else done
                    progress(at - done)
                    done = at
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileError(f"the gzipped data is damaged or cut off after line {parser.line:,} ({error})") from error
    except OSError as error:
        raise FileError(error.strerror or str(error)) from error
    return parser.finish()


def _iter_blocks(stream: t.BinaryIO, limits: Limits) -> Iterator[bytes]:
    """Yield the whole lines of each chunk.

    :raises FileError: for a line without end.
    """
    rest = b""
    while chunk := stream.read(limits.block_bytes):
        block, newline, end = chunk.rpartition(b"\n")
        if newline:
            yield rest + block
            rest = end
        else:
            rest += end
        if len(rest) > limits.line_bytes:
            raise FileError(f"a line is longer than {limits.line_bytes:,} bytes, so this is no file of readings")
    yield rest


class Known(dict[str, V]):
    """What a function made of each text, remembered."""

    def __init__(self, read: Callable[[str], V]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, text: str) -> V:
        value = self[text] = self._read(text)
        return value


class Parser:
    """Turns lines into :class:`Readings`; fed with blocks of whole lines, in order."""

    def __init__(self, naive_zone: ZoneInfo, limits: Limits = LIMITS) -> None:
        self.line = 0
        self.limits = limits
        self.readings = Readings()
        self._has_header = False
        self._local_times = LocalTimes(naive_zone)
        # A file has as many dates as days, hardly more times than a day has hours, and a few thousand different values.
        self._dates = Known(seconds_of_date)
        self._times = Known(seconds_of_time)
        self._numbers = Known(read_number)

    def feed(self, block: bytes) -> None:
        """Take whole lines, without the last newline.

        :raises FileError: when the first line is not the header, or the file has no end.
        """
        lines = self._decode(block).split("\n")
        first = 0
        while not self._has_header and first < len(lines):
            self._read_header(lines[first])
            first += 1
        self._read_lines(lines[first:])
        if len(self.readings.values) + self._local_times.pending > self.limits.readings:
            raise FileError(f"it has more than {self.limits.readings:,} readings; split it")
        for known in (self._dates, self._times, self._numbers):
            if len(known) > self.limits.texts:
                known.clear()

    def finish(self) -> Readings:
        """Return the readings, after the last block.

        :raises FileError: when the file was empty.
        """
        if not self._has_header:
            raise FileError("it is empty; its first line should be: start,value")
        for row, instant in self._local_times.iter_resolved():
            if instant is None:
                self.readings.bad.add(row.line, self._local_times.explain(row))
            else:
                self.readings.add(row.line, int(instant.timestamp()), row.value)
        return self.readings

    def _read_header(self, line: str) -> None:
        self.line += 1
        # A byte order mark stands where spreadsheets write UTF-8.
        text = line.removeprefix("\ufeff").strip()
        if not text:
            return
        if [name.strip().lower() for name in _columns(text)] != HEADER:
            raise FileError(f"line {self.line} is {shorten(text)}; the first line should be: start,value")
        self._has_header = True

    def _read_lines(self, lines: list[str]) -> None:
        """Read rows: those of the usual form in this loop, in less than a microsecond each, the others one by one."""
        dates, times, numbers = self._dates, self._times, self._numbers
        values, found_in = self.readings.values, self.readings.lines
        for number, line in enumerate(lines, self.line + 1):
            try:
                stamp, text = line.split(",")
                start = dates[stamp[:10]] + times[stamp[10:]]
                value = numbers[text]
            except ValueError:
                self._read_line(number, line)
                continue
            if start in values:
                self.readings.add(number, start, value)
            else:
                values[start] = value
                found_in[start] = number
        self.line += len(lines)

    def _read_line(self, number: int, line: str) -> None:
        """Read one row of whatever form, and say what is wrong with it if it is none."""
        if not line or line.isspace():
            return
        try:
            stamp, text = _fields(line)
            value = self._numbers[text]
            moment = read_stamp(stamp)
            instant = moment if moment.tzinfo else self._local_times.resolve(number, moment, value)
        except ValueError as error:
            self.readings.bad.add(number, str(error))
        else:
            if instant is not None:
                self.readings.add(number, int(instant.timestamp()), value)

    def _decode(self, block: bytes) -> str:
        try:
            return block.decode()
        except UnicodeDecodeError:
            # Only the lines that are to blame become bad lines: the sign that replaces a byte is in no number.
            return block.decode(errors="replace")


def _columns(line: str) -> list[str]:
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], skipinitialspace=True, strict=True), [])
    except csv.Error:
        return [line]


def _fields(line: str) -> tuple[str, str]:
    fields = [field.strip() for field in _columns(line.strip())]
    if len(fields) == len(HEADER):
        return fields[0], fields[1]
    hint = "; numbers have a point, and nothing between the thousands" if len(fields) > len(HEADER) else ""
    raise LineError(f"{shorten(line.strip())} is not of the form start,value{hint}")


def read_stamp(stamp: str) -> datetime:
    """Return the time that ``stamp`` writes, with a zone if it has an offset.

    :raises LineError: when it is no full date and time, or one that no meter was there to see.
    """
    if not stamp:
        raise LineError("the start is missing")
    try:
        moment = datetime.fromisoformat(stamp)
        # fromisoformat takes every sign between date and time: in 2024-01-01-06:00 it would take the offset for a time.
        is_complete = stamp[10] in "T "
    except (ValueError, IndexError):
        is_complete = False
    if not is_complete:
        raise LineError(f"the start {shorten(stamp)} is not a time such as 2024-01-31T13:00:00+01:00")
    # Not moment.microsecond: that knows no seventh digit, and nothing of the offset.
    if FRACTION.search(stamp):
        raise LineError(f"the start {shorten(stamp)} has a fraction of a second")
    if moment.year not in YEARS:
        raise LineError(f"the start {shorten(stamp)} is not between {YEARS[0]} and {YEARS[-1]}")
    return moment


def seconds_of_date(date: str) -> int:
    """Return the seconds from 1970 to the beginning of a day of UTC.

    :raises LineError: when it is no date.
    """
    return int(read_stamp(date + "T00:00+00:00").timestamp())


def seconds_of_time(time: str) -> int:
    """Return the seconds from midnight in UTC to the second half of a stamp, such as ``T01:00:00-06:00``.

    :raises LineError: when it is no time, or has no offset: then its date counts as well.
    """
    moment = read_stamp("1970-01-01" + time)
    if moment.tzinfo is None:
        raise LineError("the offset is missing")
    return int(moment.timestamp())


def read_number(text: str) -> str:
    """Return the canonical text of a value, which may have blanks around it, or a carriage return behind it.

    :raises NumberError: when it is no number.
    """
    return canonical(text.strip())


def utc_text(start: int) -> str:
    """Return the instant ``start`` as messages write it."""
    return f"{datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M} UTC"
