"""One process of a fleet on Redis: it starts RQ's worker, and waits for a Redis or a database that is away."""

from __future__ import annotations

import logging
import os
import signal
import time
import typing as t
from importlib import import_module

from sqlalchemy.exc import SQLAlchemyError

from ..data import ensure_schema, get_engine
from ..redis import get_redis
from .slot import SIGNALS

if t.TYPE_CHECKING:
    from flask import Flask
    from redis import Redis

    from ..redis import RedisClient
    from .rq_classes import LedgerWorker
    from .slot import Board
    from .transport import Fleet

logger = logging.getLogger("myapp.work")

#: How long a worker that starts leaves a Redis alone that is away.
PAUSE_SECONDS = 1.0


def run_worker(app: Flask, fleet: Fleet, board: Board) -> None:
    """Be one of RQ's workers until SIGTERM: wait for messages, and let a work-horse run a job for each."""
    from redis.exceptions import RedisError

    # The keys of a terminal go to the whole group: the supervisor alone decides. RQ's worker heeds SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    parent = os.getppid()
    client = t.cast("RedisClient", get_redis(app, "jobs"))
    while os.getppid() == parent:
        try:
            # Here once, so that no work-horse has to; and without a connection that would not survive the fork.
            ensure_schema(app)
            get_engine(app).dispose()
            make_worker(app, fleet, board, client.redis).work(logging_level="WARNING")
        except (RedisError, SQLAlchemyError) as error:
            logger.warning("A worker waits for Redis at %s, or for the database: %s", client.address, error)
            # Nothing tells when it is there; SIGTERM ends this.
            time.sleep(PAUSE_SECONDS)
        else:
            return


def make_worker(app: Flask, fleet: Fleet, board: Board, redis: Redis) -> LedgerWorker:
    """Return one worker of the fleet; it has no connection to the database, which would not survive its forks."""
    # RQ: 60 ms on top of redis, and only for who has a fleet on Redis.
    classes = import_module(".rq_classes", __package__)
    return t.cast("LedgerWorker", classes.LedgerWorker(app, fleet, board, redis))
