"""A PostgreSQL server from Debian's packages, for one test process: started at first use, ended by its pid."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import typing as t
from pathlib import Path

import psycopg
import sqlalchemy as sa

from myapp.core.config import get_config
from myapp.core.data import ensure_schema
from myapp.core.data.migrations import get_schema

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

START_SECONDS = 60.0
INSTALL = "apt-get install postgresql"


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    return None if program is None else Path(program).resolve().parent


@contextlib.contextmanager
def run_postgres(programs: Path) -> Iterator[str]:
    """Run a server on a socket in a folder of its own and yield the URL of its database."""
    # Short: the path of a socket has at most 107 bytes. PostgreSQL refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    if user:
        entry = pwd.getpwnam("postgres")
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    data = folder / "data"
    quiet: dict[str, t.Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **user}
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "myapp", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
        check=True,
        timeout=START_SECONDS,
        **quiet,
    )
    server = subprocess.Popen(
        # Durability is not what these tests are about.
        [programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off",
         "-c", "full_page_writes=off", "-c", "autovacuum=off", "-c", "jit=off", "-c", "max_connections=200"],
        **quiet,
    )  # fmt: skip
    url = f"postgresql://myapp@/postgres?host={folder}"
    try:
        _wait(url, server)
        yield url
    finally:
        # Immediate: nothing of it is kept.
        server.send_signal(signal.SIGQUIT)
        server.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def make_schema(url: str, name: str) -> str:
    """Make an empty schema and return the URL of an app that has nothing but it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
    return f"{url}&options=-csearch_path%3D{name}"


class Tables:
    """Brings empty databases up to date: the first one of its kind by the migrations, the others by a copy of it.

    Running the migrations takes longer than most tests do.

    :param folder: where copies of SQLite's files are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copies: dict[t.Any, t.Any] = {}

    def make(self, app: Flask) -> None:
        """Give the empty database of ``app`` the tables of its owners."""
        url = sa.make_url(get_config(app).database_url)
        kind = (url.get_backend_name(), *get_schema(app).owners.values())
        copy = self._copies.get(kind)
        if url.get_backend_name() == "sqlite":
            self._copies[kind] = self._make_file(app, Path(str(url.database)), copy)
        else:
            self._copies[kind] = self._make_schema(app, url, copy)

    def _make_file(self, app: Flask, path: Path, copy: Path | None) -> Path:
        if copy is not None:
            # The app makes its folder when it first writes to it.
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(copy, path)
        ensure_schema(app)
        if copy is None:
            copy = self._folder / f"{len(self._copies)}.sqlite3"
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.execute("VACUUM INTO ?", [str(copy)])
        return copy

    def _make_schema(self, app: Flask, url: sa.URL, copy: str | None) -> str:
        name = str(url.query["options"]).partition("search_path=")[2]
        server = url.set(drivername="postgresql").difference_update_query(["options"]).render_as_string(False)
        if copy is not None:
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(copy.replace("{schema}", name).encode())
        ensure_schema(app)
        return copy or _dump(server, name)


def _dump(url: str, name: str) -> str:
    """Return the statements that make the tables of a schema and their rows, with ``{schema}`` for its name."""
    programs = find_postgres()
    assert programs is not None
    command = [programs / "pg_dump", f"--schema={name}", "--inserts", "--no-owner", f"--dbname={url}"]
    dumped = subprocess.run(command, check=True, capture_output=True, text=True, timeout=START_SECONDS).stdout
    # Lines that begin with a backslash are for psql alone, and the schema is there.
    lines = [line for line in dumped.splitlines() if not line.startswith(("\\", "CREATE SCHEMA"))]
    return "\n".join(lines).replace(name, "{schema}")


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            # The server tells nobody that it is ready.
            time.sleep(0.05)
        else:
            return
