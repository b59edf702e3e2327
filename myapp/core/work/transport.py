"""What carries jobs to workers: a protocol, and the ledger itself as the engine that is built in.

The ledger is the truth and a transport only carries: what it loses, it finds there again.
"""

from __future__ import annotations

import threading
import typing as t
from datetime import datetime

if t.TYPE_CHECKING:
    from collections.abc import Sequence


class Enqueued(t.NamedTuple):
    """A job that was committed."""

    id: str
    queue: str
    run_at: datetime


class Transport(t.Protocol):
    """An engine that brings jobs to workers."""

    def announce(self, jobs: Sequence[Enqueued]) -> None:
        """Tell workers that ``jobs`` were committed; called once for each task, before its answer leaves.

        It returns at once and raises nothing when its engine cannot be reached: the jobs are in the ledger, and are
        sent again from there.
        """


class Ledger:
    """The built-in engine: workers look into the ledger."""

    def __init__(self) -> None:
        #: Set when a task of this process has committed jobs.
        self.news = threading.Event()

    def announce(self, jobs: Sequence[Enqueued]) -> None:
        """Wake the worker of this process; those of others see that the database has changed."""
        self.news.set()
