"""Run the README as a newcomer would: its commands word for word, in a fresh copy of the project.

::

    python3 .ci/readme.py test FOLDER
    python3 .ci/readme.py walk FOLDER

``test`` runs the command that passes the tests. ``walk`` runs everything else in the order of the README:

* the command that ends in ``flask run`` installs and serves; ``GET /`` must be 200 within five seconds;
* a Python block whose first line is a comment with a path is written to that file, and the server started again;
* ``curl URL`` asks the server; the answer must hold what the block shows below the command;
* every other command must end with status 0, with ``.venv/bin`` on the path.

A command is each line of a ``sh`` block, and each line after ``$`` of a ``console`` block.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import typing as t
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

SECONDS_TO_SERVE = 5.0
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"# ([\w./-]+\.py)\n")
#: The one warning that a newcomer may see: Werkzeug's, on its server.
DEVELOPMENT_SERVER = "WARNING: This is a development server."


class Step(t.NamedTuple):
    """One thing to do: a command with the output that the README shows, or a file to write (a block of Python)."""

    kind: str
    text: str
    shown: str = ""


class Failure(Exception):
    """The README promises what does not happen."""


def iter_steps(text: str) -> Iterator[Step]:
    """Yield what the README tells its reader to do, in order."""
    for language, body in BLOCK.findall(text):
        if language in ("sh", "bash"):
            joined = body.replace("\\\n", "")
            yield from (Step("command", line) for line in joined.splitlines() if line and not line.startswith("#"))
        elif language == "console":
            for part in re.split(r"^\$ ", body.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
                command, _, shown = part.partition("\n")
                yield Step("command", command.strip(), shown.strip())
        elif language == "python" and TARGET.match(body):
            yield Step("file", body)


class Walk:
    """A reader in ``folder``, with the server that runs there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.server: subprocess.Popen[str] | None = None
        self.serve_command = ""
        self.log = folder / "server.log"
        path = f"{folder / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.environ = {**os.environ, "PATH": path, "FLASK_RUN_PORT": str(self.port)}

    def follow(self, step: Step) -> None:
        """Do one step.

        :raises Failure: when it does not do what the README says.
        """
        if step.kind == "file":
            self._write(step.text)
        elif step.text.endswith("flask run"):
            *before, self.serve_command = step.text.split(" && ")
            if before:
                self._run(" && ".join(before))
            self.stop()
            self.start()
        elif step.text.startswith("curl "):
            self._ask(step)
        else:
            output = self._run(step.text)
            _expect(step, output)

    def start(self) -> None:
        """Start the server and wait for its first page.

        :raises Failure: when it takes longer than it may.
        """
        with self.log.open("w") as log:
            self.server = subprocess.Popen(
                ["/bin/sh", "-c", self.serve_command],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                # A group of its own: Ctrl-C reaches the shell and the server.
                start_new_session=True,
            )
        started = time.monotonic()
        while (status := self._status("/")) != 200:
            if time.monotonic() - started > SECONDS_TO_SERVE or self.server.poll() is not None:
                raise Failure(f"GET / is {status} and not 200 within {SECONDS_TO_SERVE} s:\n{self.log.read_text()}")
            time.sleep(0.05)
        print(f"  GET / is 200 after {time.monotonic() - started:.1f} s")

    def stop(self) -> None:
        """Stop the server as Ctrl-C does, and read what it has said.

        :raises Failure: when there is a traceback or a warning of ours in it.
        """
        if self.server is None:
            return
        server, self.server = self.server, None
        if server.poll() is not None:
            raise Failure(f"The server has ended by itself:\n{self.log.read_text()}")
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            raise Failure("The server does not end within 10 s of Ctrl-C.") from None
        said = self.log.read_text()
        for line in said.splitlines():
            if DEVELOPMENT_SERVER not in line and re.search(r"Traceback|(?i:warning)|ERROR|CRITICAL", line):
                raise Failure(f"The server says {line!r}:\n{said}")

    def _write(self, text: str) -> None:
        match = TARGET.match(text)
        if match is None:
            raise Failure("A Python block names no file in its first line.")
        path = (self.folder / match[1]).resolve()
        if self.folder.resolve() not in path.parents:
            raise Failure(f"The README would write {match[1]}, which is outside of the project.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        # New files are served after a restart.
        self.stop()

    def _ask(self, step: Step) -> None:
        if self.server is None:
            self.start()
        url = next(word for word in shlex.split(step.text) if word.startswith("http"))
        path = re.sub(r"^https?://[^/]+", "", url) or "/"
        status, body = self._get(path)
        if status != 200:
            raise Failure(f"GET {path} is {status}:\n{body}")
        _expect(step, body)

    def _run(self, command: str) -> str:
        result = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        output = result.stdout + result.stderr
        if result.returncode or "Traceback" in output:
            raise Failure(f"`{command}` ends with {result.returncode}:\n{output}")
        return output

    def _status(self, path: str) -> int | None:
        try:
            return self._get(path)[0]
        except OSError:
            return None

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def _expect(step: Step, output: str) -> None:
    """Compare with what the README shows; ``…`` or ``...`` stands for anything."""
    pattern = re.escape(step.shown).replace(re.escape("..."), ".*").replace("…", ".*")
    if not re.search(pattern, output, re.DOTALL):
        raise Failure(f"`{step.text}` shows\n{output}\nand the README says\n{step.shown}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_test(step: Step) -> bool:
    return step.kind == "command" and step.text.endswith("-m pytest")


def run_tests(folder: Path, steps: list[Step]) -> int:
    """Run the README's command for the tests; its output is shown as it comes."""
    commands = [step.text for step in steps if _is_test(step)]
    if not commands:
        raise Failure("The README has no command that ends in -m pytest.")
    print(f"$ {commands[0]}", flush=True)
    return subprocess.run(["/bin/sh", "-c", commands[0]], cwd=folder, stdin=subprocess.DEVNULL, check=False).returncode


def walk(folder: Path, steps: list[Step]) -> int:
    """Do everything else."""
    if not any(step.text.endswith("flask run") for step in steps):
        raise Failure("The README has no command that ends in flask run.")
    reader = Walk(folder)
    try:
        for step in steps:
            if not _is_test(step):
                first = step.text.splitlines()[0]
                print(f"$ {first}" if step.kind == "command" else f"> {first}", flush=True)
                reader.follow(step)
        reader.stop()
    finally:
        if reader.server is not None:
            # It may have ended by itself: that is what went wrong, then.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(reader.server.pid, signal.SIGKILL)
    return 0


def main() -> int:
    """Run one of the two."""
    # A shell that runs this in the background has told it to ignore Ctrl-C, and the server would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    action, folder = sys.argv[1], Path(sys.argv[2])
    steps = list(iter_steps((folder / "README.md").read_text(encoding="utf-8")))
    try:
        return {"test": run_tests, "walk": walk}[action](folder, steps)
    except Failure as failure:
        print(failure)
        return 1


if __name__ == "__main__":
    sys.exit(main())
