"""What becomes of jobs whose worker is gone, and of jobs that are over."""

from __future__ import annotations

import contextlib
import logging
import typing as t
from datetime import timedelta

from ..errors import JobCancelledError, JobLostError
from .failure import Failure, describe
from .ledger import write_end
from .outcome import expiry
from .presence import create_presence
from .state import get_state, notify_changed

if t.TYPE_CHECKING:
    from datetime import datetime

    from flask import Flask

    from .link import Execute, Link
    from .take import Taker

logger = logging.getLogger("myapp.work")

#: How long whoever asked for a job is told that its result has expired.
TOMBSTONE_KEPT = timedelta(days=7)
#: What is left of the lease of a worker that does not hold its lock. One that lives, and whose connection was cut,
#: takes the lock again at its next beat and renews the lease.
DOUBT = timedelta(seconds=0.5)


class Orphan(t.NamedTuple):
    """A running job, as others see it."""

    id: str
    func: str
    owner: str
    attempts: int
    max_attempts: int
    timeout: float | None
    started: t.Any
    lease_until: t.Any


def requeue_dead(taker: Taker) -> list[str]:
    """Give the jobs of dead workers to others, and return their ids.

    They are ready at once; one that was tried often enough is dead, and one that somebody cancelled is cancelled.
    """
    dialect = get_state(taker.app).dialect
    running: dict[str, list[Orphan]] = {}
    for row in taker.link.read(dialect["running"]):
        orphan = Orphan(*row)
        if orphan.owner != taker.owner:
            running.setdefault(orphan.owner, []).append(orphan)
    return [
        id_
        for owner, orphans in running.items()
        if _is_gone(taker, owner, orphans)
        for id_ in _requeue(taker, owner, orphans)
    ]


def _is_gone(taker: Taker, owner: str, orphans: list[Orphan]) -> bool:
    state = get_state(taker.app)
    now = state.clock.now()
    leases = [state.dialect.parsed(orphan.lease_until) for orphan in orphans if orphan.lease_until is not None]
    if leases and max(leases) < now:
        return True
    if taker.presence.is_alive(owner):
        return False
    if leases and max(leases) > now + DOUBT:
        # In the row, because whoever looks may be killed before the next look.
        until = state.dialect.moment(now + DOUBT)
        with taker.link.begin() as execute:
            for orphan in orphans:
                execute(state.dialect["doubt"], {"id": orphan.id, "lease_until": orphan.lease_until, "until": until})
    # Without a lease, on SQLite, what the kernel says is so.
    return not leases


def _requeue(taker: Taker, owner: str, orphans: list[Orphan]) -> list[str]:
    requeued = []
    for orphan in orphans:
        is_cancelled = taker.presence.was_cancel_asked(orphan.id, owner)
        try:
            with taker.link.begin() as execute:
                state = _give_to_others(execute, taker.app, orphan, is_cancelled=is_cancelled)
        except JobLostError:
            # Somebody else has done it first, or it has ended after all.
            continue
        logger.warning(
            "The worker %s is gone; job %s (%s), its attempt %d of %d, is %s now.",
            *(owner, orphan.id, orphan.func, orphan.attempts, orphan.max_attempts, state),
        )
        notify_changed(taker.app, orphan.id, state)
        requeued.append(orphan.id)
    taker.presence.forget(owner)
    return requeued


def _give_to_others(execute: Execute, app: Flask, orphan: Orphan, *, is_cancelled: bool) -> str:
    now = get_state(app).clock.now()
    failure = describe(JobCancelledError()) if is_cancelled else _why(app, orphan, now)
    state = "cancelled" if is_cancelled else "dead" if orphan.attempts >= orphan.max_attempts else "ready"
    error = failure.to_text()
    if state == "ready":
        write_end(execute, app, orphan, "try_again", run_at=now, error=error)
    else:
        write_end(execute, app, orphan, "end", state=state, error=error, now=now, expires_at=expiry(state, now))
    return state


def _why(app: Flask, orphan: Orphan, now: datetime) -> Failure:
    """Say why its worker is gone: a worker that was killed says nothing."""
    started = get_state(app).dialect.parsed(orphan.started)
    if orphan.timeout is not None and (now - started).total_seconds() >= orphan.timeout:
        return Failure("timeout", f"It took longer than the {orphan.timeout:g} s that it is given.")
    return Failure("lost", f"Its worker ({orphan.owner}) ended while it ran: killed, out of memory, or by the job.")


def give_back(link: Link, app: Flask, owner: str) -> int:
    """Make what ``owner`` has taken ready again, without burning the attempts; return how many jobs that are.

    One that somebody cancelled is cancelled. Only for a worker that has not begun them, or whose process is gone.
    """
    state, presence = get_state(app), create_presence(app)
    taken = [orphan for row in link.read(state.dialect["running"]) if (orphan := Orphan(*row)).owner == owner]
    unwanted = [orphan for orphan in taken if presence.was_cancel_asked(orphan.id, owner)]
    parameters = {"owner": owner, "now": state.dialect.moment(state.clock.now())}
    cancelled = []
    with link.begin() as execute:
        for orphan in unwanted:
            # Somebody else may have taken it from the dead worker first.
            with contextlib.suppress(JobLostError):
                _give_to_others(execute, app, orphan, is_cancelled=True)
                cancelled.append(orphan.id)
        number = execute(state.dialect["give_back"], parameters).rowcount
    for id_ in cancelled:
        notify_changed(app, id_, "cancelled")
    return number


def expire(link: Link, app: Flask, since: datetime | None = None) -> None:
    """Delete the jobs whose results have expired; of those that somebody asked for a trace is left for a while.

    :param since: up to when that has been done before; None when nobody knows.
    """
    state = get_state(app)
    now = state.clock.now()
    moments = {"now": now, "since": since or now - TOMBSTONE_KEPT, "gone": now - TOMBSTONE_KEPT}
    parameters = {name: state.dialect.moment(moment) for name, moment in moments.items()}
    if not link.read(state.dialect["expired"], parameters):
        return
    with link.begin() as execute:
        execute(state.dialect["clear"], parameters)
        execute(state.dialect["delete"], parameters)
