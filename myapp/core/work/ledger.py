"""How a job is written, taken and ended."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime, timedelta

from ..access import Principal, get_principal
from ..data import get_db, note_write
from ..errors import JobLostError
from ..tasks import Resource, get_task, new_id
from .advisory import LEASE
from .state import get_state, notify_changed
from .transport import Enqueued

if t.TYPE_CHECKING:
    import sqlalchemy as sa
    from flask import Flask

    from .link import Cursor, Execute
    from .state import WorkState
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
    on_behalf: bool


class Claim(t.NamedTuple):
    """A job that one worker has taken: this attempt of it, and no other, may end it."""

    id: str
    func: str
    args: str
    attempts: int
    max_attempts: int
    timeout: float | None
    atomic: bool
    user_id: int | None
    scopes: str | None
    owner: str


class Attempted(t.Protocol):
    """What names one attempt of a job: a :class:`Claim`, or what others see of it."""

    @property
    def id(self) -> str:
        """Which job."""

    @property
    def func(self) -> str:
        """Its function."""

    @property
    def owner(self) -> str:
        """Which worker."""

    @property
    def attempts(self) -> int:
        """Which attempt."""


def enqueue(job: NewJob) -> str:
    """Write ``job`` in the transaction of the current task and return its id.

    :raises NoTaskError: outside of a task.
    :raises ReadOnlyTaskError: in a task that only reads.
    """
    task = get_task()
    task.check_open("enqueue()")
    principal = get_principal() if job.on_behalf else Principal()
    session = get_db()
    note_write(session)
    state = get_state(task.app)
    dialect, now = state.dialect, state.clock.now()
    run_at = _run_at(job, now)
    created = dialect.moment(now)
    row = {
        "id": new_id(),
        "func": job.func,
        "args": job.args,
        "queue": job.queue,
        "priority": job.priority,
        "unique_key": job.unique_key,
        "run_at": created if run_at is now else dialect.moment(run_at),
        "max_attempts": job.max_attempts,
        "timeout": job.timeout,
        "atomic": job.atomic,
        "task_id": task.id,
        "user_id": None if principal.user is None else principal.user.id,
        "scopes": " ".join(sorted(principal.scopes)) or None,
        "created": created,
    }
    connection = session.connection()
    if job.unique_key is None:
        connection.exec_driver_sql(dialect["insert"], row)
    else:
        found = _insert_unique(connection, dialect, row)
        if found is not None:
            return found
    announce_later(Enqueued(row["id"], job.queue, run_at))
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


def announce_later(job: Enqueued) -> None:
    """Tell the transport of ``job`` once the current task has committed."""
    task = get_task()
    announcement: Announcement | None = task.resource(ENQUEUED)
    if announcement is None:
        announcement = Announcement(task.app)
        # Last: whoever hears of a job wants the database, and the transport may take its time.
        forget = Announcement.forget
        task.bind(Resource(ENQUEUED, announcement, Announcement.close, None, None, forget, closes_last=True))
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
            get_state(self.app).transport.announce(self.app, self.jobs)
            for job in self.jobs:
                notify_changed(self.app, job.id, "ready")


def claim_next(execute: Execute, app: Flask, owner: str, queue: str, priority: int) -> Claim | None:
    """Take the job of this line that is due and comes first; its attempt is burned with the commit.

    :param execute: sends statements in a transaction that writes.
    """
    state = get_state(app)
    line = {"queue": queue, "priority": priority}
    return _as_claim(execute(state.dialect["claim"], {"owner": owner, **line, **_taken(state)}))


def claim_one(execute: Execute, app: Flask, owner: str, job_id: str) -> Claim | None:
    """Take the job ``job_id``, if it is ready and due."""
    state = get_state(app)
    return _as_claim(execute(state.dialect["claim_one"], {"owner": owner, "id": job_id, **_taken(state)}))


def _taken(state: WorkState) -> dict[str, t.Any]:
    now = state.clock.now()
    # On SQLite the kernel knows who lives, and leases would have to be renewed while a job holds the write lock.
    lease_until = None if state.dialect.is_sqlite else now + LEASE
    return {"now": state.dialect.moment(now), "lease_until": lease_until}


def _as_claim(cursor: Cursor) -> Claim | None:
    # All rows, though there is one: SQLite commits when a statement has come to its end.
    rows = cursor.fetchall()
    return Claim(*rows[0]) if rows else None


def write_end(execute: Execute, app: Flask, claim: Attempted, statement: str, **values: t.Any) -> None:
    """End this attempt of a job.

    :param statement: one of those that end an attempt: ``done``, ``end``, ``try_again``.
    :param values: what it writes.
    :raises JobLostError: when it is no longer this worker's: what the attempt has not committed is to be rolled back.
    """
    dialect = get_state(app).dialect
    parameters: dict[str, t.Any] = {"id": claim.id, "owner": claim.owner, "attempts": claim.attempts}
    parameters.update(progress=None, progress_text=None)
    for key, value in values.items():
        parameters[key] = dialect.moment(value) if isinstance(value, datetime) else value
    if execute(dialect[statement], parameters).rowcount != 1:
        raise JobLostError(
            f"Job {claim.id} ({claim.func}), its attempt {claim.attempts}, is not this worker's any more: it was taken"
            " for dead, or the end was committed and the answer to that was lost. What the ledger says stands."
        )
