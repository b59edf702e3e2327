"""The transport on Redis: RQ's workers are the fleet, and the ledger stays the truth."""

from __future__ import annotations

import importlib.util
import logging
import typing as t

from ..errors import ConfigurationError, UnavailableError
from ..redis import get_redis
from . import messages
from .presence import ask_to_stop
from .rq_worker import run_worker
from .sender import run_sender
from .state import get_state
from .supervisor import Supervisor

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask

    from ..redis import RedisClient
    from .supervisor import Main
    from .transport import Enqueued, Fleet

logger = logging.getLogger("myapp.work")

#: How many jobs of one task are sent before its answer leaves; the fleet finds the others in the ledger.
AT_ONCE = 100


class RedisTransport:
    """See :class:`myapp.core.work.transport.Transport`.

    :raises ConfigurationError: when the extra ``redis`` is not installed.
    """

    def __init__(self) -> None:
        missing = [name for name in ("redis", "rq") if importlib.util.find_spec(name) is None]
        if missing:
            needs = " and ".join(missing)
            raise ConfigurationError([f"MYAPP_JOBS_URL: jobs on Redis need {needs}: pip install 'myapp[redis]'."])

    def announce(self, app: Flask, jobs: Sequence[Enqueued]) -> None:
        """Send a message for each job that is due; the fleet sends what does not arrive, and the others in time."""
        # Imported by the client already.
        from redis.exceptions import RedisError

        now = get_state(app).clock.now()
        due = [(job.id, job.queue) for job in jobs if job.run_at <= now][:AT_ONCE]
        if not due:
            # Redis would not be asked, and its breaker would take that for an answer.
            return
        client = t.cast("RedisClient", get_redis(app, "jobs"))
        try:
            client.ask(lambda redis: messages.send(redis, due))
        except UnavailableError:
            # They are committed, and its breaker has written into the log that Redis is away.
            logger.debug("%d jobs were not sent; the fleet finds them in the ledger.", len(due))
        except RedisError as error:
            logger.warning("Redis takes no messages; the fleet finds the jobs in the ledger: %s", error)

    def work(self, app: Flask, fleet: Fleet) -> int:
        """Run RQ's workers, a sender beside them, and watch over all of them."""
        mains: list[Main] = [run_worker] * fleet.concurrency
        return Supervisor(app, fleet, [*mains, run_sender]).run()

    def stop(self, app: Flask, job_id: str, owner: str) -> None:
        """Tell the work-horse."""
        ask_to_stop(app, job_id, owner)
