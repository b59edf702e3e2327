"""A bell that another thread, or a signal handler, rings for one that waits."""

from __future__ import annotations

import contextlib
import os
import select
import weakref


class Bell:
    """A pipe: unlike a condition it may be rung from a signal handler that interrupts the very thread that waits."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        # Not by a method: somebody may be about to ring, and the number of a closed pipe soon is another file's.
        for end in (self._reader, self._writer):
            weakref.finalize(self, os.close, end)

    def ring(self) -> None:
        """Let the one who waits, or who waits next, go on."""
        # A full pipe rings already.
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"!")

    def wait(self, seconds: float) -> bool:
        """Wait until it rings, at most ``seconds``; return whether it has."""
        ready, _, _ = select.select([self._reader], [], [], max(seconds, 0))
        if ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._reader, 4096)
        return bool(ready)
