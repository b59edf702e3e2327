"""One worker: takes a job, runs it, takes the next; in a thread of ``flask run`` or in a process of its own."""

from __future__ import annotations

import logging
import random
import threading
import time
import typing as t

from sqlalchemy.exc import SQLAlchemyError

from ..data import ensure_schema
from ..errors import SchemaError
from .bell import Bell
from .mail.sending import settle_abandoned
from .recovery import expire, give_back, requeue_dead
from .run import Attempt
from .state import get_state
from .take import Taker

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from flask import Flask

    from .ledger import Claim
    from .link import Execute

logger = logging.getLogger("myapp.work")

#: How soon a worker sees what another process has committed.
SQLITE_POLL_SECONDS, POLL_SECONDS = 0.05, 0.25
JITTER = 0.2
#: How often it looks for workers that have died, and for results that have expired.
RECOVER_SECONDS, EXPIRE_SECONDS = 0.5, 60.0
BEAT_SECONDS = 0.25
MAXIMUM_PAUSE_SECONDS = 5.0


class Watch(t.Protocol):
    """Whoever watches over a worker from outside, and ends jobs that do not end."""

    def begin(self, claim: Claim, owner: str) -> None:
        """Learn that a job begins now."""

    def end(self) -> None:
        """Learn that it has ended."""

    def beat(self, attempt: Attempt | None) -> None:
        """Be called every fraction of a second, by a thread of the worker."""


class Worker:
    """Works until :meth:`stop`.

    :param queues: only those; None for all.
    :param watch: None in a thread, whose jobs nobody can end.
    """

    def __init__(self, app: Flask, *, queues: Iterable[str] | None = None, watch: Watch | None = None) -> None:
        self.app = app
        self.queues = queues
        self.watch = watch
        self.bell = Bell()
        self.is_stopping = False
        self.attempt: Attempt | None = None
        self._recover_at = self._expire_at = 0.0
        self._expired_until: datetime | None = None

    def stop(self) -> None:
        """Take no more jobs; the one that runs is finished. May be called from a signal handler."""
        self.is_stopping = True
        self.bell.ring()

    def run(self) -> None:
        """Work; a database that cannot be reached is waited for, and no error ends it."""
        get_state(self.app).workers.add(self)
        pause = 0.1
        while not self.is_stopping:
            began = time.monotonic()
            try:
                self._work()
            except (SQLAlchemyError, OSError, SchemaError) as error:
                # Whatever it held belongs to nobody now, and is given to others, this one included.
                logger.warning("The worker cannot reach the ledger and tries again in %.1f s: %s", pause, error)
            except Exception:
                # A thread of the server that ended would be missed by nobody, until the next job waits for it.
                logger.exception("The worker has failed and goes on in %.1f s.", pause)
            else:
                return
            self.bell.wait(pause)
            lasted = time.monotonic() - began
            pause = 0.1 if lasted > MAXIMUM_PAUSE_SECONDS * 2 else min(pause * 2, MAXIMUM_PAUSE_SECONDS)

    def run_when_told(self, orders: Iterable[object]) -> Iterator[None]:
        """Run the job that comes first, if one is due, at each of ``orders``: for a transport that says when.

        Yields after each.

        :raises SQLAlchemyError: when the ledger cannot be reached; what was held is given to others.
        """
        with Taker(self.app, self.queues) as taker, _Pulse(self, taker):
            for _ in orders:
                # What the last look has found is old by now.
                taker.look()
                claim = taker.take()
                if claim is not None:
                    self._run(claim, taker, follows=False)
                yield

    def _work(self) -> None:
        ensure_schema(self.app)
        with Taker(self.app, self.queues) as taker, _Pulse(self, taker):
            while not self.is_stopping:
                self.tend(taker)
                claim = taker.take()
                while claim is not None:
                    claim = self._run(claim, taker)
                if not self.is_stopping:
                    self._wait(taker)

    def _run(self, claim: Claim, taker: Taker, *, follows: bool = True) -> Claim | None:
        """Run one job and return the one that was taken with its end."""
        if self.is_stopping:
            self._give_back(taker)
            return None

        def follow(execute: Execute) -> Claim | None:
            # Now and then it looks up: for what comes first by now, and for workers that have died.
            return None if self.is_stopping or taker.is_stale else taker.take_in(execute)

        attempt = self.attempt = Attempt(claim, taker, follow if follows else None, self._gives_up)
        if self.watch is not None:
            self.watch.begin(claim, taker.owner)
        try:
            ended = attempt.run()
        finally:
            self.attempt = None
            if self.watch is not None:
                self.watch.end()
        if ended.state == "lost":
            # What was to end it may have been committed without our knowing, and with it the next claim.
            self._give_back(taker)
            return None
        return attempt.next

    def _gives_up(self) -> bool:
        """Whether a job that is over is left to others, who run it again, because its end cannot be written."""
        # A process is killed at the end of its grace. A thread has nobody who would do that.
        return self.is_stopping and self.watch is None

    def _give_back(self, taker: Taker) -> None:
        """Give back what was taken and has not begun."""
        give_back(taker.link, self.app, taker.owner)

    def _wait(self, taker: Taker) -> None:
        """Wait until there may be something to do."""
        is_sqlite = get_state(self.app).dialect.is_sqlite
        # Before the look: what is committed after it changes the version again.
        taker.has_changed()
        next_due = taker.look()
        while not (taker.has_due or self.is_stopping):
            poll = SQLITE_POLL_SECONDS if is_sqlite else POLL_SECONDS * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
            has_rung = self.bell.wait(poll)
            self.tend(taker)
            is_due = next_due is not None and next_due <= get_state(self.app).clock.now()
            if has_rung or is_due or taker.has_changed():
                next_due = taker.look()

    def tend(self, taker: Taker) -> None:
        """Do for everybody what no worker is asked to do: give away the jobs of the dead, clear away what expired."""
        now = time.monotonic()
        if now >= self._recover_at:
            self._recover_at = now + RECOVER_SECONDS
            requeue_dead(taker)
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_SECONDS * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
            moment = get_state(self.app).clock.now()
            expire(taker.link, self.app, self._expired_until)
            self._expired_until = moment
            taker.presence.sweep()
            settle_abandoned(self.app, taker.link)


class _Pulse:
    """A thread that says that the worker lives, and tells its watch."""

    def __init__(self, worker: Worker, taker: Taker) -> None:
        self._worker = worker
        self._taker = taker
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="myapp-jobs-pulse", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(BEAT_SECONDS):
            try:
                self._taker.presence.beat(get_state(self._worker.app).clock.now())
                if self._worker.watch is not None:
                    self._worker.watch.beat(self._worker.attempt)
            except (SQLAlchemyError, OSError) as error:
                logger.warning("The worker could not say that it lives: %s", error)
