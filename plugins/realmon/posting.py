"""Readings that a client posts as JSON: read with a pointer for each fault, and stored all together or not at all."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from myapp import ApiException, ValidationError, read_json

from .decimals import shorten
from .importing import Imported, RefusedError, check, insert
from .parsing import BadLines, LineError, Readings, read_number, read_stamp

if t.TYPE_CHECKING:
    from .models import Meter

MAXIMUM_READINGS = 10_000
#: Enough for as many readings in any usual writing.
MAXIMUM_BODY = 2 * 1024 * 1024
#: What one reading has.
MEMBERS = ("start", "value")
#: The member of the body that holds many readings.
MANY = "readings"


@dataclass
class Posted:
    """What a body says, and what is wrong with it."""

    #: Where the readings stand: of each, or of the only one, the JSON Pointer without its last step.
    has_many: bool
    #: The ones without a fault; the line of each is its place in the list.
    readings: Readings = field(default_factory=lambda: Readings(bad=BadLines(kept=MAXIMUM_READINGS)))
    #: Each with the place of its reading, by which they are sorted.
    faults: list[tuple[int, dict[str, str]]] = field(default_factory=list)

    def add_fault(self, index: int, member: str | None, code: str, reason: str) -> None:
        """Note what is wrong with a ``member`` of the reading at ``index``, or with the reading itself."""
        pointer = self.pointer(index) + (f"/{member}" if member else "")
        self.faults.append((index, fault(pointer, code, reason)))

    def pointer(self, index: int) -> str:
        """Return the JSON Pointer of the reading at ``index``."""
        return f"/{MANY}/{index}" if self.has_many else ""


def fault(pointer: str, code: str, reason: str) -> dict[str, str]:
    """Return one entry of a :class:`~myapp.ValidationError`; ``reason`` begins with a small letter."""
    return {"pointer": pointer, "code": code, "detail": f"{reason[0].upper()}{reason[1:]}."}


def read_body() -> Posted:
    """Return what the request's body says.

    :raises ValidationError: when it is neither a reading nor a list of readings in ``readings``.
    :raises ApiException: 415 for another type, 413 for too much, 400 for what is no JSON, or nested too deep.
    """
    request.max_content_length = MAXIMUM_BODY
    try:
        body = read_json()
    except RequestEntityTooLarge:
        raise ApiException(
            f"The body is longer than {MAXIMUM_BODY:,} bytes. Send at most {MAXIMUM_READINGS:,} readings at once.", 413
        ) from None
    if not isinstance(body, dict):
        reason = 'this must be an object: {"start": …, "value": …}, or {"readings": […]} for many'
        raise ValidationError(errors=[fault("", "type", reason)])
    return read_many(body) if MANY in body else read_one(body)


def read_one(body: dict[str, t.Any]) -> Posted:
    """Return the reading that ``body`` is."""
    posted = Posted(has_many=False)
    _read(posted, 0, body)
    return posted


def read_many(body: dict[str, t.Any]) -> Posted:
    """Return the readings that ``body`` lists.

    :raises ValidationError: when it lists none, or too many, or has something else beside the list.
    """
    entries = body[MANY]
    if len(body) > 1:
        raise ValidationError(errors=[fault("", "extra", f"nothing else stands beside {MANY!r}")])
    if not isinstance(entries, list):
        raise ValidationError(errors=[fault(f"/{MANY}", "type", "this must be a list of readings")])
    if not 1 <= len(entries) <= MAXIMUM_READINGS:
        reason = f"this must be 1 to {MAXIMUM_READINGS:,} readings, not {len(entries):,}"
        raise ValidationError(errors=[fault(f"/{MANY}", "length", reason)])
    posted = Posted(has_many=True)
    for index, entry in enumerate(entries):
        _read(posted, index, entry)
    return posted


def store_posted(meter: Meter, posted: Posted) -> Imported:
    """Store what the meter does not have yet, in the task's transaction.

    :raises ValidationError: with every fault of the body, and nothing is stored.
    """
    readings, faults = posted.readings, posted.faults
    refusals = []
    # Also when there are faults already: who corrects a batch sees all that is wrong with it.
    try:
        known = check(meter, readings)
    except RefusedError as error:
        refusals.append(fault(f"/{MANY}", "interval", str(error)))
    for index, reason in readings.bad.reasons.items():
        posted.add_fault(index, reason.column, "conflict", reason.text)
    if faults or refusals:
        entries = [entry for _, entry in sorted(faults, key=lambda found: found[0])]
        raise ValidationError(message="Nothing was kept, because of what errors lists.", errors=refusals + entries)
    return insert(meter, readings, known)


def _read(posted: Posted, index: int, entry: t.Any) -> None:
    """Take one reading, or its faults."""
    if not isinstance(entry, dict):
        posted.add_fault(index, None, "type", 'this must be an object: {"start": …, "value": …}')
        return
    before = len(posted.faults)
    found: dict[str, t.Any] = {}
    if others := entry.keys() - set(MEMBERS):
        reason = f"a reading has a start and a value, and nothing such as {shorten(min(others))}"
        posted.add_fault(index, None, "extra", reason)
    for member, read in (("start", _read_start), ("value", _read_value)):
        if member not in entry:
            posted.add_fault(index, member, "required", f"the {member} is missing")
            continue
        try:
            found[member] = read(entry[member])
        except ValueError as error:
            posted.add_fault(index, member, "invalid", str(error))
    if len(posted.faults) > before:
        return
    start, value = found["start"], found["value"]
    earlier = posted.readings.values.get(start, value)
    if earlier != value:
        pointer = posted.pointer(posted.readings.lines[start])
        reason = f"the value {value} contradicts {pointer}/value, where it is {earlier}"
        posted.add_fault(index, "value", "conflict", reason)
        return
    posted.readings.add(index, start, value)


def _read_start(start: t.Any) -> int:
    """Return the seconds since 1970 of a time.

    :raises LineError: when it is none, or has no offset.
    """
    if not isinstance(start, str):
        raise LineError('the start must be text such as "2024-01-31T13:00:00+01:00"')
    moment = read_stamp(start)
    if moment.tzinfo is None:
        raise LineError(f"the start {shorten(start)} has no offset: 2024-01-31T13:00:00+01:00 has one")
    return int(moment.timestamp())


def _read_value(value: t.Any) -> str:
    """Return the canonical text of a value.

    :raises ValueError: when it is no number that can be stored to its last digit.
    """
    if isinstance(value, str):
        return read_number(value)
    # A bool is an int to Python, not to JSON.
    if isinstance(value, int) and not isinstance(value, bool):
        return read_number(str(value))
    if isinstance(value, float):
        raise LineError(
            'a number with decimals, or of more than 19 digits, may have lost some on its way; send text: "1.25"'
        )
    raise LineError('the value must be text such as "1.25", or an integer')
