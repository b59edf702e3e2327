"""RQ's worker, taught that the ledger is the truth: a message says that a job is ready, the ledger which and how.

Only who runs a fleet on Redis imports this module.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import typing as t

from redis.exceptions import RedisError
from rq.exceptions import StopRequested
from rq.job import Job as Message
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.worker import Worker, WorkerStatus

from .functions import queues
from .horse import Horse
from .messages import PREFIX

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask
    from redis import Redis
    from rq.executions import Execution

    from .slot import Board
    from .transport import Fleet

#: A worker that waits for a message looks up this often, and learns of new queues.
LOOK_SECONDS = 2
#: RQ waits longer and longer for a Redis that is away; jobs wait no longer than this for it.
RECONNECT_SECONDS = 4.0
#: What is read of a message. Whatever else somebody has written into Redis (names of functions to call back, addresses
#: to report to, retries) is none of ours.
READ = frozenset(
    b"data origin status description timeout result_ttl failure_ttl created_at enqueued_at started_at ended_at"
    b" last_heartbeat worker_name".split()
)


class LedgerMessage(Message):
    """A message of ours, as it comes from Redis."""

    def restore(self, raw_data: Mapping[bytes, bytes]) -> t.Any:
        """Take what a message of ours may say, and leave the rest."""
        return super().restore({key: value for key, value in raw_data.items() if key in READ})


class LedgerWorker(Worker):
    """One of RQ's workers, whose work-horse runs what the ledger has."""

    max_connection_wait_time = RECONNECT_SECONDS

    def __init__(self, app: Flask, fleet: Fleet, board: Board, redis: Redis) -> None:
        super().__init__(
            [PREFIX + name for name in fleet.queues or queues() or ["default"]],
            connection=redis,
            job_class=LedgerMessage,
            serializer=JSONSerializer,
            # RQ waits for 15 s less.
            worker_ttl=LOOK_SECONDS + 15,
            log_job_description=False,
        )
        self._serves_all = fleet.queues is None
        self._looks_at = 0.0
        self._supervisor = os.getppid()
        self._ledger_horse = Horse(app, fleet, board, lambda: redis.connection_pool.disconnect(inuse_connections=True))

    def execute_job(self, job: Message, queue: Queue) -> None:
        """Let the work-horse run what the ledger has; what the message says that it calls is not looked at."""
        execution = self.prepare_execution(job)
        self.prepare_job_execution(job, remove_from_intermediate_queue=True)
        if self._ledger_horse.run(lambda: self._beat(job, execution)):
            with self.connection.pipeline() as pipeline:
                self.cleanup_execution(job, pipeline=pipeline, execution=execution)
                job.delete(pipeline=pipeline, remove_from_queue=False)
                pipeline.execute()
        else:
            # For who looks at RQ; the sender sees to the job.
            self.handle_job_failure(job, queue, exc_string="The work-horse has died.", execution=execution)
        self.set_state(WorkerStatus.IDLE)

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """End the work-horse; RQ would end the group, which is the worker's too."""
        self._ledger_horse.kill()

    def request_force_stop(self, signum: int, frame: t.Any) -> None:
        """Do nothing at a second SIGTERM: the supervisor knows how long the grace is."""

    def heartbeat(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Look up, too: for the supervisor, and for queues that are new.

        :raises StopRequested: when the supervisor is gone.
        """
        super().heartbeat(*args, **kwargs)
        if os.getppid() != self._supervisor:
            raise StopRequested
        if self._serves_all and time.monotonic() >= self._looks_at:
            self._looks_at = time.monotonic() + LOOK_SECONDS
            self.queues = self._ordered_queues = self._find_queues()

    def teardown(self) -> None:
        """Let the work-horse end as well."""
        self._ledger_horse.end()
        super().teardown()  # type: ignore[no-untyped-call]

    def _beat(self, job: Message, execution: Execution) -> None:
        # A Redis that is away now may be back when the job is done.
        with contextlib.suppress(RedisError):
            self.maintain_heartbeats(job, execution)

    def _find_queues(self) -> list[Queue]:
        known = {PREFIX + name for name in (*queues(), "default")}
        known |= {queue.name for queue in Queue.all(connection=self.connection) if queue.name.startswith(PREFIX)}
        return [self._make_queue(name) for name in sorted(known)]

    def _make_queue(self, name: str) -> Queue:
        return Queue(name, connection=self.connection, job_class=LedgerMessage, serializer=JSONSerializer)
