"""``POST /realmon/api/v1/reports/power/<year>/<month>``: a job that mails each owner what the meters counted."""

from __future__ import annotations

import typing as t

import pytest

from myapp.core.work import drain
from myapp.testing import bearer
from myapp.testing.mailbox import Mailbox

from .test_import import csv

if t.TYPE_CHECKING:
    from flask.testing import FlaskClient

    from myapp import CustomFlask

    from .conftest import ImportReadings

PATH = "/realmon/api/v1/reports/power/2024/1"
TWO = csv("2024-01-01T00:00Z,1.5", "2024-01-01T02:00Z,2.25", "2024-01-01T03:00Z,1", "2024-02-01T00:00Z,7")


@pytest.fixture
def reporter(realmon: CustomFlask, import_readings: ImportReadings) -> dict[str, str]:
    """Store two buildings, one of them with an owner, and return the headers of somebody who may report."""
    import_readings(TWO, "--owner", "ann@example.com", meter="Cellar", building="Home")
    import_readings(csv("2024-03-01T00:00Z,1"), meter="<Roof>", building="Home")
    import_readings(TWO, meter="Hall", building="Away")
    return bearer(realmon, "operator@example.com", "reports:write")


def test_a_month_is_reported_in_the_background_and_mailed(
    realmon: CustomFlask, client: FlaskClient, reporter: dict[str, str]
) -> None:
    """202 at once; the result is at the job, and each building's owner gets that building's part."""
    answer = client.post(PATH, headers=reporter)
    assert answer.status_code == 202
    assert len(Mailbox(realmon)) == 0
    assert [ended.state for ended in drain(realmon)] == ["done"]

    cellar = {"meter": "Cellar", "readings": 3, "kwh": "4.75", "gaps": 741}
    assert client.get(answer.headers["Location"], headers=reporter).json["result"] == {
        "month": "2024-01",
        "mails": 1,
        "buildings": [
            {"building": "Away", "meters": [{**cellar, "meter": "Hall"}]},
            {"building": "Home", "meters": [{"meter": "<Roof>", "readings": 0, "kwh": None, "gaps": 0}, cellar]},
        ],
    }
    (mail,) = Mailbox(realmon)
    assert (mail.recipients, mail.subject) == (("ann@example.com",), "Home: power in 2024-01")
    assert "- Cellar: 4.75 kWh from 3 readings, 741 missing\n" in mail.text
    assert "- <Roof>: no readings\n" in mail.text
    assert "Hall" not in mail.text
    assert "<td>&lt;Roof&gt;</td>" in mail.html
    assert mail.links == ["http://localhost:5000/realmon/"]


def test_who_may_not_report_mails_nobody(realmon: CustomFlask, client: FlaskClient, reporter: dict[str, str]) -> None:
    """401 without a token, 403 without the scope, 404 for a month that there is not; and no job."""
    other = bearer(realmon, "operator@example.com", "readings:write")

    assert client.post(PATH).status_code == 401
    assert client.post(PATH, headers=other).status_code == 403
    for month in ("2024/13", "2024/0", "0/1", "x/1"):
        assert client.post(f"/realmon/api/v1/reports/power/{month}", headers=reporter).status_code == 404
    assert drain(realmon) == []
