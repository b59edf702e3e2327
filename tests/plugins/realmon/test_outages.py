"""``flask realmon check``: the owner of a meter that has stopped reporting gets one mail for each outage."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime, timedelta

import pytest

from myapp.core.work import drain
from myapp.testing.mailbox import Mailbox

from .test_import import csv

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask

    from .conftest import ImportReadings

OWNER = "ann@example.com"


def hours_ago(*hours: int) -> str:
    """Return a file with a reading at the beginning of the hour, so many hours ago each."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return csv(*(f"{(now - timedelta(hours=each)).isoformat()},1" for each in sorted(hours, reverse=True)))


@pytest.fixture
def check(realmon: CustomFlask) -> Callable[..., list[str]]:
    """Return a function that runs the check and its job, and gives the subjects of all mails so far."""

    def run(*options: str) -> list[str]:
        result = realmon.test_cli_runner().invoke(args=["realmon", "check", *options])
        assert result.exit_code == 0, result.output
        assert [ended.state for ended in drain(realmon)] == ["done"]
        return [mail.subject for mail in Mailbox(realmon)]

    return run


def test_an_outage_is_told_once(
    realmon: CustomFlask, import_readings: ImportReadings, check: Callable[..., list[str]]
) -> None:
    """Not each day again; another one, after new readings, is."""
    import_readings(hours_ago(102, 101, 100), "--owner", OWNER, meter="Cellar", building="Home")

    assert check() == ["Home: the meter Cellar has stopped reporting"]
    assert len(check()) == 1
    import_readings(hours_ago(80, 79), meter="Cellar", building="Home")
    assert len(check()) == 2
    assert len(check()) == 2
    import_readings(hours_ago(3, 2), meter="Cellar", building="Home")
    assert len(check()) == 2
    assert len(check("--hours", "0.5")) == 3

    mail = Mailbox(realmon)[0]
    assert mail.recipients == (OWNER,)
    assert "- Cellar since " in mail.text
    assert mail.links == ["http://localhost:5000/realmon/"]


def test_a_building_gets_one_mail_for_all_of_its_meters(
    realmon: CustomFlask, import_readings: ImportReadings, check: Callable[..., list[str]]
) -> None:
    """Each building's owner hears of that building only, in its own time, and names are escaped in HTML."""
    for meter in ("a", "<b>"):
        import_readings(hours_ago(102, 101), "--owner", OWNER, meter=meter, building="Home")
    import_readings(hours_ago(102, 101), "--owner", "bob@example.com", meter="c", building="Away", zone="Asia/Tokyo")
    import_readings(hours_ago(2, 1), meter="fine", building="Home")

    assert check() == [
        "Away: the meter c has stopped reporting",
        "Home: 2 meters have stopped reporting",
    ]
    away, home = Mailbox(realmon)
    assert (away.recipients, home.recipients) == (("bob@example.com",), (OWNER,))
    assert " JST" in away.text
    assert "- a since " in home.text
    assert "fine" not in home.text
    assert "<strong>&lt;b&gt;</strong>" in home.html


def test_who_has_no_owner_is_told_when_there_is_one(
    import_readings: ImportReadings, check: Callable[..., list[str]]
) -> None:
    """Nothing is lost because an address came later; a meter that never reported is none that has stopped."""
    import_readings(hours_ago(102, 101), building="Home")
    assert check() == []

    result = import_readings(hours_ago(102, 101), "--owner", "Ann@EXAMPLE.com", building="Home")
    assert "Mail about Home goes to Ann@example.com." in result.stdout
    assert len(check()) == 1


def test_a_check_that_waits_is_not_queued_again(realmon: CustomFlask) -> None:
    """A cron that runs while no worker does leaves one job, not hundreds."""
    runner = realmon.test_cli_runner()
    outputs = {runner.invoke(args=["realmon", "check"]).output for _ in range(3)}
    assert len(outputs) == 1
    assert len(drain(realmon)) == 1


def test_a_check_with_other_hours_is_another_one(realmon: CustomFlask, import_readings: ImportReadings) -> None:
    """It would find nobody, if the one that waits ran in its place; an outage that both find is told once."""
    import_readings(hours_ago(102, 101), "--owner", OWNER, meter="Cellar", building="Home")
    import_readings(hours_ago(5, 4), meter="Attic", building="Home")
    runner = realmon.test_cli_runner()
    for options in ([], ["--hours", "1"], ["--hours", "48"]):
        assert runner.invoke(args=["realmon", "check", *options]).exit_code == 0

    assert [ended.state for ended in drain(realmon)] == ["done", "done"]
    assert [mail.subject for mail in Mailbox(realmon)] == [
        "Home: the meter Cellar has stopped reporting",
        "Home: the meter Attic has stopped reporting",
    ]


@pytest.mark.parametrize("owner", ["ann", "ann@example.com\nBcc: eve@example.com", "jörg@example.com", "@example.com"])
def test_an_owner_is_somebody_whom_mail_reaches(owner: str, import_readings: ImportReadings) -> None:
    """A usage error, and nothing is stored."""
    result = import_readings(hours_ago(2, 1), "--owner", owner)
    assert result.exit_code == 2
    assert "not a mail address" in result.stderr
