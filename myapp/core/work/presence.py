"""How one worker is known to the others: whether it lives, how far its job is, who wants it to stop.

None of it goes through the transaction of the job, which others cannot see; and on SQLite nothing can go through
another transaction meanwhile, because the job holds the only write lock.
"""

from __future__ import annotations

import os
import socket
import typing as t

from ..data import get_engine, path_of
from ..tasks import new_id
from .advisory import AdvisoryPresence
from .files import FilePresence
from .state import get_state

if t.TYPE_CHECKING:
    from datetime import datetime

    from flask import Flask

    from .ledger import Claim

#: What a worker says of the job that it runs: its fraction and a text.
Report: t.TypeAlias = tuple[float | None, str | None]


class Presence(t.Protocol):
    """What one kind of database offers. Down to ``forget_cancel`` it is for the worker itself."""

    def hold(self, owner: str) -> None:
        """Be alive as ``owner`` until :meth:`release`, or until the process ends, however it does."""

    def release(self) -> None:
        """Be gone."""

    def beat(self, now: datetime) -> None:
        """Renew what has to be renewed; called every fraction of a second by a thread of the worker."""

    def report(self, claim: Claim, report: Report) -> None:
        """Show ``report`` for the job that this worker runs, at once."""

    def is_cancel_asked(self, claim: Claim) -> bool:
        """Whether somebody asked the job that this worker runs to stop."""

    def forget_cancel(self, claim: Claim) -> None:
        """Forget that somebody did: the attempt is over, and another one may follow."""

    def is_alive(self, owner: str) -> bool:
        """Whether the worker ``owner`` is still there."""

    def forget(self, owner: str) -> None:
        """Clear away what is left of a worker that is gone."""

    def sweep(self) -> None:
        """Clear away what is left of workers that are gone and had no job; called now and then."""

    def look(self, job_id: str, owner: str) -> Report | None:
        """Return the report of a running job, if it is not in its row."""

    def ask_to_cancel(self, job_id: str, owner: str, now: datetime) -> None:
        """Ask the worker ``owner`` to stop the job ``job_id``."""

    def was_cancel_asked(self, job_id: str, owner: str) -> bool:
        """Whether somebody has, while the worker lived."""


def create_presence(app: Flask) -> Presence:
    """Return the presence that fits the database of ``app``; it holds nothing yet."""
    engine = get_engine(app)
    return FilePresence(path_of(engine)) if engine.dialect.name == "sqlite" else AdvisoryPresence(engine)


def ask_to_stop(app: Flask, job_id: str, owner: str) -> None:
    """Ask the worker ``owner`` to stop the job ``job_id``: beside the database or in the row, whatever carries jobs."""
    create_presence(app).ask_to_cancel(job_id, owner, get_state(app).clock.now())


def new_owner() -> str:
    """Return the name of a new worker, which never comes again: ``host:process:noise``."""
    return f"{socket.gethostname()[:32]}:{os.getpid()}:{new_id()[-12:]}"
