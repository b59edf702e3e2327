"""``flask jobs work``: one process for each slot, watched, ended and replaced."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
import traceback
import typing as t

from ..runtime import get_runtime
from .bell import Bell
from .link import Link
from .presence import create_presence
from .recovery import give_back
from .slot import SIGNALS, Board, run_slot

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Flask

    from .transport import Fleet

#: What a process does until SIGTERM.
Main: t.TypeAlias = "Callable[[Flask, Fleet, Board], None]"

logger = logging.getLogger("myapp.work")

#: A process that ends this soon after its start, without having taken a job, is not replaced at once.
TOO_SOON_SECONDS, MAXIMUM_PAUSE_SECONDS = 1.0, 5.0
LONGEST_WAIT_SECONDS = 1.0


class Place:
    """One slot: its board, and the process in it, if there is one."""

    def __init__(self, main: Main) -> None:
        self.main = main
        self.board = Board()
        self.pid: int | None = None
        self.began = 0.0
        self.starts_at = 0.0
        self.pause = 0.0


class Supervisor:
    """Keeps ``fleet.concurrency`` processes working until SIGTERM or SIGINT.

    :param mains: what they do, if it is something else than to work on the ledger.

    It has no thread and no connection to the database while it forks: neither survives that in a child.
    """

    def __init__(self, app: Flask, fleet: Fleet, mains: Sequence[Main] = ()) -> None:
        self.app = app
        self.fleet = fleet
        self.bell = Bell()
        self.places = [Place(main) for main in mains or [run_slot] * fleet.concurrency]
        #: How many signals asked it to end, and when the grace is over.
        self._asked = 0
        self._told = 0
        self.ends_at: float | None = None

    def run(self) -> int:
        """Work; return the exit status."""
        get_runtime(self.app).close()
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        handlers = {number: signal.signal(number, self._notice) for number in numbers}
        try:
            while True:
                self._collect()
                self._heed_signals()
                self._kill_overdue()
                if self.ends_at is None:
                    self._fill()
                elif all(place.pid is None for place in self.places):
                    return 0
                self.bell.wait(self._seconds_to_wait())
        finally:
            self._end_all()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _notice(self, number: int, _frame: object) -> None:
        self._asked += number != signal.SIGCHLD
        self.bell.ring()

    def _heed_signals(self) -> None:
        """Let the processes end; at the second SIGTERM or SIGINT the grace is over."""
        if self._told == self._asked:
            return
        self._told = self._asked
        grace = self.fleet.grace_seconds if self.ends_at is None else 0.0
        self.ends_at = time.monotonic() + grace
        for place in self.places:
            if place.pid is not None:
                os.kill(place.pid, signal.SIGTERM)

    def _collect(self) -> None:
        """Learn which processes have ended."""
        for place in self.places:
            if place.pid is None:
                continue
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if pid == 0:
                continue
            if os.WIFSIGNALED(status):
                # Whatever it had started has nobody left who watches it.
                self._kill(pid)
            # One that took a job was ended by it, or by somebody. One that did not come so far, again and again, would
            # keep the machine busy with starting it.
            is_early = not place.board.owner and time.monotonic() - place.began < TOO_SOON_SECONDS
            place.pause = min(place.pause * 2 + 0.1, MAXIMUM_PAUSE_SECONDS) if is_early else 0.0
            # The next process looks for jobs of dead workers first.
            place.starts_at = time.monotonic() + place.pause
            place.pid = None

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        ended: list[Place] = []
        for place in self.places:
            if place.pid is None:
                continue
            if 0.0 < place.board.deadline <= now:
                logger.error("The job of worker %s took longer than its timeout; it is killed.", place.board.owner)
                place.board.deadline = 0.0
                self._kill(place.pid)
            elif self.ends_at is not None and self.ends_at <= now:
                self._kill(place.pid)
                ended.append(place)
        for place in ended:
            os.waitpid(t.cast("int", place.pid), 0)
            place.pid = None
        # When all of them are gone: any of them may have held SQLite's only write lock.
        for place in ended:
            self._give_back(place)

    def _give_back(self, place: Place) -> None:
        """Make what a killed process was doing ready again, as if it had not begun."""
        if not place.board.owner:
            return
        link = Link(self.app)
        try:
            number = give_back(link, self.app, place.board.owner)
            create_presence(self.app).forget(place.board.owner)
            if number:
                logger.warning("The job of worker %s is given back: the grace is over.", place.board.owner)
        except Exception:
            # Whoever works next finds that its worker is gone.
            logger.exception("The job of worker %s could not be given back.", place.board.owner)
        finally:
            link.close()

    def _fill(self) -> None:
        for place in self.places:
            if place.pid is None and place.starts_at <= time.monotonic():
                self._start(place)

    def _start(self, place: Place) -> None:
        place.board.clear()
        place.began = time.monotonic()
        # What is buffered would be written twice.
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that comes before the child has its own handlers waits until it has them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        place.pid = os.fork()
        if place.pid:
            # A group of its own, so that what the job has started ends with it; whoever is first makes it.
            os.setpgid(place.pid, place.pid)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return
        status = 1
        try:
            os.setpgid(0, 0)
            place.main(self.app, self.fleet, place.board)
            status = 0
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            # Nothing of the parent's is to be ended here.
            os._exit(status)

    def _seconds_to_wait(self) -> float:
        moments = [place.board.deadline for place in self.places if place.pid is not None and place.board.deadline]
        moments += [place.starts_at for place in self.places if place.pid is None]
        moments += [self.ends_at] if self.ends_at is not None else []
        # A deadline that a process sets meanwhile wakes nobody.
        return min([LONGEST_WAIT_SECONDS, *(moment - time.monotonic() for moment in moments)])

    def _kill(self, pid: int) -> None:
        """End a process and what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    def _end_all(self) -> None:
        """End what is left when the supervisor itself fails."""
        for place in self.places:
            if place.pid is not None:
                self._kill(place.pid)
                os.waitpid(place.pid, 0)
            place.board.close()
