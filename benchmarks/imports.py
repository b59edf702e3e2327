"""``flask realmon import`` beside ``executemany`` of the same rows through :mod:`sqlite3`."""

from __future__ import annotations

import csv
import gzip
import os
import sqlite3
import time
import typing as t
from pathlib import Path

from myapp import create_app

if t.TYPE_CHECKING:
    from collections.abc import Callable

REAL = "il-electricity-cdd-hdd-hourly.csv.gz"
Row: t.TypeAlias = tuple[int, str, str]


class Imports(t.NamedTuple):
    """The two sides, each of which stores all rows at every call, and how many rows there are."""

    peer: Callable[[], float]
    ours: Callable[[], float]
    rows: int


def make_imports(folder: Path) -> Imports:
    """Prepare both sides in ``folder``; the real readings are used where ``MYAPP_METER_DATA`` names their folder."""
    app = create_app(
        {"MYAPP_PROFILE": "development", "MYAPP_INSTANCE_PATH": str(folder / "imports")}, plugins=["realmon"]
    )
    runner = app.test_cli_runner()
    readings = os.environ.get("MYAPP_METER_DATA")
    if readings is None:
        path = folder / "sample.csv"
        path.write_text(runner.invoke(args=["realmon", "sample"], catch_exceptions=False).output)
    else:
        path = Path(readings) / REAL
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows: list[Row] = [(1, row["start"], row["value"]) for row in csv.DictReader(content.decode().splitlines())]
    number = 0

    def peer() -> float:
        nonlocal number
        number += 1
        connection = sqlite3.connect(folder / f"executemany-{number}.sqlite3", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        # The key of the plugin's own table.
        connection.execute(
            "CREATE TABLE readings (meter_id INTEGER, start TEXT, value TEXT, PRIMARY KEY (meter_id, start))"
            " WITHOUT ROWID"
        )
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO readings VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
        seconds = time.perf_counter() - started
        connection.close()
        return seconds

    def ours() -> float:
        nonlocal number
        number += 1
        args = ["realmon", "import", str(path), "--building", "b", "--timezone", "UTC", "--meter", f"meter {number}"]
        started = time.perf_counter()
        result = runner.invoke(args=args, catch_exceptions=False)
        seconds = time.perf_counter() - started
        if result.exit_code != 0 or f"{len(rows):,} readings" not in result.output:
            raise SystemExit(f"The import did not store what it should: {result.output}")
        return seconds

    return Imports(peer, ours, len(rows))
