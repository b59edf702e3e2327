"""One attempt of a job: its writes and its end are one commit."""

from __future__ import annotations

import contextvars
import json
import logging
import threading
import typing as t
from datetime import timedelta

from ..data import RESOURCE
from ..errors import JobCancelledError, JobError, JobLostError, UnknownJobError, well_formed
from ..tasks import Resource, find_task, open_task
from .failure import describe
from .functions import find_function
from .insist import insist
from .ledger import write_end
from .outcome import expiry, retry_delay, verdict
from .state import get_state, notify_changed
from .take import Taker

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask import Flask

    from ..data import TaskSession
    from .failure import Failure
    from .functions import JobFunction
    from .ledger import Claim
    from .link import Execute
    from .presence import Report

T = t.TypeVar("T")

logger = logging.getLogger("myapp.work")

#: The name of the attempt among the resources of its task.
ATTEMPT = "myapp.job"
MAXIMUM_DRAINED = 1_000


class Ended(t.NamedTuple):
    """How an attempt ended: ``ready`` when the job is tried again later, ``lost`` when it was somebody else's."""

    claim: Claim
    state: str
    error: BaseException | None = None


class Attempt:
    """One run of a claimed job.

    :param taker: the worker that has taken it.
    :param follow: takes the next job in the transaction that ends this one; what it took is in :attr:`next`.
    :param gives_up: whether to give up writing the end while the database is busy or cannot be reached; see
        :func:`myapp.core.work.insist.insist`.
    """

    def __init__(
        self,
        claim: Claim,
        taker: Taker,
        follow: Callable[[Execute], Claim | None] | None = None,
        gives_up: Callable[[], bool] = lambda: True,
    ) -> None:
        self.app = taker.app
        self.claim = claim
        self.taker = taker
        self.follow = follow
        self.gives_up = gives_up
        self.next: Claim | None = None
        self.result: str | None = None
        self.progress: Report = (None, None)
        #: Whether its writes and its end are committed; what goes wrong in a callback after that changes nothing.
        self.has_committed = False
        #: Whether the code of the job is running, and a signal may end it.
        self.is_interruptible = False
        # The first that is bound, and one of those that commit last: everything else is prepared before it.
        self._resource = Resource(
            ATTEMPT, self, Attempt._release, Attempt._prepare, Attempt._commit, Attempt._rollback, commits_last=True
        )
        self._is_rolled_back = False

    def run(self) -> Ended:
        """Run it, and return how it ended; nothing that the function raises is raised.

        :raises SQLAlchemyError: when the end could not be written; the job is still this worker's then.
        """
        try:
            # An empty Context: nothing of whoever runs the worker, and nothing of the job before.
            contextvars.Context().run(self._run)
        except JobLostError as error:
            return self._lost(error)
        # SystemExit and what libraries make of it, asyncio.CancelledError for one: they end the job and not its worker.
        except BaseException as error:
            # Python raises it where the keys of a terminal are heard, and there it is for the worker.
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
            if not self.has_committed:
                return self._fail(error)
            summary = describe(error).summary
            logger.warning("A callback of job %s left its task, and the job is done: %s", self.claim.id, summary)
        if self.task.is_doomed:
            return self._fail(JobError("The job called task.doom(): what it wrote is rolled back."))
        logger.debug("Job %s (%s) is done.", self.claim.id, self.claim.func)
        return self._end("done")

    def _run(self) -> None:
        claim = self.claim
        with open_task(self.app, kind="job", read_only=not claim.atomic) as task:
            if claim.user_id is not None:
                task.behalf = (claim.user_id, frozenset((claim.scopes or "").split()))
            task.bind(self._resource)
            self.task = task
            function, args, kwargs = self._resolve()
            self.is_interruptible = True
            try:
                value = self.app.ensure_sync(function.function)(*args, **kwargs)
            except TypeError:
                # Checking them before each call would take longer than the call of a small job.
                self._check_arguments(function, args, kwargs)
                raise
            finally:
                self.is_interruptible = False
            self.result = self.app.json.dumps(value)

    def report(self, fraction: float, text: str | None) -> None:
        """Show the progress; see :func:`myapp.core.work.progress`.

        :raises JobCancelledError: when somebody has cancelled the job.
        """
        self.progress = (fraction, None if text is None else well_formed(text))
        self.taker.presence.report(self.claim, self.progress)
        self.signal("running")
        self.raise_if_cancelled()

    def raise_if_cancelled(self) -> None:
        """Stop here if somebody has asked for it.

        :raises JobCancelledError: then.
        """
        if self.taker.presence.is_cancel_asked(self.claim):
            raise JobCancelledError(f"Job {self.claim.id} was cancelled.")

    def insist(self, write: Callable[[], T]) -> T:
        """Return what ``write`` returns, which writes down what the job has done; see :func:`.insist.insist`."""
        return insist(self.app, f"What job {self.claim.id} ({self.claim.func}) has done", write, self.gives_up)

    def signal(self, state: str) -> None:
        """Tell the parts above what this process knows of the job."""
        notify_changed(self.app, self.claim.id, state)

    def _resolve(self) -> tuple[JobFunction[t.Any, t.Any], list[t.Any], dict[str, t.Any]]:
        function = find_function(self.claim.func)
        # What the encoder of the arguments wrote: the app's provider refuses some of it, half of a character for one.
        args, kwargs = json.loads(self.claim.args)
        return function, args, kwargs

    def _check_arguments(self, function: JobFunction[t.Any, t.Any], args: t.Any, kwargs: t.Any) -> None:
        try:
            function.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise UnknownJobError(
                f"{self.claim.func} does not take the arguments of this job any more: {error}. Let it take the old ones"
                " as well, then: flask jobs retry ID."
            ) from error

    def _prepare(self) -> None:
        """Write the end into the transaction of the job, if it has one that writes."""
        session: TaskSession | None = self.task.resource(RESOURCE)
        # The prepare step comes back when a function of it has written.
        if session is not None and not self.task.is_read_only and self._resource.commit is not None:
            # It has one already, unless the job has left all of its writes for the end.
            connection = self.insist(session.connection)
            self._write_done(connection.exec_driver_sql)
            self._resource.commit = None

    def _commit(self) -> None:
        """Write the end in a transaction of its own: the job has none."""
        self._write_alone(self._write_done)

    def _write_alone(self, write: Callable[[Execute], None]) -> None:
        """Write an end in a transaction of its own, again and again if need be: only this attempt may end the job."""

        def write_once() -> None:
            with self.taker.link.begin() as execute:
                write(execute)

        self.insist(write_once)

    def _rollback(self) -> None:
        self._is_rolled_back = True
        self.next = None

    def _release(self) -> None:
        """Learn that the task is over; the connection belongs to whoever opened it."""
        self.has_committed = not self._is_rolled_back

    def _write_done(self, execute: Execute) -> None:
        now = get_state(self.app).clock.now()
        self._write(execute, "done", result=self.result, now=now, expires_at=expiry("done", now))

    def _write(self, execute: Execute, statement: str, **values: t.Any) -> None:
        fraction, text = self.progress
        write_end(execute, self.app, self.claim, statement, progress=fraction, progress_text=text, **values)
        self._take_next(execute)

    def _take_next(self, execute: Execute) -> None:
        self.next = None if self.follow is None else self.follow(execute)

    def _fail(self, error: BaseException) -> Ended:
        """Write down why it failed, and what comes of it."""
        state, failure = verdict(self.claim, error), describe(error)
        presence = self.taker.presence
        if state == "ready" and presence.is_cancel_asked(self.claim):
            state, failure = "cancelled", describe(JobCancelledError())
        self.next = None
        delay = retry_delay(self.claim.attempts)
        try:
            self._write_alone(lambda execute: self._write_failure(execute, state, failure, delay))
        except JobLostError as lost:
            return self._lost(lost)
        presence.forget_cancel(self.claim)
        log = logger.warning if state == "ready" else logger.info if state == "cancelled" else logger.error
        log(
            "Job %s (%s), its attempt %d of %d, failed and is %s: %s",
            *(self.claim.id, self.claim.func, self.claim.attempts, self.claim.max_attempts),
            f"tried again in {delay:.0f} s" if state == "ready" else f"{state} now",
            failure.summary,
            exc_info=error if failure.kind == "exception" else None,
        )
        return self._end(state, error)

    def _write_failure(self, execute: Execute, state: str, failure: Failure, delay: float) -> None:
        now = get_state(self.app).clock.now()
        error = failure.to_text()
        if state == "ready":
            run_at = now + timedelta(seconds=delay)
            self._write(execute, "try_again", run_at=run_at, error=error)
        else:
            self._write(execute, "end", state=state, error=error, now=now, expires_at=expiry(state, now))

    def _end(self, state: str, error: BaseException | None = None) -> Ended:
        self.signal(state)
        return Ended(self.claim, state, error)

    def _lost(self, error: JobLostError) -> Ended:
        self.next = None
        logger.warning("%s", error, exc_info=error.__context__)
        return Ended(self.claim, "lost", error)


def drain(
    app: Flask, *, queues: Iterable[str] | None = None, limit: int = MAXIMUM_DRAINED, stops: bool = False
) -> list[Ended]:
    """Run every job that is due, here and now, and return how each attempt ended, in order.

    Jobs that these enqueue are run as well; one that is to be tried again is not due any more.

    :param queues: only those.
    :param limit: how many jobs at most; one more is an error, unless it ``stops`` there.
    :raises JobError: inside a task, whose jobs are not committed yet; and after ``limit`` jobs.
    """
    if find_task() is not None:
        raise JobError("drain() runs what was committed, and this task has not. Call it after the task has ended.")
    with Taker(app, queues) as taker:
        ended: list[Ended] = []
        while not (stops and len(ended) >= limit) and (claim := _next(taker)) is not None:
            if len(ended) >= limit:
                raise JobError(f"More than {limit:,} jobs were run; does one enqueue itself for ever?")
            ended.append(Attempt(claim, taker).run())
        return ended


def _next(taker: Taker) -> Claim | None:
    # What a job has enqueued may come before what the last look has found.
    taker.look()
    return taker.take()
