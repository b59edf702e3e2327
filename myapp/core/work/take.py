"""How one worker takes jobs: its name, its presence, its connection, and whose turn it is."""

from __future__ import annotations

import time
import typing as t
from collections import deque

from .ledger import claim_next, claim_one
from .link import Link
from .presence import create_presence, new_owner
from .state import get_state

if t.TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from flask import Flask

    from .ledger import Claim
    from .link import Execute

LOOK_SECONDS = 0.1


class Taker:
    """Use it in a ``with`` statement: it is alive for the others inside, and what it has taken is theirs afterwards.

    Queues take turns, so that a long one keeps no other waiting; within a queue the order is that of the ledger.

    :param queues: only those; None for all.
    """

    def __init__(self, app: Flask, queues: Iterable[str] | None = None) -> None:
        self.app = app
        self.link = Link(app)
        self.presence = create_presence(app)
        self.owner = new_owner()
        self._wanted = None if queues is None else frozenset(queues)
        self._due: deque[tuple[str, list[int]]] = deque()
        self._looked = 0.0
        self._version: int | None = None

    def __enter__(self) -> t.Self:
        # Before the first job is taken: its owner has to be alive by then.
        self.presence.hold(self.owner)
        return self

    def __exit__(self, *_error: object) -> None:
        self.link.close()
        self.presence.release()

    def take(self) -> Claim | None:
        """Take the next job in a transaction of its own, or return None when none is due."""
        if not self._due:
            self.look()
        if not self._due:
            # Looking takes no lock, and most looks find nothing.
            return None
        with self.link.begin() as execute:
            return self.take_in(execute)

    def take_in(self, execute: Execute) -> Claim | None:
        """Take the next job in the transaction of ``execute``, from what the last look has found."""
        while self._due:
            queue, priorities = self._due[0]
            claim = claim_next(execute, self.app, self.owner, queue, priorities[-1])
            if claim is not None:
                self._due.rotate(-1)
                return claim
            priorities.pop()
            if not priorities:
                self._due.popleft()
        return None

    @property
    def is_stale(self) -> bool:
        """Whether the last look is long ago: a job that comes first may have come since."""
        return time.monotonic() - self._looked > LOOK_SECONDS

    def take_one(self, job_id: str) -> Claim | None:
        """Take this job, if it is ready and due."""
        with self.link.begin() as execute:
            return claim_one(execute, self.app, self.owner, job_id)

    def look(self) -> datetime | None:
        """Learn in which lines jobs are due; return when the next one that is not will be, if any."""
        state = get_state(self.app)
        now = state.clock.now()
        due: dict[str, list[int]] = {}
        later: list[datetime] = []
        for queue, priority, moment in self.link.read(state.dialect["upcoming"]):
            if self._wanted is None or queue in self._wanted:
                run_at = state.dialect.parsed(moment)
                due.setdefault(queue, []).append(priority) if run_at <= now else later.append(run_at)
        # Who has waited longest comes first; the largest priority of each queue is at the end of its list.
        self._due = deque((queue, sorted(priorities)) for queue, priorities in due.items())
        self._looked = time.monotonic()
        return min(later, default=None)

    @property
    def has_due(self) -> bool:
        """Whether the last look found a job that is due."""
        return bool(self._due)

    def has_changed(self) -> bool:
        """Whether the database may have changed since the last call: known at once on SQLite, assumed elsewhere."""
        if not get_state(self.app).dialect.is_sqlite:
            return True
        before, self._version = self._version, self.link.read("PRAGMA data_version")[0][0]
        return before != self._version
