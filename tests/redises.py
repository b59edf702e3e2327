"""A Redis server from Debian's packages, on a port that the kernel chose: started by the tests, ended by its pid."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
import typing as t

import redis

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS = 30.0
INSTALL = "apt-get install redis-server"


def find_redis() -> str | None:
    """Return the path of the server's program."""
    return shutil.which("redis-server")


class RedisServer:
    """A server that can be stopped, started again on its port, and made to hang.

    It keeps nothing when it is stopped.

    :param folder: where it runs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = find_redis()
        assert program is not None, INSTALL
        self.process = subprocess.Popen(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "",
             "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        with self.client() as client:
            while True:
                try:
                    client.ping()
                except redis.ConnectionError:
                    if self.process.poll() is not None or time.monotonic() > deadline:
                        raise
                    # The server tells nobody that it is ready.
                    time.sleep(0.01)
                else:
                    return

    def stop(self) -> None:
        """End it; its port then refuses connections."""
        if self.process is None:
            return
        process, self.process = self.process, None
        # One that hangs does not see anything milder.
        process.kill()
        process.wait(timeout=30)

    def hang(self) -> None:
        """Let it accept connections and say nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it answer again, what was asked meanwhile too."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """Yield a client of the test's own."""
        with redis.Redis.from_url(self.url, socket_timeout=10) as client:
            yield client
