"""``flask realmon sample``, and the plugin itself."""

from __future__ import annotations

import typing as t
from configparser import ConfigParser
from pathlib import Path

import myapp_plugins.realmon as plugin

from myapp.core.data import downgrade, get_engine, get_metadata, upgrade

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

    from myapp import CustomFlask

    from .conftest import ImportReadings


def test_the_sample_is_a_year_without_gaps(
    realmon: CustomFlask, import_readings: ImportReadings, months: Callable[..., list[tuple[str, int, str, int]]]
) -> None:
    """Twelve months of the German calendar, every hour of them, and nothing of another year."""
    sample = realmon.test_cli_runner().invoke(args=["realmon", "sample"])

    result = import_readings(sample.stdout, meter="Household", building="Home", zone="Europe/Berlin")

    assert sample.exit_code == 0
    assert sample.stderr == ""
    assert "Imported 8,760 readings" in result.stdout
    table = months("Household")
    assert [month[0] for month in table] == [f"2025-{month:02}" for month in range(1, 13)]
    assert [month[3] for month in table] == [0] * 12
    assert table[2][1] == 743
    assert table[9][1] == 745


def test_the_sample_is_the_same_every_time(realmon: CustomFlask) -> None:
    """Its numbers are what documents and pictures show."""
    samples = {realmon.test_cli_runner().invoke(args=["realmon", "sample"]).stdout for _ in range(2)}

    lines = samples.pop().splitlines()
    assert samples == set()
    assert lines[:3] == ["start,value", "2025-01-01T00:00:00+01:00,0.151", "2025-01-01T01:00:00+01:00,0.204"]
    assert lines[-1].startswith("2025-12-31T23:00:00+01:00,")


def test_the_models_and_the_migrations_agree(realmon: CustomFlask) -> None:
    """Alembic finds nothing to add to the tables that the migrations make."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    upgrade(realmon)

    with get_engine(realmon).connect() as connection:
        options = {
            "compare_type": True,
            "include_name": lambda name, kind, _parents: kind != "table" or str(name).startswith("realmon_"),
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, get_metadata("myapp_plugins.realmon")) == []


def test_the_tables_can_be_taken_back(realmon: CustomFlask, client: FlaskClient) -> None:
    """Down to nothing and up again."""
    upgrade(realmon)

    downgrade(realmon, "realmon", "base")
    with get_engine(realmon).connect() as connection:
        tables = connection.exec_driver_sql("SELECT name FROM sqlite_schema WHERE name LIKE 'realmon_%'").all()
    upgrade(realmon)

    assert tables == []
    assert client.get("/realmon/").status_code == 200


def test_the_package_says_what_the_manifest_says() -> None:
    """Installed with pip, it is the same version of the same plugin."""
    config = ConfigParser()
    config.read(Path(plugin.__file__).with_name("setup.cfg"))

    assert config["metadata"]["version"] == plugin.__plugin__["version"]
    assert config["options.entry_points"]["myapp.plugins"].split() == [plugin.__plugin__["name"], "=", "myapp_realmon"]
