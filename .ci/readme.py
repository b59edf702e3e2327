"""Run the README and the tutorials as a newcomer would: their commands word for word, in a fresh copy of the project.

::

    python3 .ci/readme.py test FOLDER
    python3 .ci/readme.py walk FOLDER

``test`` runs the command that passes the tests. ``walk`` does everything else, in the order of the README:

* the command that ends in ``flask run`` installs and serves; ``GET /`` must be 200 within five seconds;
* "Write `path`", with a block of Python below it, writes that file, and the server is started again;
* "Open http://127.0.0.1:5000/path" and "`/path` is served" ask the server, whose answer must be 200;
* every other command must end with status 0. One with an ellipsis is left to the reader, who has to complete it.

A command is each line of a block of ``sh`` or ``console``; where lines begin with ``$``, those are the commands, and
what stands below each must be in its output (an ellipsis stands for anything).
"""

from __future__ import annotations

import contextlib
import os
import re
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
PROMPTS = {"command": "$", "file": "write", "page": "GET"}
#: A fenced block with its language, or a sentence that says what the server answers.
ITEM = re.compile(
    r"^```(?P<language>\w+)\n(?P<body>.*?)^```$"
    r"|Open http://127\.0\.0\.1:5000(?P<page>/[\w/-]*)"
    r"|`(?P<served>/[\w/-]*)` is served",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
TARGET = re.compile(r"Write `([\w./-]+\.py)`[^`]*\Z", re.IGNORECASE)
#: The one warning that a newcomer may see: Werkzeug's, on its server.
DEVELOPMENT_SERVER = "WARNING: This is a development server."


class Step(t.NamedTuple):
    """One thing to do: run a command, write a file, or look at a page."""

    kind: t.Literal["command", "file", "page"]
    #: The command, the path of the file, or the path of the page.
    text: str
    #: What the README shows below the command, or the content of the file.
    shown: str = ""


class Failure(Exception):
    """The README promises what does not happen."""


def iter_steps(text: str) -> Iterator[Step]:
    """Yield what the README tells its reader to do, in order."""
    for item in ITEM.finditer(text):
        language, body = item["language"], item["body"]
        if language is None:
            yield Step("page", item["page"] or item["served"])
        elif language in ("sh", "bash", "console"):
            yield from _iter_commands(body.replace("\\\n", ""))
        elif language == "python" and (target := TARGET.search(text, 0, item.start())):
            yield Step("file", target[1], body)


def _iter_commands(body: str) -> Iterator[Step]:
    parts = re.split(r"^\$ ", body, flags=re.MULTILINE)
    if len(parts) == 1:
        yield from (Step("command", line) for line in body.splitlines() if line and not line.startswith("#"))
    for part in parts[1:]:
        command, _, shown = part.partition("\n")
        yield Step("command", command.strip(), shown.strip())


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
            self._write(step.text, step.shown)
        elif step.kind == "page":
            self._look_at(step.text)
        elif "…" in step.text:
            print("  (left to the reader)")
        elif step.text.endswith("flask run"):
            *before, self.serve_command = step.text.split(" && ")
            if before:
                self._run(" && ".join(before))
            self.stop()
            self.start()
        else:
            _expect(step, self._run(step.text))

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

    def _write(self, target: str, content: str) -> None:
        path = (self.folder / target).resolve()
        if self.folder.resolve() not in path.parents:
            raise Failure(f"The README would write {target}, which is outside of the project.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        # New files are served after a restart.
        self.stop()

    def _look_at(self, path: str) -> None:
        if self.server is None:
            self.start()
        status, body = self._get(path)
        print(f"  {status}, {len(body):,} characters")
        if status != 200:
            raise Failure(f"GET {path} is {status}:\n{body}")

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
    """Compare with what the README shows; an ellipsis stands for anything."""
    pattern = re.escape(step.shown).replace("…", ".*")
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
                print(f"{PROMPTS[step.kind]} {step.text}", flush=True)
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
    # The tutorials go on where the README ends, in the same folder.
    docs = folder / "docs"
    pages = [folder / "README.md", docs / "tutorial.md", docs / "plugin-tutorial.md"]
    steps = [step for page in pages for step in iter_steps(page.read_text(encoding="utf-8"))]
    try:
        return {"test": run_tests, "walk": walk}[action](folder, steps)
    except Failure as failure:
        print(failure)
        return 1


if __name__ == "__main__":
    sys.exit(main())
