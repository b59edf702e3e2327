"""Background jobs: a ledger in the app's own database, and who works it off. See ``docs/jobs.md``."""

from __future__ import annotations

import typing as t

from ..config import get_config
from . import mail
from .admin import Tally, cancel, find_job, is_expired, list_jobs, retry, tally
from .clock import Clock
from .engine import LedgerTransport, start
from .failure import Failure
from .functions import JobFunction, find_function, job
from .models import LIVE, STATES, Job
from .progress import find_attempt, progress
from .redis_engine import RedisTransport
from .run import Attempt, Ended, drain
from .state import create_state, get_state
from .take import Taker
from .transport import Enqueued, Fleet, Transport

if t.TYPE_CHECKING:
    from flask import Flask

__all__ = [
    "LIVE",
    "STATES",
    "Attempt",
    "Clock",
    "Ended",
    "Enqueued",
    "Failure",
    "Fleet",
    "Job",
    "JobFunction",
    "LedgerTransport",
    "RedisTransport",
    "Taker",
    "Tally",
    "Transport",
    "cancel",
    "drain",
    "find_attempt",
    "find_function",
    "find_job",
    "get_state",
    "init_app",
    "is_expired",
    "job",
    "list_jobs",
    "mail",
    "progress",
    "retry",
    "start",
    "tally",
]


def init_app(app: Flask) -> None:
    """Attach the ledger of jobs; nothing is opened before the first one.

    Reads ``MYAPP_JOBS_URL`` and ``MYAPP_REDIS_URL`` (what carries jobs to workers), and ``MYAPP_DATABASE_URL`` (where
    the ledger is).

    :raises ConfigurationError: when what the transport needs is not installed.
    """
    transport = RedisTransport() if get_config(app).redis_url("jobs") else LedgerTransport()
    app.extensions["myapp.work"] = create_state(app, transport)
    mail.init_app(app)
