"""An app with the energy monitor, its commands, and files to import."""

from __future__ import annotations

import typing as t

import pytest
import sqlalchemy as sa

from myapp import get_db

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result
    from flask.testing import FlaskClient

    from myapp import CustomFlask
    from tests.databases import Tables

#: Shared by every file here: a function that imports a text or bytes, or a path, with options.
ImportReadings = t.Callable[..., "Result"]


@pytest.fixture
def realmon(make_app: Callable[..., CustomFlask], tables: Tables) -> CustomFlask:
    """Return an app with this plugin only, and its tables."""
    app = make_app("realmon")
    tables.make(app)
    return app


@pytest.fixture
def client(realmon: CustomFlask) -> FlaskClient:
    """Return a client of the app with the plugin."""
    return realmon.test_client()


@pytest.fixture
def import_readings(realmon: CustomFlask, tmp_path: Path) -> ImportReadings:
    """Return a function that runs ``flask realmon import`` on a text, on bytes or on a file."""

    def run(
        source: str | bytes | Path, *options: str, meter: str = "m", building: str = "b", zone: str = "UTC"
    ) -> Result:
        path = source
        if isinstance(source, str | bytes):
            path = tmp_path / "readings.csv"
            path.write_bytes(source.encode() if isinstance(source, str) else source)
        arguments = ["realmon", "import", str(path), "--meter", meter, "--building", building, "--timezone", zone]
        return realmon.test_cli_runner().invoke(args=[*arguments, *options])

    return run


@pytest.fixture
def months(client: FlaskClient) -> Callable[..., list[tuple[str, int, str, int]]]:
    """Return a function that asks the API for the months of a meter: month, readings, kWh, gaps."""

    def ask(meter: str = "m") -> list[tuple[str, int, str, int]]:
        answer = client.get("/realmon/api/v1/reports/monthly", query_string={"meter": meter})
        assert answer.status_code == 200, answer.text
        return [
            (month["month"], month["readings"], month["kwh"], month["gaps"]) for month in answer.get_json()["months"]
        ]

    return ask


@pytest.fixture
def stored(realmon: CustomFlask) -> Callable[[], dict[str, str]]:
    """Return a function that gives the stored readings: the text of each value by its start in UTC."""

    def read() -> dict[str, str]:
        query = sa.text(
            "SELECT strftime('%Y-%m-%dT%H:%M', start, 'unixepoch'), value FROM realmon_readings ORDER BY start"
        )
        with realmon.task(read_only=True):
            return {start: value for start, value in get_db().execute(query)}

    return read
