"""Background jobs: a ledger in the app's own database, and who works it off. See ``docs/jobs.md``."""

from __future__ import annotations

import typing as t

from .clock import Clock
from .failure import Failure
from .functions import JobFunction, job
from .models import LIVE, STATES, Job
from .run import Ended, drain
from .state import create_state, get_state
from .transport import Enqueued, Transport

if t.TYPE_CHECKING:
    from flask import Flask

__all__ = [
    "LIVE",
    "STATES",
    "Clock",
    "Ended",
    "Enqueued",
    "Failure",
    "Job",
    "JobFunction",
    "Transport",
    "drain",
    "get_state",
    "init_app",
    "job",
]


def init_app(app: Flask) -> None:
    """Attach the ledger of jobs; nothing is opened before the first one.

    Reads ``MYAPP_JOBS_URL`` (what carries jobs to workers) and ``MYAPP_DATABASE_URL`` (where the ledger is).
    """
    app.extensions["myapp.work"] = create_state(app)
