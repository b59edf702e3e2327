"""``flask jobs chaos``: kill workers at random while they work, and count what came of it."""

from __future__ import annotations

import json
import os
import random
import signal
import time
import typing as t
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from ..data import get_db
from ..errors import JobError
from ..runtime import get_runtime
from ..tasks import get_task, new_id, open_task
from .functions import job
from .models import LIVE, Job
from .state import get_state
from .transport import Fleet

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask

POLL_SECONDS = 0.01
#: What a job of the test takes, so that there is something to interrupt.
JOB_SECONDS = 0.02


@dataclass
class Outcome:
    """What came of it."""

    jobs: int
    kills: int
    lost: int
    doubled: int
    #: From a kill until the job of the killed worker was ready for others.
    longest_recovery_seconds: float
    seconds: float


@job(name="myapp.chaos", retries=1000)
def leave_mark(queue: str, number: int) -> None:
    """Leave one row behind: the effect that has to be there once. The ledger is a table as good as any other."""
    now = get_state(get_task().app).clock.now()
    mark = {"id": new_id(), "func": "myapp.chaos.mark", "args": json.dumps([[number], {}]), "queue": queue}
    times = {"run_at": now, "created": now, "finished": now, "expires_at": now + timedelta(hours=1)}
    get_db().execute(
        sa.insert(Job).values(**mark, **times, priority=0, state="done", attempts=1, max_attempts=1, atomic=True)
    )
    # Long enough to be killed in the middle, with the row written and nothing committed.
    time.sleep(JOB_SECONDS)


def run_chaos(
    app: Flask, *, jobs: int, kills: int, concurrency: int, seconds: float, tell: Callable[[int, int], None]
) -> Outcome:
    """Enqueue ``jobs`` in a queue of their own, work them off with a fleet of its own, and kill its workers.

    Nothing but this fleet is killed, and what the test wrote is deleted afterwards.

    :param tell: is told now and then how many jobs are done and how many workers were killed.
    :raises JobError: when the jobs are not done after ``seconds``.
    """
    queue = f"chaos {new_id()}"
    began = time.monotonic()
    with open_task(app):
        for number in range(jobs):
            leave_mark.with_options(queue=queue).enqueue(queue, number)
    fleet = _fork_fleet(app, Fleet(concurrency, (queue,), grace_seconds=0))
    try:
        recoveries = _kill_at_random(app, queue, fleet, jobs, kills, began + seconds, tell)
        return _count(app, queue, jobs, recoveries, time.monotonic() - began)
    finally:
        os.kill(fleet, signal.SIGTERM)
        os.waitpid(fleet, 0)
        with open_task(app):
            get_db().execute(sa.delete(Job).where(Job.queue == queue))


def _fork_fleet(app: Flask, fleet: Fleet) -> int:
    """Start a fleet in a process of its own and return its id."""
    # A connection does not survive a fork.
    get_runtime(app).close()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = get_state(app).transport.work(app, fleet)
    finally:
        os._exit(status)


def _kill_at_random(
    app: Flask, queue: str, fleet: int, jobs: int, kills: int, deadline: float, tell: Callable[[int, int], None]
) -> list[float]:
    recoveries: list[float] = []
    # Until nothing happens any more: whatever is not done then is lost.
    while any((states := _count_states(app, queue))[state] for state in LIVE):
        done = states["done"]
        if time.monotonic() > deadline:
            raise JobError(f"Only {done} of {jobs} jobs are done, and the time is over. Is the ledger reachable?")
        tell(done, len(recoveries))
        # The kills are spread over the jobs: each as soon as its share of them is done.
        running = _running(app, queue) if len(recoveries) < kills * (done + 1) / jobs else []
        victims = [owner for owner in running if _is_below(_pid_of(owner), fleet)]
        if victims and len(recoveries) < kills:
            recovery = _kill(app, queue, random.choice(victims), deadline)  # noqa: S311
            recoveries += [] if recovery is None else [recovery]
        # The ledger is looked at from outside: the fleet under test is to tell nobody.
        time.sleep(POLL_SECONDS)
    return recoveries


def _kill(app: Flask, queue: str, owner: str, deadline: float) -> float | None:
    """Kill a worker and return the seconds until nothing is its any more; None for one that has ended by itself."""
    try:
        os.kill(_pid_of(owner), signal.SIGKILL)
    except ProcessLookupError:
        return None
    killed = time.monotonic()
    while owner in _running(app, queue) and time.monotonic() <= deadline:
        # As above; the pause is the precision of what is measured.
        time.sleep(POLL_SECONDS)
    return time.monotonic() - killed


def _running(app: Flask, queue: str) -> list[str]:
    query = sa.select(Job.owner).where(Job.queue == queue, Job.state == "running", Job.owner.is_not(None))
    with open_task(app, read_only=True):
        return [owner for owner in get_db().scalars(query) if owner is not None]


def _count_states(app: Flask, queue: str) -> Counter[str]:
    query = sa.select(Job.state).where(Job.queue == queue, Job.func == leave_mark.name)
    with open_task(app, read_only=True):
        return Counter(get_db().scalars(query))


def _count(app: Flask, queue: str, jobs: int, recoveries: list[float], seconds: float) -> Outcome:
    query = sa.select(Job.args).where(Job.queue == queue, Job.func == "myapp.chaos.mark")
    with open_task(app, read_only=True):
        marks = Counter(json.loads(args)[0][0] for args in get_db().scalars(query))
    lost = sum(number not in marks for number in range(jobs))
    doubled = sum(count > 1 for count in marks.values())
    return Outcome(jobs, len(recoveries), lost, doubled, max(recoveries, default=0.0), seconds)


def _pid_of(owner: str) -> int:
    return int(owner.split(":")[1])


def _is_below(pid: int, ancestor: int) -> bool:
    return ancestor in _iter_parents(pid)


def _iter_parents(pid: int) -> Iterator[int]:
    while pid > 1:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return
        pid = int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])
        yield pid
