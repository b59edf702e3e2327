"""The process that runs jobs for one of RQ's workers, which talks to Redis meanwhile."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import time
import typing as t

from .slot import SIGNALS, Slot, heed_signals
from .worker import Worker

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask

    from .slot import Board
    from .transport import Fleet

logger = logging.getLogger("myapp.work")

#: How often the worker says that it lives while a job runs; RQ takes it for dead after a minute more.
HEARTBEAT_SECONDS = 30.0
#: How often either looks whether the other one is still there.
LOOK_SECONDS = 0.25


class Horse:
    """A work-horse: forked for the first job, and kept for the next; a new one follows when it dies.

    RQ forks one for each job, which takes ten times as long as a small job. It stays in the process group of its
    worker, so that the supervisor ends both.

    :param forget: called in the new process: closes what it has inherited and must not use.
    """

    def __init__(self, app: Flask, fleet: Fleet, board: Board, forget: Callable[[], None]) -> None:
        self.app = app
        self.fleet = fleet
        self.board = board
        self.forget = forget
        self.pid = 0
        self._orders = self._reports = -1

    def run(self, beat: Callable[[], None]) -> bool:
        """Let it run a job, if one is due, and wait for it; False when it has died meanwhile.

        :param beat: called now and then.
        """
        if not self.pid or self._has_ended():
            self._fork()
        # One that dies at this very moment is found to have ended.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._orders, b"!")
        beats_at = time.monotonic() + HEARTBEAT_SECONDS
        while True:
            if select.select([self._reports], [], [], LOOK_SECONDS)[0] and os.read(self._reports, 1):
                return True
            # Its pipe alone does not tell: a process that the job has started may hold it open.
            if self._has_ended():
                return False
            if time.monotonic() >= beats_at:
                beats_at = time.monotonic() + HEARTBEAT_SECONDS
                beat()

    def kill(self) -> None:
        """End it, whatever it does."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Let it end, as it does when its worker is gone, and wait for it."""
        if self.pid:
            os.close(self._orders)
            os.close(self._reports)
            os.waitpid(self.pid, 0)
            self.pid = 0

    def _has_ended(self) -> bool:
        if os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            return False
        os.close(self._orders)
        os.close(self._reports)
        self.pid = 0
        return True

    def _fork(self) -> None:
        orders, self._orders = os.pipe()
        self._reports, reports = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.pid = os.fork()
        if self.pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(orders)
            os.close(reports)
            return
        status = 1
        try:
            os.close(self._orders)
            os.close(self._reports)
            self.forget()
            self._work(orders, reports)
            status = 0
        except BaseException:
            logger.exception("A work-horse has failed; another one follows.")
        finally:
            logging.shutdown()
            # Nothing of the worker's is to be ended here.
            os._exit(status)

    def _work(self, orders: int, reports: int) -> None:
        slot = Slot(self.board, self.fleet.grace_seconds)
        worker = slot.worker = Worker(self.app, queues=self.fleet.queues, watch=slot)
        heed_signals(worker, slot)
        for _ in worker.run_when_told(_iter_orders(orders, worker)):
            os.write(reports, b"!")


def _iter_orders(pipe: int, worker: Worker) -> Iterator[None]:
    """Yield for each order, until there is nobody who gives them, or SIGTERM."""
    while not worker.is_stopping:
        if select.select([pipe], [], [], LOOK_SECONDS)[0]:
            if not os.read(pipe, 1):
                return
            yield
