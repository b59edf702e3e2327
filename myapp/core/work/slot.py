"""One process of ``flask jobs work``: a worker, and the board on which its supervisor sees what it does."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import threading
import time
import typing as t

from ..errors import JobCancelledError
from .worker import Worker

if t.TYPE_CHECKING:
    from types import FrameType

    from flask import Flask

    from .ledger import Claim
    from .run import Attempt
    from .transport import Fleet

#: How long a cancelled job may go on before it is interrupted, and then before its process is killed.
CANCEL_GRACE_SECONDS = 2.0
#: The signal that interrupts a job. Not SIGTERM, which ends the worker and lets the job finish.
INTERRUPT = signal.SIGUSR1
#: Those that mean one thing to the supervisor and another one here.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, INTERRUPT)


class Board:
    """Memory that a slot shares with its supervisor: when its job has to be over, and its name.

    :class:`struct.Struct` writes the moment as eight bytes at an aligned place, which are never seen half written.
    """

    _moment = struct.Struct("d")
    SIZE = 128

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self.SIZE)

    @property
    def deadline(self) -> float:
        """When the process is to be killed, as :func:`time.monotonic` counts for all of them; 0.0 for never."""
        moment: float = self._moment.unpack_from(self._memory)[0]
        return moment

    @deadline.setter
    def deadline(self, moment: float) -> None:
        self._moment.pack_into(self._memory, 0, moment)

    @property
    def owner(self) -> str:
        """The name of the worker, or nothing before its first job."""
        return self._memory[8 : self.SIZE].rstrip(b"\0").decode()

    @owner.setter
    def owner(self, name: str) -> None:
        self._memory[8 : self.SIZE] = name.encode().ljust(self.SIZE - 8, b"\0")

    def clear(self) -> None:
        """Make it that of a new process."""
        self.deadline, self.owner = 0.0, ""

    def close(self) -> None:
        """Release the memory."""
        self._memory.close()


class Slot:
    """The watch of the worker in this process; see :class:`myapp.core.work.worker.Watch`."""

    def __init__(self, board: Board, grace_seconds: float) -> None:
        self.board = board
        self.grace_seconds = grace_seconds
        self.parent = os.getppid()
        self.worker: Worker | None = None
        self._orphaned_at: float | None = None
        self._cancelled: tuple[Attempt, float] | None = None
        # The pulse sets a deadline while the worker goes on to the next job.
        self._mutex = threading.Lock()
        self._running: Claim | None = None

    def begin(self, claim: Claim, owner: str) -> None:
        """Tell the supervisor until when the job may take."""
        with self._mutex:
            self._running = claim
            self.board.owner = owner
            self.board.deadline = 0.0 if claim.timeout is None else time.monotonic() + claim.timeout

    def end(self) -> None:
        """Tell it that the job is over."""
        with self._mutex:
            self._running = None
            self.board.deadline = 0.0

    def beat(self, attempt: Attempt | None) -> None:
        """Interrupt a job that was cancelled and goes on; end with the supervisor."""
        if os.getppid() != self.parent and self.worker is not None:
            self._end_alone(self.worker)
        if attempt is None or not attempt.taker.presence.is_cancel_asked(attempt.claim):
            self._cancelled = None
        elif self._cancelled is None or self._cancelled[0] is not attempt:
            self._cancelled = (attempt, time.monotonic())
        elif time.monotonic() - self._cancelled[1] > CANCEL_GRACE_SECONDS:
            self._cancelled = (attempt, float("inf"))
            with self._mutex:
                if self._running is not attempt.claim:
                    return
                # Code that no signal reaches is ended by the supervisor.
                self.board.deadline = time.monotonic() + CANCEL_GRACE_SECONDS
            signal.pthread_kill(threading.main_thread().ident or 0, INTERRUPT)

    def interrupts(self, attempt: Attempt) -> bool:
        """Whether the signal is meant for ``attempt``, and not for the one before it, which has ended meanwhile."""
        return self._cancelled is not None and self._cancelled[0] is attempt

    def _end_alone(self, worker: Worker) -> None:
        """Do what the supervisor would do, which is gone: let the job finish within the grace, and no longer."""
        worker.stop()
        now = time.monotonic()
        if self._orphaned_at is None:
            self._orphaned_at = now
        if now - self._orphaned_at > self.grace_seconds or 0.0 < self.board.deadline <= now:
            os.killpg(0, signal.SIGKILL)


def run_slot(app: Flask, fleet: Fleet, board: Board) -> None:
    """Work in this process until SIGTERM."""
    slot = Slot(board, fleet.grace_seconds)
    worker = slot.worker = Worker(app, queues=fleet.queues, watch=slot)
    heed_signals(worker, slot)
    worker.run()


def heed_signals(worker: Worker, slot: Slot) -> None:
    """Let the job of ``worker``, which runs in this thread, be interrupted, and SIGTERM mean: no more jobs."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        attempt = worker.attempt
        # Only while the code of the job runs: what writes its end is not to be torn.
        if attempt is not None and attempt.is_interruptible and slot.interrupts(attempt):
            raise JobCancelledError(f"Job {attempt.claim.id} was cancelled.")

    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    # The keys of a terminal go to the whole group: the supervisor alone decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(INTERRUPT, interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
