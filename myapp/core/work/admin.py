"""What people and programs do with jobs: find, list, cancel, try again, count."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from flask import current_app
from sqlalchemy.exc import IntegrityError

from ..data import get_db
from ..errors import JobError
from ..tasks import open_task
from .failure import Failure
from .ledger import announce_later
from .models import Job
from .outcome import expiry
from .presence import create_presence
from .state import get_state, notify_changed
from .transport import Enqueued

if t.TYPE_CHECKING:
    from flask import Flask


def _app() -> Flask:
    return t.cast("Flask", current_app._get_current_object())  # type: ignore[attr-defined]


def find_job(job_id: str) -> Job | None:
    """Return the job, with the progress that its worker reports right now, or None.

    The object is a copy to read: it is in no session. It is read by a task of its own, which waits for no lock: a
    running job may hold SQLite's only one.
    """
    with open_task(_app(), read_only=True):
        job = get_db().scalar(sa.select(Job).where(Job.id == job_id))
        if job is None:
            return None
        get_db().expunge(job)
    _show_progress(job)
    return job


def _show_progress(job: Job) -> None:
    if job.state == "running" and job.owner is not None:
        report = create_presence(_app()).look(job.id, job.owner)
        if report is not None:
            job.progress, job.progress_text = report


def list_jobs(
    *,
    state: str | None = None,
    user_id: int | None = None,
    queue: str | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[Job]:
    """Return jobs, the newest first, as :func:`find_job` does.

    :param before: the id of the last job of the page before.
    """
    query = sa.select(Job).order_by(Job.id.desc()).limit(limit)
    for column, value in ((Job.state, state), (Job.user_id, user_id), (Job.queue, queue)):
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(Job.id < before)
    with open_task(_app(), read_only=True):
        jobs = list(get_db().scalars(query))
        get_db().expunge_all()
    for job in jobs:
        _show_progress(job)
    return jobs


def is_expired(job: Job) -> bool:
    """Whether a job that is over is forgotten: its arguments and its result may be cleared away at any moment."""
    return job.expires_at is not None and job.expires_at <= get_state(_app()).clock.now()


def cancel(job_id: str) -> str | None:
    """Cancel a job; return what it is then, or None when there is none.

    One that waits never starts: ``cancelled``, with the commit of a task of its own. One that runs is asked to stop,
    and is ``running`` still: ``progress()`` raises in it, and where jobs have processes it is interrupted 2 s later and
    killed 2 s after that. One that is over stays what it is.

    :raises NestedWriteError: on SQLite, in a task that has written.
    """
    while (job := find_job(job_id)) is not None and job.state == "ready":
        if _cancel_ready(job_id):
            notify_changed(_app(), job_id, "cancelled")
            return "cancelled"
        # Somebody took it in between, and may have given it back.
    if job is None:
        return None
    if job.state == "running" and job.owner is not None:
        get_state(_app()).transport.stop(_app(), job.id, job.owner)
    return job.state


def _cancel_ready(job_id: str) -> bool:
    now = get_state(_app()).clock.now()
    failure = Failure("cancelled", "Cancelled before it started.")
    ready = sa.update(Job).where(Job.id == job_id, Job.state == "ready")
    ended = ready.values(state="cancelled", error=failure.to_text(), finished=now, expires_at=expiry("cancelled", now))
    with open_task(_app()):
        return t.cast("sa.CursorResult[t.Any]", get_db().execute(ended)).rowcount == 1


def retry(job_id: str) -> str | None:
    """Make a job that is over and did not end well ready again, with all its tries, in the current task.

    :return: what it was, or None when there is none.
    :raises JobError: when it waits, runs or is done; when it has expired; when another one has its unique key.
    """
    # As it is now, and until the commit: somebody else may try it again at the same time.
    job = get_db().get(Job, job_id, populate_existing=True, with_for_update=True)
    if job is None:
        return None
    before = job.state
    if before not in ("failed", "dead", "cancelled"):
        raise JobError(f"Job {job_id} is {before}: only one that is failed, dead or cancelled is tried again.")
    if is_expired(job):
        raise JobError(f"Job {job_id} has expired: nobody knows its arguments any more. Enqueue it again.")
    now = get_state(_app()).clock.now()
    job.state, job.attempts, job.run_at = "ready", 0, now
    job.error = job.result = job.progress = job.progress_text = job.finished = job.expires_at = None
    try:
        with get_db().begin_nested():
            get_db().flush()
    except IntegrityError as error:
        raise JobError(f"Another job with the unique key of job {job_id} waits or runs. Let it end first.") from error
    announce_later(Enqueued(job.id, job.queue, now))
    return before


@dataclass
class Tally:
    """How many jobs there are of each state in each queue, and how long the one that waits longest has been due."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    oldest_seconds: float | None = None


def tally() -> Tally:
    """Return the numbers of the ledger."""
    counted = Tally()
    now = get_state(_app()).clock.now()
    with open_task(_app(), read_only=True):
        for queue, state, number in get_db().execute(
            sa.select(Job.queue, Job.state, sa.func.count()).group_by(Job.queue, Job.state).order_by(Job.queue)
        ):
            counted.counts.setdefault(queue, {})[state] = number
        oldest: datetime | None = get_db().scalar(sa.select(sa.func.min(Job.run_at)).where(Job.state == "ready"))
    if oldest is not None:
        counted.oldest_seconds = max((now - oldest).total_seconds(), 0.0)
    return counted
