"""A PostgreSQL server from Debian's packages, for one test process: started at first use, ended by its pid."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import typing as t
from pathlib import Path

import psycopg

if t.TYPE_CHECKING:
    from collections.abc import Iterator

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
         "-c", "max_connections=200"],
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
