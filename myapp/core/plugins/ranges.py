"""Versions and ranges of versions (:pep:`440`).

packaging knows all of them, and its import takes longer than everything else that is done for a plugin. What most
manifests say, ``>=1.2,<2`` and ``1.4.0``, is understood without it.
"""

from __future__ import annotations

import operator
import re
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Callable

# No number is longer: a text of thousands of digits is none that int() takes.
PLAIN = r"[0-9]{1,9}(?:\.[0-9]{1,9})*"
PLAIN_VERSION = re.compile(PLAIN)
PLAIN_RANGE = re.compile(rf"\s*(>=|<=|==|!=|>|<)\s*({PLAIN})\s*")
COMPARE: dict[str, Callable[[t.Any, t.Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


def is_version(version: str) -> bool:
    """Whether it is one."""
    if PLAIN_VERSION.fullmatch(version):
        return True
    from packaging.version import Version

    try:
        Version(version)
    except ValueError:
        # InvalidVersion, or that of int() for a number of thousands of digits.
        return False
    return True


def is_range(ranges: str) -> bool:
    """Whether it is one, or several with commas; an empty text is all versions."""
    if not ranges or _plain_ranges(ranges) is not None:
        return True
    from packaging.specifiers import SpecifierSet

    try:
        SpecifierSet(ranges).contains("1")
    except ValueError:
        # As in is_version; packaging reads the numbers when it compares.
        return False
    return True


def is_in_range(version: str, ranges: str) -> bool:
    """Whether ``version`` is in ``ranges`` (as ``>=1,<2``); pre-releases count. What is no version is in no range."""
    if not ranges:
        return True
    plain = _plain_ranges(ranges)
    if plain is not None and PLAIN_VERSION.fullmatch(version):
        return all(COMPARE[sign](*_numbers(version, limit)) for sign, limit in plain)
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    try:
        return SpecifierSet(ranges).contains(Version(version), prereleases=True)
    except ValueError:
        # A distribution may call its versions as it likes.
        return False


def _plain_ranges(ranges: str) -> list[tuple[str, str]] | None:
    """Return the signs and versions of ``ranges``, or None when it takes packaging to read them."""
    matches = [PLAIN_RANGE.fullmatch(one) for one in ranges.split(",")]
    return None if None in matches else [(match[1], match[2]) for match in matches if match is not None]


def _numbers(one: str, other: str) -> tuple[list[int], list[int]]:
    """Return the numbers of two versions, as many of each: 1.4 is 1.4.0."""
    numbers = [[int(part) for part in version.split(".")] for version in (one, other)]
    length = max(map(len, numbers))
    first, second = (found + [0] * (length - len(found)) for found in numbers)
    return first, second
