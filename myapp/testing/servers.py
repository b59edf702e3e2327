"""Real servers on ports that the kernel chooses, and what a client gets from them."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import threading
import time
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass

from werkzeug.serving import WSGIRequestHandler, make_server

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from flask import Flask

START_SECONDS = 30.0
END_SECONDS = 15.0
ADDRESS = re.compile(r"(?:Listening at: |Running on )http://127\.0\.0\.1:(\d+)")


class Answer(t.NamedTuple):
    """What a client got; ``is_whole`` is false when the connection was cut in the body."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    is_whole: bool


@dataclass(frozen=True)
class Listening:
    """Whatever listens on a port of this machine."""

    port: int

    @property
    def url(self) -> str:
        """Where it is: ``http://127.0.0.1:<port>``, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60,
        body: bytes | None = None,
    ) -> Answer:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            try:
                content, is_whole = response.read(), True
            except http.client.IncompleteRead as error:
                content, is_whole = error.partial, False
            return Answer(response.status, response.headers, content, is_whole)
        finally:
            connection.close()


@dataclass(frozen=True)
class Server(Listening):
    """A process that serves."""

    process: subprocess.Popen[bytes]
    log: Path


@dataclass(frozen=True)
class LiveServer(Listening):
    """A thread of this process that serves ``app``."""

    app: Flask


class _Handler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: a line for each request would hide what a failed test has said."""


@contextmanager
def serve_in_thread(app: Flask) -> Iterator[LiveServer]:
    """Serve ``app`` on a port of its own until the block ends; each request has a thread.

    A request that never ends does not keep the block from ending: its thread is left behind.
    """
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Handler)
    # The socket listens already: whoever asks before the loop runs is answered when it does.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="live_server")
    thread.start()
    try:
        yield LiveServer(server.port, app)
    finally:
        server.shutdown()
        thread.join(END_SECONDS)
        server.server_close()


@contextmanager
def serve(command: list[str], log: Path, environ: Mapping[str, str], cwd: Path | str) -> Iterator[Server]:
    """Run ``command``, which serves, until the block ends; its output goes to ``log``.

    :param environ: variables on top of those of this process.
    """
    full = {**os.environ, "PYTHONUNBUFFERED": "1", **environ}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - The command is the test's own.
            command, cwd=cwd, env=full, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield Server(wait_for_port(process, log), process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=END_SECONDS)


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
