"""The process of a fleet on Redis that sends what is not on its way: delayed, tried again, lost, or never sent."""

from __future__ import annotations

import logging
import os
import signal
import typing as t
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from ..config import get_config
from ..data import ensure_schema, get_engine
from ..errors import SchemaError, UnavailableError
from ..redis import Breaker, RedisClient
from ..tasks import new_id
from . import messages
from .bell import Bell
from .slot import SIGNALS
from .state import get_state
from .take import Taker
from .worker import Worker

if t.TYPE_CHECKING:
    from flask import Flask
    from redis import Redis

    from .slot import Board
    from .transport import Fleet

logger = logging.getLogger("myapp.work")

ROUND_SECONDS = 0.5
#: How long a Redis that does not answer is left alone.
PAUSE_SECONDS = 1.0
#: How many jobs of each queue one look covers: those that are to run next. The others come up when these are done.
AT_ONCE = 500
#: What was due this recently may be on its way between the commit and Redis, or between Redis and its claim.
FRESH = timedelta(seconds=0.5)
#: Held by whoever looks, so that of several senders one sends; it goes by itself before the next round.
LOCK, LOCK_MILLISECONDS = "myapp.jobs.sender", 450


def run_sender(app: Flask, _fleet: Fleet, _board: Board) -> None:
    """Send what is not on its way, and give away what the dead have held, until SIGTERM."""
    sender = Sender(app)
    signal.signal(signal.SIGTERM, lambda *_: sender.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    sender.run()


class Sender:
    """Compares the ledger with what is in Redis, again and again."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        # Of its own: here somebody waits for Redis on purpose.
        self.client = RedisClient(get_config(app).redis_url("jobs"), "jobs-sender", Breaker(PAUSE_SECONDS))
        self.name = new_id()
        self.bell = Bell()
        self.is_stopping = False
        self._is_refused = False
        self._parent = os.getppid()

    def stop(self) -> None:
        """End after the round; may be called from a signal handler."""
        self.is_stopping = True
        self.bell.ring()

    def run(self) -> None:
        """Work; a database or a Redis that cannot be reached is waited for."""
        try:
            while not self._is_over():
                try:
                    self._work()
                except (SQLAlchemyError, OSError, SchemaError) as error:
                    logger.warning("The sender of jobs cannot reach the ledger, and tries again: %s", error)
                self.bell.wait(ROUND_SECONDS)
        finally:
            self.close()

    def _work(self) -> None:
        ensure_schema(self.app)
        worker = Worker(self.app)
        with Taker(self.app) as taker:
            while not self._is_over():
                worker.tend(taker)
                self.send_lost()
                self.bell.wait(ROUND_SECONDS)

    def _is_over(self) -> bool:
        return self.is_stopping or os.getppid() != self._parent

    def close(self) -> None:
        """Close what it has opened."""
        self.client.close()

    def send_lost(self) -> int:
        """Send the jobs that are due and that no message in Redis is about; return how many.

        0 when Redis cannot be reached, and when another sender has just done it.
        """
        # Imported by the client already.
        from redis.exceptions import RedisError

        try:
            if not self.client.ask(lambda redis: redis.set(LOCK, self.name, nx=True, px=LOCK_MILLISECONDS)):
                return 0
            due = self._find_due()
            lost = self.client.ask(lambda redis: _send_lost(redis, due)) if due else []
        except UnavailableError:
            # Its breaker has said so, and says when it is over.
            return 0
        except RedisError as error:
            # Out of memory, or a replica that takes no writes: it may be over in a moment, and once is said enough.
            if not self._is_refused:
                logger.warning(
                    "Redis at %s takes no messages; it is asked again and again: %s", self.client.address, error
                )
            self._is_refused = True
            return 0
        self._is_refused = False
        if lost:
            logger.info("Sent %d jobs that were not on their way.", len(lost))
        return len(lost)

    def _find_due(self) -> list[tuple[str, str]]:
        """Return the jobs that come first in each queue: a long one keeps no other from being sent."""
        dialect, moment = get_state(self.app).dialect, get_state(self.app).clock.now() - FRESH
        found: dict[str, list[str]] = {}
        with get_engine(self.app).connect() as connection:
            lines = connection.exec_driver_sql(dialect["upcoming"]).all()
            # Line by line, as the index has them, the largest priority first.
            for queue, priority, due in sorted(lines, key=lambda line: -line[1]):
                ids = found.setdefault(queue, [])
                if dialect.parsed(due) <= moment and len(ids) < AT_ONCE:
                    line = {"queue": queue, "priority": priority, "limit": AT_ONCE - len(ids)}
                    first = connection.exec_driver_sql(dialect["due"], {**line, "moment": dialect.moment(moment)})
                    ids += first.scalars()
        return [(id_, queue) for queue, ids in found.items() for id_ in ids]


def _send_lost(redis: Redis, due: list[tuple[str, str]]) -> list[tuple[str, str]]:
    lost = messages.find_lost(redis, due)
    messages.send(redis, lost)
    return lost
