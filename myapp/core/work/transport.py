"""What carries jobs to workers: the protocol of three methods.

The ledger is the truth and a transport only carries: it is told ids, and what it loses it finds in the ledger again.
A worker of any transport takes a job there (:meth:`~myapp.core.work.Taker.take_one`), runs it
(:class:`~myapp.core.work.Attempt`), and so cannot run one twice, whatever it was told twice.
"""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from flask import Flask


class Enqueued(t.NamedTuple):
    """A job that was committed."""

    id: str
    queue: str
    run_at: datetime


class Fleet(t.NamedTuple):
    """What ``flask jobs work`` was asked for."""

    concurrency: int = 1
    #: None for all of them.
    queues: tuple[str, ...] | None = None
    #: How long the running jobs may go on after SIGTERM.
    grace_seconds: float = 20.0


class Transport(t.Protocol):
    """An engine that brings jobs to workers."""

    def announce(self, app: Flask, jobs: Sequence[Enqueued]) -> None:
        """Tell workers that ``jobs`` were committed; called once for each task, before its answer leaves.

        It returns at once, and raises nothing when its engine cannot be reached: the jobs are in the ledger.
        """

    def work(self, app: Flask, fleet: Fleet) -> int:
        """Run workers until SIGTERM or SIGINT and return the exit status: ``flask jobs work``."""

    def stop(self, app: Flask, job_id: str, owner: str) -> None:
        """Ask the worker ``owner`` to stop the job ``job_id``, which it runs; the job may end well all the same."""
