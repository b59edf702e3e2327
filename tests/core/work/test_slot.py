"""How a cancelled job is interrupted, and no other one."""

from __future__ import annotations

import os
import signal
import time
import typing as t

import pytest

from myapp import job
from myapp.core.errors import JobCancelledError
from myapp.core.work import Attempt, Taker
from myapp.core.work.slot import INTERRUPT, SIGNALS, Board, Slot, heed_signals
from myapp.core.work.worker import Worker

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from myapp import CustomFlask


@job(timeout=600)
def wait() -> None:
    pass


@pytest.fixture
def slot(db_app: CustomFlask) -> Iterator[Slot]:
    """Return a slot whose signals this process heeds until the test ends."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    slot = Slot(Board(), 20.0)
    slot.worker = Worker(db_app, watch=slot)
    heed_signals(slot.worker, slot)
    yield slot
    for number, handler in handlers.items():
        signal.signal(number, handler)
    slot.board.close()


def begin(slot: Slot, taker: Taker) -> Attempt:
    """Take a job, and be in the middle of its code."""
    with taker.app.task():
        wait.enqueue()
    taker.look()
    claim = taker.take()
    assert claim is not None
    attempt = t.cast("Worker", slot.worker).attempt = Attempt(claim, taker)
    attempt.is_interruptible = True
    slot.begin(claim, taker.owner)
    return attempt


def ask_to_cancel(slot: Slot, attempt: Attempt) -> None:
    """Be somebody who has cancelled the job a minute ago."""
    presence: t.Any = attempt.taker.presence
    presence.ask_to_cancel(attempt.claim.id, attempt.claim.owner, None)
    slot._cancelled = (attempt, time.monotonic() - 60)


@pytest.mark.backend("sqlite")
def test_cancelled_job_is_interrupted(db_app: CustomFlask, slot: Slot) -> None:
    """And killed 2 s later, if it goes on."""
    with Taker(db_app) as taker:
        attempt = begin(slot, taker)
        ask_to_cancel(slot, attempt)
        with pytest.raises(JobCancelledError):
            slot.beat(attempt)
    assert 0 < slot.board.deadline - time.monotonic() <= 2


@pytest.mark.backend("sqlite")
def test_job_that_follows_a_cancelled_one_goes_on(db_app: CustomFlask, slot: Slot) -> None:
    """Whether the pulse has seen the other one for too long, or its signal comes too late."""
    with Taker(db_app) as taker:
        cancelled = begin(slot, taker)
        ask_to_cancel(slot, cancelled)
        slot.end()
        begin(slot, taker)
        slot.beat(cancelled)
        os.kill(os.getpid(), INTERRUPT)
    assert slot.board.deadline - time.monotonic() > 500
