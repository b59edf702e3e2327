"""What becomes of a job after an attempt: tried again and when, or over and for how long it is kept."""

from __future__ import annotations

import random
import typing as t
from datetime import timedelta

from werkzeug.exceptions import HTTPException

from ..errors import JobCancelledError, JobError, UnknownJobError
from .functions import find_function

if t.TYPE_CHECKING:
    from datetime import datetime

    from .ledger import Claim

RESULT_KEPT = timedelta(hours=24)
#: Dead letters wait for a person.
DEAD_KEPT = timedelta(days=30)
MAXIMUM_DELAY_SECONDS = 3600.0
JITTER = 0.2


def verdict(claim: Claim, error: BaseException) -> str:
    """Return the state of a job after ``error``: ``ready`` when it is tried again."""
    if isinstance(error, JobCancelledError):
        return "cancelled"
    if isinstance(error, UnknownJobError):
        return "dead"
    retry_on = find_function(claim.func).options.retry_on
    # An answer that was raised on purpose is one; the next attempt would get it again.
    if isinstance(error, HTTPException | JobError):
        return "failed"
    # What is no Exception nobody can name in retry_on; it ends an attempt, as the death of a worker does.
    if isinstance(error, Exception) and not isinstance(error, retry_on):
        return "failed"
    return "dead" if claim.attempts >= claim.max_attempts else "ready"


def retry_delay(attempts: int) -> float:
    """Return the seconds until the next attempt: 2, 4, 8, … at most an hour, ± 20 %."""
    seconds = min(2.0 ** min(attempts, 12), MAXIMUM_DELAY_SECONDS)
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311


def expiry(state: str, now: datetime) -> datetime:
    """Return until when a job that is over is kept."""
    return now + (DEAD_KEPT if state == "dead" else RESULT_KEPT)
