"""The months of a meter as bars: where each stands in an SVG picture that the page shows as it is.

Everything is in pixels, and the picture is never made smaller: what is too wide for a window is scrolled, so that the
text can be read in any.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from .decimals import plain

if t.TYPE_CHECKING:
    from .reports import Month

NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: What a month takes, and how much of it is the bar; a year fills a page, longer times are packed closer.
WIDE, CLOSE, BAR = 44, 28, 0.75
YEAR = 12
#: The height of the bars' area, and what is above it and below it: the unit; the names of months and years.
HEIGHT, TOP, BOTTOM = 200, 28, 40
#: What a digit of the axis takes at most, and for how many there is room in any case: the unit stands there too.
DIGIT, DIGITS = 8, 4
#: About how many lines the axis has.
LINES = 5


class Bar(t.NamedTuple):
    """One month: its rectangle, and what stands below it."""

    x: float
    y: float
    width: float
    height: float
    #: Such as ``2025-01: 336.475 kWh``.
    title: str
    label: str
    #: The year, below the first month of each.
    year: str

    @property
    def middle(self) -> float:
        """Where its label stands."""
        return round(self.x + self.width / 2, 1)


class Line(t.NamedTuple):
    """One line of the axis."""

    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws."""

    width: int
    height: int
    #: Where the area of the bars begins.
    left: int
    zero: float
    bars: list[Bar]
    lines: list[Line]
    description: str


def draw(months: list[Month]) -> Chart | None:
    """Return the picture of ``months``, or None where there is none; months below zero hang from the zero line."""
    if not months:
        return None
    numbers = [Decimal(month.kwh) for month in months]
    ticks = _ticks(min(Decimal(0), *numbers), max(Decimal(0), *numbers))
    bottom, top = ticks[0], ticks[-1]

    def y_of(number: Decimal) -> float:
        return round(TOP + HEIGHT * float((top - number) / (top - bottom)), 1)

    texts = [plain(tick) for tick in ticks]
    left = DIGIT * max(DIGITS, *map(len, texts)) + DIGIT
    step = WIDE if len(months) <= YEAR else CLOSE
    zero = y_of(Decimal(0))
    bars = []
    for index, (month, number) in enumerate(zip(months, numbers, strict=True)):
        y = y_of(number)
        year, _, name = month.month.partition("-")
        bars.append(
            Bar(
                x=round(left + index * step + step * (1 - BAR) / 2, 1),
                y=min(y, zero),
                width=round(step * BAR, 1),
                height=round(abs(y - zero), 1),
                title=f"{month.month}: {month.kwh} kWh",
                label=NAMES[int(name) - 1],
                year=year if index == 0 or name == "01" else "",
            )
        )
    lines = [Line(y_of(tick), text) for tick, text in zip(ticks, texts, strict=True)]
    width, height = left + step * len(months), TOP + HEIGHT + BOTTOM
    return Chart(width, height, left, zero, bars, lines, _description(months, numbers))


def _description(months: list[Month], numbers: list[Decimal]) -> str:
    """Return what the picture shows, for those who do not see it."""
    least, most = months[numbers.index(min(numbers))], months[numbers.index(max(numbers))]
    if len(months) == 1:
        return f"{most.month}: {most.kwh} kWh."
    return (
        f"{len(months)} months from {months[0].month} to {months[-1].month}. The least is {least.kwh} kWh in"
        f" {least.month}, the most {most.kwh} kWh in {most.month}. The table below has them all."
    )


def _ticks(least: Decimal, most: Decimal) -> list[Decimal]:
    """Return round numbers at equal distances, from ``least`` or below to ``most`` or above; zero is one of them."""
    if least == most:
        most = least + 1
    span = most - least
    power = Decimal(1).scaleb((span / LINES).adjusted())
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * LINES >= span)
    first = int((least / step).to_integral_value(ROUND_FLOOR))
    last = max(int((most / step).to_integral_value(ROUND_CEILING)), first + 1)
    return [step * number for number in range(first, last + 1)]
