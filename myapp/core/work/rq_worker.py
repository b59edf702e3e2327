"""RQ's worker, taught that the ledger is the truth: a message says that a job is ready, the ledger which and how."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
import typing as t

from sqlalchemy.exc import SQLAlchemyError

from ..data import ensure_schema, get_engine
from ..redis import get_redis
from .functions import queues
from .horse import Horse
from .messages import PREFIX
from .slot import SIGNALS

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask
    from redis import Redis
    from rq.executions import Execution
    from rq.job import Job as Message
    from rq.queue import Queue
    from rq.worker import Worker

    from ..redis import RedisClient
    from .slot import Board
    from .transport import Fleet

logger = logging.getLogger("myapp.work")

#: A worker that waits for a message looks up this often, and learns of new queues.
LOOK_SECONDS = 2
#: How long a worker that starts leaves a Redis alone that is away.
PAUSE_SECONDS = 1.0
#: RQ waits longer and longer for a Redis that is away; jobs wait no longer than this for it.
RECONNECT_SECONDS = 4.0
#: What is read of a message. Whatever else somebody has written into Redis (names of functions to call back, addresses
#: to report to, retries) is none of ours.
READ = frozenset(
    b"data origin status description timeout result_ttl failure_ttl created_at enqueued_at started_at ended_at"
    b" last_heartbeat worker_name".split()
)


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


def make_worker(app: Flask, fleet: Fleet, board: Board, redis: Redis) -> Worker:
    """Return one worker of the fleet; it has no connection to the database, which would not survive its forks."""
    # 60 ms on top of redis, and only for who has a fleet on Redis; their classes cannot be made without it.
    from redis.exceptions import RedisError
    from rq.exceptions import StopRequested
    from rq.job import Job as Message
    from rq.queue import Queue
    from rq.serializers import JSONSerializer
    from rq.worker import Worker, WorkerStatus

    parent = os.getppid()

    class LedgerMessage(Message):
        """A message of ours, as it comes from Redis."""

        def restore(self, raw_data: Mapping[bytes, bytes]) -> t.Any:
            """Take what a message of ours may say, and leave the rest."""
            return super().restore({key: value for key, value in raw_data.items() if key in READ})

    class LedgerWorker(Worker):
        """See :func:`make_worker`."""

        max_connection_wait_time = RECONNECT_SECONDS
        looks_at = 0.0

        def execute_job(self, job: Message, queue: Queue) -> None:
            """Let the work-horse run what the ledger has; what the message says that it calls is not looked at."""
            execution = self.prepare_execution(job)
            self.prepare_job_execution(job, remove_from_intermediate_queue=True)
            if horse.run(lambda: self._beat(job, execution)):
                with self.connection.pipeline() as pipeline:
                    self.cleanup_execution(job, pipeline=pipeline, execution=execution)
                    job.delete(pipeline=pipeline, remove_from_queue=False)
                    pipeline.execute()
            else:
                # For who looks at RQ; the sender sees to the job.
                self.handle_job_failure(job, queue, exc_string="The work-horse has died.", execution=execution)
            self.set_state(WorkerStatus.IDLE)

        def _beat(self, job: Message, execution: Execution) -> None:
            # A Redis that is away now may be back when the job is done.
            with contextlib.suppress(RedisError):
                self.maintain_heartbeats(job, execution)

        def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
            """End the work-horse; RQ would end the group, which is the worker's too."""
            horse.kill()

        def request_force_stop(self, signum: int, frame: t.Any) -> None:
            """Do nothing at a second SIGTERM: the supervisor knows how long the grace is."""

        def heartbeat(self, *args: t.Any, **kwargs: t.Any) -> None:
            """Look up, too: for the supervisor, and for queues that are new.

            :raises StopRequested: when the supervisor is gone.
            """
            super().heartbeat(*args, **kwargs)
            if os.getppid() != parent:
                raise StopRequested
            if fleet.queues is None and time.monotonic() >= self.looks_at:
                self.looks_at = time.monotonic() + LOOK_SECONDS
                self.queues = self._ordered_queues = self._find_queues()

        def _find_queues(self) -> list[Queue]:
            known = {PREFIX + name for name in (*queues(), "default")}
            known |= {queue.name for queue in Queue.all(connection=self.connection) if queue.name.startswith(PREFIX)}
            return [make_queue(name) for name in sorted(known)]

        def teardown(self) -> None:
            """Let the work-horse end as well."""
            horse.end()
            super().teardown()  # type: ignore[no-untyped-call]

    def make_queue(name: str) -> Queue:
        return Queue(name, connection=redis, job_class=LedgerMessage, serializer=JSONSerializer)

    worker = LedgerWorker(
        [PREFIX + name for name in fleet.queues or queues() or ["default"]],
        connection=redis,
        job_class=LedgerMessage,
        serializer=JSONSerializer,
        # RQ waits for 15 s less.
        worker_ttl=LOOK_SECONDS + 15,
        log_job_description=False,
    )
    horse = Horse(app, fleet, board, lambda: redis.connection_pool.disconnect(inuse_connections=True))
    return worker
