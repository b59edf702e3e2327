"""One attempt of a job: its writes and its end are one commit."""

from __future__ import annotations

import contextvars
import json
import logging
import random
import typing as t
from contextlib import contextmanager
from datetime import timedelta

from werkzeug.exceptions import HTTPException

from ..data import RESOURCE, WRITES, get_engine
from ..errors import JobCancelledError, JobError, JobLostError, UnknownJobError
from ..tasks import Resource, find_task, new_id, open_task
from .failure import Failure, describe
from .functions import JobFunction, find_function
from .ledger import Claim, claim_next, write_end
from .state import get_state

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import sqlalchemy as sa
    from flask import Flask

    from ..data import TaskSession

logger = logging.getLogger("myapp.work")

#: The name of the attempt among the resources of its task.
ATTEMPT = "myapp.job"
RESULT_KEPT = timedelta(hours=24)
#: Dead letters wait for a person.
DEAD_KEPT = timedelta(days=30)
MAXIMUM_DELAY_SECONDS = 3600.0
JITTER = 0.2
MAXIMUM_DRAINED = 1_000


class Ended(t.NamedTuple):
    """How an attempt ended: ``ready`` when the job is tried again later, ``lost`` when it was somebody else's."""

    claim: Claim
    state: str
    error: BaseException | None = None


class Attempt:
    """One run of a claimed job.

    :param follow: takes the next job in the transaction that ends this one; what it took is in :attr:`next`.
    """

    def __init__(self, app: Flask, claim: Claim, follow: Callable[[sa.Connection], Claim | None] | None = None) -> None:
        self.app = app
        self.claim = claim
        self.follow = follow
        self.next: Claim | None = None
        self.result: str | None = None
        # The first that is bound, and one of those that commit last: everything else is prepared before it.
        self._resource = Resource(
            ATTEMPT, self, _release, Attempt._prepare, Attempt._commit, Attempt._rollback, commits_last=True
        )

    def run(self) -> Ended:
        """Run it, and return how it ended; nothing that the function raises is raised.

        :raises SQLAlchemyError: when the end could not be written; the job is still this worker's then.
        """
        try:
            # An empty Context: nothing of whoever runs the worker, and nothing of the job before.
            contextvars.Context().run(self._run)
        except JobLostError as error:
            return self._lost(error)
        # SystemExit as well: sys.exit() in a job ends the job and not its worker.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            return self._fail(error)
        if self.task.is_doomed:
            return self._fail(JobError("The job called task.doom(): what it wrote is rolled back."))
        logger.debug("Job %s (%s) is done.", self.claim.id, self.claim.func)
        return Ended(self.claim, "done")

    def _run(self) -> None:
        claim = self.claim
        with open_task(self.app, kind="job", read_only=not claim.atomic) as task:
            if claim.user_id is not None:
                task.behalf = (claim.user_id, frozenset((claim.scopes or "").split()))
            task.bind(self._resource)
            self.task = task
            function, args, kwargs = self._resolve()
            value = self.app.ensure_sync(function.function)(*args, **kwargs)
            self.result = self.app.json.dumps(value)

    def _resolve(self) -> tuple[JobFunction[t.Any, t.Any], list[t.Any], dict[str, t.Any]]:
        function = find_function(self.claim.func)
        args, kwargs = json.loads(self.claim.args)
        try:
            function.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise UnknownJobError(
                f"{self.claim.func} does not take the arguments of this job any more: {error}. Let it take the old ones"
                " as well, then: flask jobs retry ID."
            ) from error
        return function, args, kwargs

    def _prepare(self) -> None:
        """Write the end into the transaction of the job, if it has one that writes."""
        session: TaskSession | None = self.task.resource(RESOURCE)
        if session is not None and not self.task.is_read_only:
            self._write_done(session.connection())
            self._resource.commit = None

    def _commit(self) -> None:
        """Write the end in a transaction of its own: the job has none."""
        with own_transaction(self.app) as connection:
            self._write_done(connection)

    def _rollback(self) -> None:
        self.next = None

    def _write_done(self, connection: sa.Connection) -> None:
        now = get_state(self.app).clock.now()
        write_end(connection, self.app, self.claim, "done", result=self.result, now=now, expires_at=now + RESULT_KEPT)
        self._take_next(connection)

    def _take_next(self, connection: sa.Connection) -> None:
        self.next = None if self.follow is None else self.follow(connection)

    def _fail(self, error: BaseException) -> Ended:
        """Write down why it failed, and what comes of it."""
        state, failure = self._verdict(error), describe(error)
        self.next = None
        try:
            with own_transaction(self.app) as connection:
                self._write_failure(connection, state, failure)
                self._take_next(connection)
        except JobLostError as lost:
            return self._lost(lost)
        log = logger.warning if state == "ready" else logger.info if state == "cancelled" else logger.error
        log(
            "Job %s (%s) failed in attempt %d of %d and is %s now: %s",
            self.claim.id,
            self.claim.func,
            self.claim.attempts,
            self.claim.max_attempts,
            state,
            failure.summary,
            exc_info=error if failure.kind == "exception" else None,
        )
        return Ended(self.claim, state, error)

    def _write_failure(self, connection: sa.Connection, state: str, failure: Failure) -> None:
        now = get_state(self.app).clock.now()
        error = failure.to_text()
        if state == "ready":
            run_at = now + timedelta(seconds=retry_delay(self.claim.attempts))
            write_end(connection, self.app, self.claim, "try_again", run_at=run_at, error=error)
        else:
            expires_at = now + (DEAD_KEPT if state == "dead" else RESULT_KEPT)
            write_end(connection, self.app, self.claim, "end", state=state, error=error, now=now, expires_at=expires_at)

    def _verdict(self, error: BaseException) -> str:
        """Return what becomes of the job after ``error``."""
        if isinstance(error, JobCancelledError):
            return "cancelled"
        if isinstance(error, UnknownJobError):
            return "dead"
        retry_on = find_function(self.claim.func).options.retry_on
        # An answer that was raised on purpose is one; the same request would get it again.
        if isinstance(error, HTTPException | JobError) or not isinstance(error, (*retry_on, SystemExit)):
            return "failed"
        return "dead" if self.claim.attempts >= self.claim.max_attempts else "ready"

    def _lost(self, error: JobLostError) -> Ended:
        self.next = None
        logger.warning("%s", error)
        return Ended(self.claim, "lost", error)


def _release(_attempt: Attempt) -> None:
    """Do nothing: the connection belongs to whoever opened it."""


def retry_delay(attempts: int) -> float:
    """Return the seconds until the next attempt: 2, 4, 8, … at most an hour, ± 20 %."""
    seconds = min(2.0 ** min(attempts, 12), MAXIMUM_DELAY_SECONDS)
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311


@contextmanager
def own_transaction(app: Flask) -> Iterator[sa.Connection]:
    """Open a transaction of the ledger's own, which writes."""
    with get_engine(app).connect() as connection, connection.execution_options(**{WRITES: True}).begin():
        yield connection


def drain(app: Flask, *, queues: Iterable[str] | None = None, limit: int = MAXIMUM_DRAINED) -> list[Ended]:
    """Run every job that is due, here and now, and return how each attempt ended, in order.

    Jobs that these enqueue are run as well; one that is to be tried again is not due any more.

    :param queues: only those.
    :raises JobError: inside a task, whose jobs are not committed yet; and after ``limit`` jobs.
    """
    if find_task() is not None:
        raise JobError("drain() runs what was committed, and this task has not. Call it after the task has ended.")
    owner = f"drain {new_id()}"
    wanted = None if queues is None else tuple(queues)
    ended: list[Ended] = []
    claim = _take(app, owner, wanted)
    while claim is not None:
        if len(ended) >= limit:
            raise JobError(f"More than {limit:,} jobs were run; does one enqueue itself for ever?")
        ended.append(Attempt(app, claim).run())
        claim = _take(app, owner, wanted)
    return ended


def _take(app: Flask, owner: str, queues: tuple[str, ...] | None) -> Claim | None:
    with own_transaction(app) as connection:
        if queues is None:
            queues = tuple(connection.exec_driver_sql(get_state(app).dialect["queues"]).scalars())
        for queue in sorted(queues):
            claim = claim_next(connection, app, owner, queue)
            if claim is not None:
                return claim
    return None
