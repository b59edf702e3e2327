"""The test kit for background jobs: what was enqueued, and running it."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa

from ..core.data import get_db
from ..core.tasks import open_task
from ..core.work import Clock, Ended, Job, JobFunction, drain, find_function, find_job, get_state

if t.TYPE_CHECKING:
    from flask import Flask


class Jobs:
    """The background jobs of one app, none of which runs unless a test says so: ``Jobs(app)``, or the fixture."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    @property
    def clock(self) -> Clock:
        """The clock of the ledger: ``jobs.clock.advance(60)`` makes due what waits for the next minute."""
        return get_state(self.app).clock

    def drain(self, *, raises: bool = True) -> list[Ended]:
        """Run every job that is due, and what these enqueue; return how each attempt ended, in order.

        :param raises: whether an error of a job is raised here, after the first job that has one; otherwise it is in
            what is returned, and a job that is to be tried again is not due any more.
        """
        if not raises:
            return drain(self.app)
        every: list[Ended] = []
        while ended := drain(self.app, limit=1, stops=True):
            every += ended
            if ended[0].error is not None:
                raise ended[0].error
        return every

    def find(self, job_id: str) -> Job:
        """Return the job as it is now.

        :raises AssertionError: when there is none.
        """
        with self.app.app_context():
            job = find_job(job_id)
        if job is None:
            raise AssertionError(f"There is no job {job_id}: its task was rolled back, or it has expired.")
        return job

    def list(self, function: JobFunction[..., t.Any] | str | None = None, *, state: str | None = None) -> list[Job]:
        """Return the jobs of ``function`` in the order in which they were enqueued.

        :param function: None for all of them; or the name of the function, ``@job(name="shop.count")``, for a test that
            runs in a plugin folder and against the installed plugin, where modules are called otherwise.
        :param state: only those.
        :raises UnknownJobError: for a name that no job function of this process has.
        """
        query = sa.select(Job).order_by(Job.created, Job.id)
        if function is not None:
            query = query.where(Job.func == _name(function))
        if state is not None:
            query = query.where(Job.state == state)
        with open_task(self.app, read_only=True):
            return [*get_db().scalars(query)]

    def assert_enqueued(self, function: JobFunction[..., t.Any] | str, *args: t.Any, **kwargs: t.Any) -> Job:
        """Return the one waiting job of ``function`` that was enqueued with exactly these arguments.

        :param function: the job function, or its name, as in :meth:`list`.
        :raises AssertionError: when there is none, or more than one; it names those there are.
        :raises UnknownJobError: for a name that no job function of this process has.
        """
        waiting = self.list(function, state="ready")
        found = [job for job in waiting if job.arguments == (list(args), kwargs)]
        if len(found) != 1:
            raise AssertionError(
                f"{len(found)} jobs of {_name(function)} wait with {args} {kwargs}; those that wait:"
                f" {[job.arguments for job in waiting]}"
            )
        return found[0]


def _name(function: JobFunction[..., t.Any] | str) -> str:
    # Looked up: for a name that is misspelt a test would find no jobs, and may be glad of it.
    return find_function(function).name if isinstance(function, str) else function.name
