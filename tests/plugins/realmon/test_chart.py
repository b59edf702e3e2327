"""The months as bars: where they stand, what they say, and the picture in the page."""

from __future__ import annotations

import re
import typing as t
from xml.etree import ElementTree

import pytest
from myapp_plugins.realmon.chart import HEIGHT, TOP, draw
from myapp_plugins.realmon.reports import Month

from .test_import import csv

if t.TYPE_CHECKING:
    from flask.testing import FlaskClient

    from .conftest import ImportReadings


def months(*kwh: str, begin: int = 1) -> list[Month]:
    """Return months of 2024 and later with these sums."""
    numbers = range(begin - 1, begin - 1 + len(kwh))
    return [
        Month(f"{2024 + number // 12}-{number % 12 + 1:02}", 1, text, 0)
        for number, text in zip(numbers, kwh, strict=True)
    ]


def chart(*kwh: str) -> t.Any:
    """Return the drawing of months with these sums."""
    drawn = draw(months(*kwh))
    assert drawn is not None
    return drawn


def test_bars_stand_on_the_axis_and_are_as_high_as_their_months() -> None:
    """The highest line is a round number at or above the highest bar."""
    drawn = chart("100", "50", "0")

    assert [line.text for line in drawn.lines] == ["0", "20", "40", "60", "80", "100"]
    assert [(bar.y, bar.height) for bar in drawn.bars] == [
        (TOP, HEIGHT),
        (TOP + HEIGHT / 2, HEIGHT / 2),
        (TOP + HEIGHT, 0),
    ]
    assert [bar.title for bar in drawn.bars] == ["2024-01: 100 kWh", "2024-02: 50 kWh", "2024-03: 0 kWh"]


def test_months_below_zero_hang_from_the_axis() -> None:
    """A meter behind solar panels: bars on both sides of one line."""
    drawn = chart("-100", "50")

    assert [line.text for line in drawn.lines] == ["-100", "-50", "0", "50"]
    assert [(bar.y, round(bar.y + bar.height, 1)) for bar in drawn.bars] == [
        (drawn.zero, TOP + HEIGHT),
        (TOP, drawn.zero),
    ]
    assert chart("-3", "-1").zero == TOP


@pytest.mark.parametrize(
    ("kwh", "texts"),
    [
        (["0"], ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (["0.000001"], ["0", "0.0000002", "0.0000004", "0.0000006", "0.0000008", "0.000001"]),
        (["336.475", "480.1"], ["0", "100", "200", "300", "400", "500"]),
        (["1236.7"], ["0", "500", "1000", "1500"]),
        (["-0.5"], ["-0.5", "-0.4", "-0.3", "-0.2", "-0.1", "0"]),
    ],
)
def test_the_axis_has_round_numbers(kwh: list[str], texts: list[str]) -> None:
    """Zero among them, also where all months are zero."""
    assert [line.text for line in chart(*kwh).lines] == texts


def test_the_largest_readings_have_an_axis() -> None:
    """Its numbers are exact, and have the room that they need."""
    drawn = chart("999999999999999000.000001")

    assert drawn.lines[-1].text == "1000000000000000000"
    assert drawn.left >= 8 * len(drawn.lines[-1].text)


def test_no_months_are_no_chart() -> None:
    """The page says so in words."""
    assert draw([]) is None


def test_years_are_named_once() -> None:
    """Below the first month and each January; labels do not run into each other."""
    drawn = draw(months(*["1"] * 15, begin=11))

    assert drawn is not None
    assert [bar.label for bar in drawn.bars[:3]] == ["Nov", "Dec", "Jan"]
    assert [(bar.label, bar.year) for bar in drawn.bars if bar.year] == [
        ("Nov", "2024"),
        ("Jan", "2025"),
        ("Jan", "2026"),
    ]
    assert drawn.bars[1].middle - drawn.bars[0].middle == 28
    assert drawn.bars[-1].x + drawn.bars[-1].width <= drawn.width


def test_the_page_has_the_picture(import_readings: ImportReadings, client: FlaskClient) -> None:
    """Well-formed, named for those who do not see it, with classes and without styles; the table stays."""
    import_readings(csv("2024-01-31T22:00Z,1.5", "2024-02-01T00:00Z,-20"), meter="<Main>")

    page = client.get("/realmon/").text
    found = re.search(r"<svg.*?</svg>", page, re.DOTALL)
    assert found is not None
    picture = ElementTree.fromstring(found[0])

    ids = {element.get("id"): element.text for element in picture.iter() if element.get("id")}
    assert picture.get("role") == "img"
    assert [ids[name] for name in picture.attrib["aria-labelledby"].split()] == [
        "Energy of <Main> by month, in kWh",
        "2 months from 2024-01 to 2024-02. The least is -20 kWh in 2024-02, the most 1.5 kWh in 2024-01. The table"
        " below has them all.",
    ]
    assert [bar.findtext("title") for bar in picture.iter("rect")] == ["2024-01: 1.5 kWh", "2024-02: -20 kWh"]
    assert "style=" not in page
    assert "<style" not in page
    assert "<script" not in page
    assert "<caption>Energy of &lt;Main&gt; in kWh</caption>" in page


def test_the_sheet_is_the_plugins_own(client: FlaskClient) -> None:
    """The page links to it, and it is there."""
    links = re.findall(r'rel="stylesheet" href="([^"]+)"', client.get("/realmon/").text)

    assert links[-1] == "/realmon/static/realmon.css"
    with client.get(links[-1]) as sheet:
        assert (sheet.status_code, sheet.mimetype) == (200, "text/css")


def test_each_picture_has_ids_of_its_own(import_readings: ImportReadings, client: FlaskClient) -> None:
    """Several meters are on one page."""
    for name in ("a", "b"):
        import_readings(csv("2024-01-01T00:00Z,1"), meter=name)

    ids = re.findall(r' id="([^"]+)"', client.get("/realmon/").text)
    assert len(ids) == len(set(ids)) == 4
