"""Start a real server on a port that the kernel chooses, and end it by its pid."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
import typing as t
from contextlib import contextmanager
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
ADDRESS = re.compile(r"(?:Listening at: |Running on )http://127\.0\.0\.1:(\d+)")

GUNICORN = [sys.executable, "-m", "gunicorn", "-b", "127.0.0.1:0", "--no-control-socket"]
SERVERS: dict[str, list[str]] = {
    "werkzeug": [sys.executable, "-m", "flask", "--app", "{app}", "run", "-p", "0"],
    "gunicorn-sync": [*GUNICORN, "-k", "sync", "{app}"],
    "gunicorn-gthread": [*GUNICORN, "-k", "gthread", "--threads", "4", "{app}"],
    "gunicorn-gevent": [*GUNICORN, "-k", "gevent", "{app}"],
}


class Answer(t.NamedTuple):
    """What a client got; ``is_whole`` is false when the connection was cut in the body."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    is_whole: bool


class Server(t.NamedTuple):
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, timeout: float = 60) -> Answer:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            try:
                body, is_whole = response.read(), True
            except http.client.IncompleteRead as error:
                body, is_whole = error.partial, False
            return Answer(response.status, response.headers, body, is_whole)
        finally:
            connection.close()


@contextmanager
def serve(command: list[str], log: Path, environ: Mapping[str, str], cwd: Path = ROOT) -> Iterator[Server]:
    """Run ``command`` until the block ends; its output goes to ``log``."""
    full = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environ}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=full, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield Server(wait_for_port(process, log), process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=15)


def command_of(kind: str, app: str) -> list[str]:
    """Return the command line of one kind of server for ``module:app``."""
    return [part.format(app=app) for part in SERVERS[kind]]


def wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Return the port that a server says it listens on.

    :raises AssertionError: when it ends, or says nothing in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        match = ADDRESS.search(log.read_text(errors="replace"))
        if match is not None:
            return int(match[1])
        if process.poll() is not None:
            break
        # A server says when it listens in its log alone.
        time.sleep(0.05)
    raise AssertionError(f"The server did not start:\n{log.read_text(errors='replace')}")
