"""Months: exact sums, the building's calendar, gaps; the API and the page."""

from __future__ import annotations

import csv as csv_module
import os
import typing as t
from decimal import Decimal, Inexact
from pathlib import Path

import pytest
from myapp_plugins.realmon.decimals import exact_sum, plain, rounded

from .test_import import csv

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

    from .conftest import ImportReadings

Months = t.Callable[..., list[tuple[str, int, str, int]]]

METER_DATA = Path(os.environ.get("MYAPP_METER_DATA", ""))
needs_meter_data = pytest.mark.skipif(
    "MYAPP_METER_DATA" not in os.environ, reason="MYAPP_METER_DATA names no folder with real readings"
)


@needs_meter_data
@pytest.mark.parametrize(
    ("readings", "answer", "zone"),
    [
        (
            "il-electricity-cdd-hdd-hourly.csv.gz",
            "il-electricity-cdd-hdd-monthly-America-Chicago.csv",
            "America/Chicago",
        ),
        (
            "uk-electricity-hdd-only-hourly-sample-0.csv.gz",
            "uk-electricity-hdd-only-sample-0-monthly-Europe-London.csv",
            "Europe/London",
        ),
    ],
)
def test_real_readings_give_the_right_months(
    readings: str, answer: str, zone: str, import_readings: ImportReadings, months: Months
) -> None:
    """Two and a half years of two households, to the last digit; a second import changes nothing."""
    with (METER_DATA / answer).open() as file:
        expected = [(row["month"], int(row["readings"]), row["total"]) for row in csv_module.DictReader(file)]

    first = import_readings(METER_DATA / readings, zone=zone)
    once = months()
    second = import_readings(METER_DATA / readings, zone=zone)

    assert first.exit_code == 0, first.output
    assert [month[:3] for month in once] == expected
    assert "nothing was changed" in second.stdout
    assert months() == once


def test_the_report_has_the_promised_form(import_readings: ImportReadings, client: FlaskClient) -> None:
    """Names, unit, zone, and each month with a sum that is text."""
    import_readings(csv("2024-01-31T23:00Z,1.50", "2024-02-01T00:00Z,2"), meter="Main", zone="Europe/London")

    answer = client.get("/realmon/api/v1/reports/monthly?meter=Main")

    assert answer.content_type == "application/json"
    assert answer.get_json() == {
        "meter": "Main",
        "unit": "kWh",
        "zone": "Europe/London",
        "months": [
            {"month": "2024-01", "readings": 1, "kwh": "1.5", "gaps": 0},
            {"month": "2024-02", "readings": 1, "kwh": "2", "gaps": 0},
        ],
    }


def test_months_are_of_the_buildings_zone(import_readings: ImportReadings, months: Months) -> None:
    """Half past midnight in Kolkata is still yesterday in UTC."""
    import_readings(csv("2024-01-31T17:30Z,1", "2024-01-31T18:30Z,2"), zone="Asia/Kolkata")

    assert months() == [("2024-01", 1, "1", 0), ("2024-02", 1, "2", 0)]


def test_a_month_that_begins_in_a_clock_change_begins_once(import_readings: ImportReadings, months: Months) -> None:
    """Cuba's clock went back from 1:00 to 0:00 on 1 November 2020: both hours are November's."""
    import_readings(csv(*(f"2020-11-01T{h:02}:00Z,1" for h in range(3, 7))), zone="America/Havana")

    assert months() == [("2020-10", 1, "1", 0), ("2020-11", 3, "3", 0)]


def test_gaps_are_counted_in_the_month_that_misses_them(import_readings: ImportReadings, months: Months) -> None:
    """Months without a single reading are there, with as many gaps as they have hours; the ends have none."""
    import_readings(csv("2023-12-31T20:00Z,1", "2023-12-31T21:00Z,1", "2024-03-01T02:00Z,1"))

    assert months() == [
        ("2023-12", 2, "2", 2),
        ("2024-01", 0, "0", 744),
        ("2024-02", 0, "0", 696),
        ("2024-03", 1, "1", 2),
    ]


def test_a_month_need_not_begin_with_an_interval(import_readings: ImportReadings, months: Months) -> None:
    """Hours of UTC in India, where a month begins in the middle of one: it belongs to the month it began in."""
    import_readings(csv("2024-01-31T17:00Z,1", "2024-01-31T18:00Z,1", "2024-02-29T20:00Z,1"), zone="Asia/Kolkata")

    assert months() == [("2024-01", 2, "2", 0), ("2024-02", 0, "0", 696), ("2024-03", 1, "1", 1)]


def test_gaps_follow_the_clock(import_readings: ImportReadings, months: Months) -> None:
    """March has 743 hours in London, October 745."""
    import_readings(csv("2024-03-01T00:00Z,1", "2024-10-31T23:00Z,1"), zone="Europe/London")

    gaps = {month: gaps for month, _readings, _kwh, gaps in months()}
    assert gaps["2024-03"] == 743 - 1
    assert gaps["2024-04"] == 720
    assert gaps["2024-10"] == 745 - 1


def test_one_reading_is_a_month_without_gaps(import_readings: ImportReadings, months: Months) -> None:
    """A single reading does not tell the interval, and needs none."""
    import_readings(csv("2024-01-01T00:20Z,1"))

    assert months() == [("2024-01", 1, "1", 0)]


@pytest.mark.parametrize(
    ("values", "kwh"),
    [
        (("0.1", "0.2"), "0.3"),
        (("0.0000005", "0"), "0"),
        (("0.0000015", "0"), "0.000002"),
        (("0.0000025", "0"), "0.000002"),
        (("0.00000250000000000000000000001", "0"), "0.000003"),
        (("-0.0000001", "0"), "0"),
        (("-2.5", "0.25"), "-2.25"),
        (("99.9", "0.1"), "100"),
        (("999999999999999", "0.000001"), "999999999999999.000001"),
        (("1e14", "1E-6"), "100000000000000.000001"),
    ],
)
def test_a_sum_is_exact_and_rounded_half_even(
    values: tuple[str, str], kwh: str, import_readings: ImportReadings, months: Months
) -> None:
    """Digits are dropped once, behind the sum; no exponent, no trailing zeros, no negative zero."""
    import_readings(csv(*(f"2024-01-01T0{hour}:00Z,{value}" for hour, value in enumerate(values))))

    assert months() == [("2024-01", 2, kwh, 0)]


def test_a_sum_of_many_digits_is_exact() -> None:
    """More digits than Python's default context keeps."""
    numbers = [Decimal("999999999999999.000000000000000000000000000001")] * 1000

    assert plain(exact_sum(numbers)) == "999999999999999000.000000000000000000000000001"
    assert rounded(exact_sum(numbers)) == "999999999999999000"


def test_a_sum_that_would_be_rounded_raises() -> None:
    """No digit is lost without a word."""
    with pytest.raises(Inexact):
        exact_sum([Decimal("1e99"), Decimal("0.01")])


@pytest.mark.parametrize(("unit", "kwh"), [("Wh", "0.003"), ("kwh", "3"), ("MWh", "3000")])
def test_kwh_are_kwh_whatever_the_meter_counts_in(
    unit: str, kwh: str, import_readings: ImportReadings, client: FlaskClient
) -> None:
    """The unit is the meter's; the sum is converted, exactly."""
    import_readings(csv("2024-01-01T00:00Z,1.5", "2024-01-01T01:00Z,1.5"), "--unit", unit)

    report = client.get("/realmon/api/v1/reports/monthly?meter=m").get_json()

    assert report["unit"] == {"kwh": "kWh"}.get(unit, unit)
    assert report["months"][0]["kwh"] == kwh


@pytest.mark.parametrize("query", ["", "?meter=", "?meter=%20"])
def test_a_report_without_a_meter_is_a_problem(query: str, client: FlaskClient) -> None:
    """The parameter that is missing is named."""
    answer = client.get(f"/realmon/api/v1/reports/monthly{query}")

    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert [error["parameter"] for error in answer.get_json()["errors"]] == ["meter"]


def test_an_unknown_meter_is_a_problem(client: FlaskClient) -> None:
    """The meter that is not there is named."""
    answer = client.get("/realmon/api/v1/reports/monthly?meter=nothing")

    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"
    assert "'nothing'" in answer.get_json()["detail"]


def test_an_empty_page_says_what_would_fill_it(client: FlaskClient) -> None:
    """Without a meter the page shows the commands that bring one."""
    page = client.get("/realmon/").text

    assert "There are no readings yet" in page
    assert "flask realmon import sample.csv" in page
    assert "<table" not in page


def test_the_page_shows_the_months_of_each_meter(import_readings: ImportReadings, client: FlaskClient) -> None:
    """Every meter has a table with its zone; the decimal points of a column stand below each other."""
    import_readings(csv("2024-01-31T22:00Z,1.5", "2024-02-01T00:00Z,20"), meter="<Main>", building="Mill")
    import_readings(csv("2024-01-01T00:00Z,7"), meter="Other", building="Barn", zone="Asia/Kolkata")

    page = client.get("/realmon/").text

    assert page.index("Other") < page.index("&lt;Main&gt;")
    assert "Asia/Kolkata" in page
    assert '<td class="number">1.5</td>' in page
    assert '<td class="number">20.0</td>' in page
    assert '<td class="number bad">1</td>' in page
    assert "<script" not in page


@pytest.mark.parametrize(("page", "shown"), [("1", "m0"), ("2", "m5"), ("99", "m5"), ("-1", "m0"), ("x", "m0")])
def test_many_meters_are_on_several_pages(
    page: str, shown: str, import_readings: ImportReadings, client: FlaskClient
) -> None:
    """Five meters on a page; a page that is not there is the nearest one."""
    for number in range(6):
        import_readings(csv("2024-01-01T00:00Z,1"), meter=f"m{number}")

    text = client.get("/realmon/", query_string={"page": page}).text

    assert f"<h2>{shown}</h2>" in text
    assert ("Next meters" in text) is (shown == "m0")
    assert ("Previous meters" in text) is (shown == "m5")


def test_the_page_links_to_a_report(
    import_readings: ImportReadings, client: FlaskClient, months: Callable[..., t.Any]
) -> None:
    """The link beside a table answers, whatever the meter is called."""
    import_readings(csv("2024-01-01T00:00Z,1"), meter="a&b ü?")

    link = client.get("/realmon/").text.partition('href="/realmon/api')[2].partition('"')[0]

    assert client.get("/realmon/api" + link.replace("&amp;", "&")).get_json()["meter"] == "a&b ü?"
    assert months("a&b ü?") == [("2024-01", 1, "1", 0)]
