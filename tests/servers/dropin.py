"""A project of its own under ``flask run --debug``, into which files are dropped."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
import typing as t
from contextlib import contextmanager

from .process import ROOT, Server, wait_for, wait_for_port

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: What the design promises, and what a shared machine may take on top before a test calls it broken.
PROMISED_SECONDS, PATIENCE_SECONDS = 3.0, 20.0

APP = """
from myapp import create_app

app = create_app({
    "MYAPP_PROFILE": "development",
    "MYAPP_BLUEPRINT_PACKAGES": ("team",),
    "MYAPP_PLUGIN_DIRS": ("%(folder)s/plugins",),
    "MYAPP_INSTANCE_PATH": "%(folder)s/instance",
})
"""
MODULE = """
from flask import Blueprint

blueprint = Blueprint("{name}", __name__)


@blueprint.get("{path}")
def index():
    return "{text}"
"""
HOOK = """

def myapp_blueprints(app, plugin):
    return blueprint
"""


class Project(t.NamedTuple):
    """A folder with an app, a blueprint package and a plugin folder, and the server that serves it."""

    folder: Path
    server: Server

    def write(self, name: str, text: str) -> None:
        """Write a file below the folder; an editor would do it in the same way."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def wait_for(self, path: str, is_wanted: Callable[[int, str], bool]) -> float:
        """Ask for ``path`` until its status and its body are what is wanted, and return the seconds that it took.

        :raises AssertionError: after :data:`PATIENCE_SECONDS`, with the log of the server.
        """
        started = time.monotonic()
        last: object = None
        while time.monotonic() - started < PATIENCE_SECONDS:
            try:
                answer = self.server.ask("GET", path, timeout=5)
                last = (answer.status, answer.body.decode())
                if is_wanted(answer.status, answer.body.decode()):
                    return time.monotonic() - started
            except (OSError, http.client.HTTPException) as error:
                # Between two children of the reloader nobody answers.
                last = error
            # The server alone knows when it has restarted.
            time.sleep(0.05)
        raise AssertionError(f"{path}: {last!r}\n{self.log()}")

    def wait_for_log(self, text: str) -> None:
        """Wait until the server has said ``text``.

        :raises AssertionError: after :data:`PATIENCE_SECONDS`.
        """
        wait_for(lambda: text in self.log(), PATIENCE_SECONDS, lambda: f"{text!r} is not in the log:\n{self.log()}")

    def log(self) -> str:
        """Return what the server has said, without the lines of its requests."""
        lines = self.server.log.read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if " - - [" not in line)


@contextmanager
def run_debug(folder: Path, *options: str, **variables: str) -> Iterator[Project]:
    """Serve a project in ``folder`` with ``flask run --debug``; the reloader and its child end with the block.

    :param variables: of the environment, on top.
    """
    (folder / "team").mkdir()
    (folder / "team" / "__init__.py").touch()
    (folder / "plugins").mkdir()
    (folder / "application.py").write_text(APP % {"folder": folder}, encoding="utf-8")
    environ = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "PYTHONUNBUFFERED": "1", **variables}
    command = [sys.executable, "-m", "flask", "--app", "application", "run", "--debug", "-p", "0", *options]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        project = Project(folder, Server(wait_for_port(process, log), process, log))
        # The parent listens before its child serves.
        project.wait_for_log("Debugger is active")
        yield project
    finally:
        # A session of its own: the group is the reloader and its child, and nobody else.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=15)
