"""What the plugin shows outside of its own page: a link in the navigation, and how it is."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa
from myapp_plugins.realmon.models import Building

from myapp import get_db
from myapp.core.plugins import get_guards
from myapp.testing import bearer

from .test_import import csv

if t.TYPE_CHECKING:
    from flask.testing import FlaskClient

    from myapp import CustomFlask

    from .conftest import ImportReadings


def test_the_navigation_leads_to_it(client: FlaskClient) -> None:
    """From every page of the core; on its own it is the current one."""
    assert '<a href="/realmon/">Energy</a></nav>' in client.get("/").text
    assert '<a href="/realmon/">Energy</a></nav>' in client.get("/nothing", headers={"Accept": "text/html"}).text
    assert '<a href="/realmon/" aria-current="page">Energy</a></nav>' in client.get("/realmon/").text


def test_it_says_how_it_is(realmon: CustomFlask, client: FlaskClient, import_readings: ImportReadings) -> None:
    """Meters and the latest reading; a zone that the machine does not know is a reason to be degraded."""
    headers = bearer(realmon, "ann@example.com", "status:read")

    def look() -> tuple[str, str]:
        # What a check has found counts for a moment.
        clock = get_guards(realmon).clock
        get_guards(realmon).clock = lambda: clock() + 60
        told = client.get("/status", headers=headers).json
        return next((one["status"], one["detail"]) for one in told["checks"] if one["name"] == "realmon")

    assert look() == ("ok", "meters: 0, no readings")
    import_readings(csv("2024-01-31T22:00Z,1.5", "2024-02-01T00:00Z,2"))
    assert look() == ("ok", "meters: 1, latest reading: 2024-02-01 00:00 UTC")
    with realmon.task():
        get_db().execute(sa.update(Building).values(timezone="Mars/Olympus"))
    assert look() == ("degraded", "zones that this machine does not know: Mars/Olympus; install tzdata")
