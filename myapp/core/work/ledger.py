"""How a job is written, taken and ended."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime, timedelta

from ..access import get_principal
from ..data import get_db, note_write
from ..errors import JobLostError, NoTaskError
from ..tasks import Resource, get_task, new_id
from .state import get_state
from .transport import Enqueued

if t.TYPE_CHECKING:
    import sqlalchemy as sa
    from flask import Flask

    from ..tasks import Task
    from .statements import Dialect

#: The name of what a task has enqueued among its resources.
ENQUEUED = "myapp.jobs"


class NewJob(t.NamedTuple):
    """A job that is about to be written."""

    func: str
    args: str
    queue: str
    priority: int
    unique_key: str | None
    run_at: datetime | None
    delay: float | timedelta | None
    max_attempts: int
    timeout: float | None
    atomic: bool


class Claim(t.NamedTuple):
    """A job that one worker has taken: this attempt of it, and no other, may end it."""

    id: str
    func: str
    args: str
    queue: str
    attempts: int
    max_attempts: int
    timeout: float | None
    atomic: bool
    user_id: int | None
    scopes: str | None
    task_id: str | None
    owner: str


def enqueue(job: NewJob) -> str:
    """Write ``job`` in the transaction of the current task and return its id.

    :raises NoTaskError: outside of a task.
    :raises ReadOnlyTaskError: in a task that only reads.
    """
    task = get_task()
    if task.kind == "bare":
        raise NoTaskError(
            "A job is enqueued with the commit of a task, and this application context is none: nothing would ever"
            " commit it. Open a task around it: with app.task(): …"
        )
    task.check_open("enqueue()")
    principal = get_principal()
    session = get_db()
    note_write(session)
    state = get_state(task.app)
    dialect, now = state.dialect, state.clock.now()
    run_at = _run_at(job, now)
    row = {
        "id": new_id(),
        "func": job.func,
        "args": job.args,
        "queue": job.queue,
        "priority": job.priority,
        "unique_key": job.unique_key,
        "run_at": dialect.moment(run_at),
        "max_attempts": job.max_attempts,
        "timeout": job.timeout,
        "atomic": job.atomic,
        "task_id": task.id,
        "user_id": None if principal.user is None else principal.user.id,
        "scopes": " ".join(sorted(principal.scopes)) or None,
        "created": dialect.moment(now),
    }
    connection = session.connection()
    if job.unique_key is None:
        connection.exec_driver_sql(dialect["insert"], row)
    else:
        found = _insert_unique(connection, dialect, row)
        if found is not None:
            return found
    _note_enqueued(task, Enqueued(row["id"], job.queue, run_at))
    return t.cast("str", row["id"])


def _run_at(job: NewJob, now: datetime) -> datetime:
    if job.run_at is not None:
        return job.run_at.astimezone(UTC)
    if job.delay is None:
        return now
    return now + (job.delay if isinstance(job.delay, timedelta) else timedelta(seconds=job.delay))


def _insert_unique(connection: sa.Connection, dialect: Dialect, row: dict[str, t.Any]) -> str | None:
    """Insert ``row``, or return the id of the job that has its unique key."""
    while connection.exec_driver_sql(dialect["insert_unique"], row).rowcount == 0:
        # The one that was in the way may have ended between the two statements: then there is room again.
        found = connection.exec_driver_sql(dialect["find_unique"], {"unique_key": row["unique_key"]}).scalar()
        if found is not None:
            return t.cast("str", found)
    return None


def _note_enqueued(task: Task, job: Enqueued) -> None:
    announcement: Announcement | None = task.resource(ENQUEUED)
    if announcement is None:
        announcement = Announcement(task.app)
        task.bind(Resource(ENQUEUED, announcement, Announcement.close, None, None, Announcement.forget))
    announcement.jobs.append(job)


class Announcement:
    """What one task has enqueued. A savepoint that rolled back may announce a job that is not there: no harm done."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.jobs: list[Enqueued] = []

    def forget(self) -> None:
        """Announce nothing: the task was rolled back."""
        self.jobs.clear()

    def close(self) -> None:
        """Tell the transport, after the commit."""
        if self.jobs:
            get_state(self.app).transport.announce(self.jobs)


def claim_next(connection: sa.Connection, app: Flask, owner: str, queue: str) -> Claim | None:
    """Take the job of ``queue`` that is due and comes first; its attempt is burned with the commit.

    :param connection: one of a transaction that writes.
    """
    state = get_state(app)
    now = state.dialect.moment(state.clock.now())
    parameters = {"owner": owner, "queue": queue, "now": now, "lease_until": None}
    return _as_claim(connection.exec_driver_sql(state.dialect["claim"], parameters).first())


def claim_one(connection: sa.Connection, app: Flask, owner: str, job_id: str) -> Claim | None:
    """Take the job ``job_id``, if it is ready and due."""
    state = get_state(app)
    now = state.dialect.moment(state.clock.now())
    parameters = {"owner": owner, "id": job_id, "now": now, "lease_until": None}
    return _as_claim(connection.exec_driver_sql(state.dialect["claim_one"], parameters).first())


def _as_claim(row: t.Any) -> Claim | None:
    return None if row is None else Claim(*row)


def write_end(connection: sa.Connection, app: Flask, claim: Claim, statement: str, **values: t.Any) -> None:
    """End this attempt of a job.

    :raises JobLostError: when it is no longer this worker's: whatever the attempt has done is to be rolled back.
    """
    dialect = get_state(app).dialect
    parameters = {"id": claim.id, "owner": claim.owner, "attempts": claim.attempts}
    parameters.update((k, dialect.moment(v) if isinstance(v, datetime) else v) for k, v in values.items())
    if connection.exec_driver_sql(dialect[statement], parameters).rowcount != 1:
        raise JobLostError(
            f"Job {claim.id} ({claim.func}) belongs to somebody else by now: this worker was taken for dead. What its"
            f" attempt {claim.attempts} wrote is rolled back."
        )
