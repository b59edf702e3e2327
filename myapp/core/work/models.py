"""The ledger: one row for each job."""

from __future__ import annotations

import json
import typing as t
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..data import Model, UTCDateTime

#: What a job can be. ``ready`` waits for a worker or for its time; ``failed`` ended with an error that nobody tries
#: again; ``dead`` is out of tries, or cannot be run, and waits for a person.
STATES = ("ready", "running", "done", "failed", "dead", "cancelled")
#: A unique key holds while its job is one of these.
LIVE = ("ready", "running")

_IS_READY, _IS_RUNNING = sa.text("state = 'ready'"), sa.text("state = 'running'")
# Without a key there is nothing to keep unique, and nothing to be written into the index for each job.
_HAS_KEY = sa.text("state IN ('ready', 'running') AND unique_key IS NOT NULL")
_IS_OWNED, _EXPIRES = sa.text("user_id IS NOT NULL"), sa.text("expires_at IS NOT NULL")


class Job(Model):
    """A row of the ledger; to read. What happens to it is in ``ledger.py``, in statements of their own."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    #: The name of the function: ``module:qualname`` unless ``@job(name=…)`` says otherwise.
    func: Mapped[str] = mapped_column(sa.Text)
    #: JSON: ``[[positional…], {keyword: …}]``. Text, so that both databases give back what was written.
    args: Mapped[str] = mapped_column(sa.Text)
    queue: Mapped[str] = mapped_column(sa.String(64))
    #: The larger runs first.
    priority: Mapped[int]
    unique_key: Mapped[str | None] = mapped_column(sa.Text)
    run_at: Mapped[datetime] = mapped_column(UTCDateTime)
    state: Mapped[str] = mapped_column(sa.String(9))
    #: How often it was started: burned when a worker takes it, so that a job that kills its worker comes to an end.
    attempts: Mapped[int]
    max_attempts: Mapped[int]
    #: Seconds for one attempt, enforced where each job has a process.
    timeout: Mapped[float | None] = mapped_column(sa.Double)
    #: Whether its writes and its end are one transaction.
    atomic: Mapped[bool]
    owner: Mapped[str | None] = mapped_column(sa.String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: When somebody asked a running job to stop.
    cancel_asked: Mapped[datetime | None] = mapped_column(UTCDateTime)
    progress: Mapped[float | None] = mapped_column(sa.Double)
    progress_text: Mapped[str | None] = mapped_column(sa.Text)
    result: Mapped[str | None] = mapped_column(sa.Text)
    #: JSON: see :class:`myapp.core.work.Failure`.
    error: Mapped[str | None] = mapped_column(sa.Text)
    #: The task that enqueued it.
    task_id: Mapped[str | None] = mapped_column(sa.String(64))
    #: On whose behalf it runs. No foreign key: what was done stays known when its user is gone.
    user_id: Mapped[int | None]
    scopes: Mapped[str | None] = mapped_column(sa.Text)
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    started: Mapped[datetime | None] = mapped_column(UTCDateTime)
    finished: Mapped[datetime | None] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    __table_args__ = (
        sa.Index("uq_jobs_unique_key", "unique_key", unique=True, sqlite_where=_HAS_KEY, postgresql_where=_HAS_KEY),
        # Each line of waiting jobs (a queue and a priority) in the order in which they are taken.
        sa.Index(
            "ix_jobs_ready",
            "queue",
            "priority",
            "run_at",
            "id",
            sqlite_where=_IS_READY,
            postgresql_where=_IS_READY,
        ),
        sa.Index("ix_jobs_running", "owner", sqlite_where=_IS_RUNNING, postgresql_where=_IS_RUNNING),
        sa.Index("ix_jobs_user_id", "user_id", "id", sqlite_where=_IS_OWNED, postgresql_where=_IS_OWNED),
        sa.Index("ix_jobs_expires_at", "expires_at", sqlite_where=_EXPIRES, postgresql_where=_EXPIRES),
    )

    @property
    def arguments(self) -> tuple[list[t.Any], dict[str, t.Any]]:
        """The positional and the keyword arguments."""
        args, kwargs = json.loads(self.args)
        return args, kwargs

    @property
    def value(self) -> t.Any:
        """What the function returned, as plain data; None until it is done."""
        return None if self.result is None else json.loads(self.result)

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen to it by itself."""
        return self.state not in LIVE

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.func} {self.state}>"
