"""Exact decimal numbers: the text in which a reading is stored, and the text in which a sum is shown."""

from __future__ import annotations

import re
import typing as t
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact

if t.TYPE_CHECKING:
    from collections.abc import Iterable

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
#: More than any meter shows, and few enough that a sum of all readings of an installation stays exact below.
INTEGER_DIGITS, DECIMAL_PLACES = 15, 30
#: The longest canonical text: a sign, the digits, a point.
TEXT_LENGTH = 1 + INTEGER_DIGITS + 1 + DECIMAL_PLACES
# Python's default context rounds at 28 digits without a word; this one would raise instead.
EXACT = Context(prec=100, traps=[Inexact])
ROUNDED = Context(prec=100, rounding=ROUND_HALF_EVEN)
SHOWN = Decimal("0.000001")


class NumberError(ValueError):
    """A text that is no decimal number that can be stored; the message says why."""


def canonical(text: str) -> str:
    """Return the one text of the number that ``text`` writes: two numbers are equal if their texts are.

    :param text: a decimal number, with an exponent or without: ``0.50`` and ``5e-1`` both give ``0.5``.
    :raises NumberError: for everything else; nan, inf, digit groups and other scripts' digits included.
    """
    if not NUMBER.fullmatch(text):
        raise NumberError(_reason(text))
    # The length comes before the conversion: a megabyte of digits is to cost nothing.
    if len(text) > 2 * TEXT_LENGTH:
        raise NumberError(f"the value {shorten(text)} has more digits than a reading can have")
    number = Decimal(text)
    stored = plain(number) if number.adjusted() < INTEGER_DIGITS else ""
    if not stored or len(stored.partition(".")[2]) > DECIMAL_PLACES:
        raise NumberError(
            f"the value {shorten(text)} does not fit: at most {INTEGER_DIGITS} digits before the point and"
            f" {DECIMAL_PLACES} behind it"
        )
    return stored


def plain(number: Decimal) -> str:
    """Return ``number`` without exponent, trailing zeros and negative zero: ``1236.7``, ``100``, ``0``."""
    text = f"{number:f}"
    if "." in text:
        text = text.rstrip("0").removesuffix(".")
    return "0" if text == "-0" else text


def exact_sum(numbers: Iterable[Decimal]) -> Decimal:
    """Return the sum to the last digit.

    :raises decimal.Inexact: when it has more than 100 digits, which no number of readings reaches.
    """
    total = Decimal(0)
    for number in numbers:
        total = EXACT.add(total, number)
    return total


def rounded(number: Decimal) -> str:
    """Return ``number`` rounded half-even to 6 decimals, as :func:`plain` writes it."""
    return plain(number.quantize(SHOWN, context=ROUNDED))


def shorten(text: str) -> str:
    """Return ``text`` quoted for a message, with control characters escaped and at most 40 of its characters."""
    return repr(text if len(text) <= 40 else text[:39] + "…")


def _reason(text: str) -> str:
    if not text:
        return "the value is missing"
    if text.lstrip("+-").lower() in ("nan", "inf", "infinity"):
        return f"the value {shorten(text)} is no finite number"
    return f"the value {shorten(text)} is not a decimal number such as 1.25"
