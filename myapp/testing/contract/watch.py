"""What code does besides what it is for: threads, processes, files, sockets, the state of the process.

An audit hook of Python sees most of it, and cannot be taken away again: this is for the process of the probe.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import threading
import typing as t
from contextlib import contextmanager

if t.TYPE_CHECKING:
    from collections.abc import Iterator

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: Audit events, and what they say to a reader; the first argument of the event completes it.
EVENTS = {
    "os.chmod": "changes the mode of {}",
    "os.exec": "runs {}",
    "os.fork": "forks a process",
    "os.link": "makes the link {}",
    "os.mkdir": "makes the folder {}",
    "os.posix_spawn": "runs {}",
    "os.remove": "removes {}",
    "os.rename": "renames {}",
    "os.rmdir": "removes the folder {}",
    "os.symlink": "makes the link {}",
    "os.system": "runs {}",
    "os.truncate": "truncates {}",
    "sqlite3.connect": "opens the database {}",
    "subprocess.Popen": "runs {}",
}
NETWORK = {"socket.connect": 1, "socket.getaddrinfo": 0, "socket.gethostbyname": 0, "socket.sendto": 1}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM)


class Watch:
    """Collects what happens in its block, each as ``(what, file:line of the watched code)``.

    :param folder: where the watched code lies; empty when nobody knows.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.effects: list[tuple[str, str]] = []
        self._is_on = False

    @contextmanager
    def on(self) -> Iterator[None]:
        """Watch until the block ends."""
        before, sockets, start = _snapshot(), _open_sockets(), threading.Thread.start
        sys.addaudithook(self._see)
        # Python 3.11 has no audit event for a thread.
        threading.Thread.start = self._starting(start)  # type: ignore[method-assign]
        self._is_on = True
        try:
            yield
        finally:
            self._is_on = False
            threading.Thread.start = start  # type: ignore[method-assign]
            after = _snapshot()
            for what, value in before.items():
                if after[what] != value:
                    self._add(f"changes {what}{_changed(value, after[what])}")
            # Not each that is made: libraries open one for a moment to see which protocols there are.
            if len(_open_sockets()) > len(sockets):
                self._add("leaves a socket open")

    def _see(self, event: str, arguments: tuple[t.Any, ...]) -> None:
        if not self._is_on:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITING and path != os.devnull and isinstance(path, str | bytes):
                self._add(f"writes the file {os.fsdecode(path)}")
        elif event in EVENTS:
            self._add(EVENTS[event].format(arguments[0] if arguments else ""))
        elif event in NETWORK:
            self._add(f"talks to the network ({arguments[NETWORK[event]]})")

    def _starting(self, start: t.Any) -> t.Any:
        def watched(thread: threading.Thread) -> None:
            self._add(f"starts the thread {thread.name}")
            start(thread)

        return watched

    def _add(self, what: str) -> None:
        effect = (what, self._place())
        if effect not in self.effects:
            self.effects.append(effect)

    def _place(self) -> str:
        frame = sys._getframe(1)
        while frame is not None:
            if self.folder and frame.f_code.co_filename.startswith(self.folder):
                return f"{frame.f_code.co_filename}:{frame.f_lineno}"
            if frame.f_back is None:
                break
            frame = frame.f_back
        return ""


def _snapshot() -> dict[str, t.Any]:
    return {
        "the environment": dict(os.environ),
        "the current folder": os.getcwd(),
        "sys.path": list(sys.path),
        "the handlers of the root logger": list(logging.getLogger().handlers),
        "the handlers of signals": {int(number): signal.getsignal(number) for number in SIGNALS},
        "sys.excepthook": sys.excepthook,
    }


def _changed(before: t.Any, after: t.Any) -> str:
    """Return the names of what has changed; never a value, which may be a secret."""
    if not isinstance(before, dict) or not all(isinstance(key, str) for key in before):
        return ""
    keys = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return f" ({', '.join(keys)})"


def _open_sockets() -> list[socket.socket]:
    return [one for one in gc.get_objects() if isinstance(one, socket.socket) and one.fileno() != -1]
