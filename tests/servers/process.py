"""Start a real server of one of several kinds on a port that the kernel chooses, and end it by its pid."""

from __future__ import annotations

import sys
import time
import typing as t
from contextlib import contextmanager
from pathlib import Path

from myapp.testing.servers import Answer, Server, wait_for_port
from myapp.testing.servers import serve as serve_command

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "PATIENCE_SECONDS",
    "ROOT",
    "SERVERS",
    "Answer",
    "Server",
    "command_of",
    "serve",
    "wait_for",
    "wait_for_port",
]

#: What a shared machine may take before a test calls something broken.
PATIENCE_SECONDS = 30.0

ROOT = Path(__file__).resolve().parents[2]

GUNICORN = [sys.executable, "-m", "gunicorn", "-b", "127.0.0.1:0", "--no-control-socket"]
SERVERS: dict[str, list[str]] = {
    "werkzeug": [sys.executable, "-m", "flask", "--app", "{app}", "run", "-p", "0"],
    "gunicorn-sync": [*GUNICORN, "-k", "sync", "{app}"],
    "gunicorn-gthread": [*GUNICORN, "-k", "gthread", "--threads", "4", "{app}"],
    "gunicorn-gevent": [*GUNICORN, "-k", "gevent", "{app}"],
}


@contextmanager
def serve(command: list[str], log: Path, environ: Mapping[str, str], cwd: Path = ROOT) -> Iterator[Server]:
    """Run ``command`` with this checkout's myapp until the block ends; its output goes to ``log``."""
    with serve_command(command, log, {"PYTHONPATH": str(ROOT), **environ}, cwd) as server:
        yield server


def command_of(kind: str, app: str) -> list[str]:
    """Return the command line of one kind of server for ``module:app``."""
    return [part.format(app=app) for part in SERVERS[kind]]


def wait_for(
    condition: Callable[[], t.Any], seconds: float = PATIENCE_SECONDS, explain: Callable[[], str] = lambda: ""
) -> t.Any:
    """Return what ``condition`` gives, once that is true.

    :param explain: tells more, such as the log of a server, when it does not become true in time.
    :raises AssertionError: then.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"It did not happen within {seconds} s.\n{explain()}")
        # Another process does it, and tells nobody.
        time.sleep(0.01)
    return value
