"""What is on its way to RQ's workers: one message for each ready job, which carries its id and nothing else."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis
    from rq.job import Job as Message
    from rq.queue import Queue

#: In the names of RQ's queues, which several applications may share with others.
PREFIX = "myapp."
#: What a message says that it wants to be run. Workers of ours do not look at it, and others have no such function.
FUNCTION = "myapp.job"
#: How long RQ remembers a message whose work-horse was killed; the ledger remembers the job.
FORGOTTEN_SECONDS = 60


def queue_of(redis: Redis, name: str) -> Queue:
    """Return RQ's queue for the jobs of the ledger's queue ``name``."""
    # 60 ms on top of redis: only where there is one.
    from rq.queue import Queue
    from rq.serializers import JSONSerializer

    return Queue(PREFIX + name, connection=redis, serializer=JSONSerializer)


def send(redis: Redis, jobs: Iterable[tuple[str, str]]) -> None:
    """Send a message for each of ``jobs``, ids with their queues, in one round trip."""
    from rq.job import Job as Message

    queues: dict[str, Queue] = {}
    with redis.pipeline() as pipeline:
        for id_, name in jobs:
            queue = queues.get(name) or queues.setdefault(name, queue_of(redis, name))
            queue.enqueue_job(_message(Message, redis, id_, queue), pipeline=pipeline)
        pipeline.execute()


def _message(cls: type[Message], redis: Redis, id_: str, queue: Queue) -> Message:
    return cls.create(
        FUNCTION,
        id=id_,
        connection=redis,
        serializer=queue.serializer,
        description=f"job {id_}",
        # None: the ledger says for each job how long it may take.
        timeout=-1,
        result_ttl=0,
        failure_ttl=FORGOTTEN_SECONDS,
    )


def find_lost(redis: Redis, jobs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return those of ``jobs`` that no message in Redis is about."""
    wanted: dict[str, list[str]] = {}
    for id_, name in jobs:
        wanted.setdefault(name, []).append(id_)
    lost: list[tuple[str, str]] = []
    for name, ids in wanted.items():
        waiting = set(queue_of(redis, name).job_ids)
        lost += [(id_, name) for id_ in ids if id_ not in waiting]
    return lost
