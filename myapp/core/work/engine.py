"""The transport that is built in: workers look into the ledger. And the worker thread of ``flask run``."""

from __future__ import annotations

import threading
import typing as t

import click
import sqlalchemy as sa
from flask.cli import run_command
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader

from ..data import get_engine
from ..runtime import get_runtime
from .models import LIVE, Job
from .presence import ask_to_stop
from .state import get_state
from .supervisor import Supervisor
from .worker import Worker

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask

    from .transport import Enqueued, Fleet


class LedgerTransport:
    """See :class:`myapp.core.work.transport.Transport`."""

    def announce(self, app: Flask, jobs: Sequence[Enqueued]) -> None:
        """Wake the workers of this process, and start one where this process serves ``flask run``.

        Those of other processes see that the database has changed.
        """
        state = get_state(app)
        for worker in list(state.workers):
            worker.bell.ring()
        if state.serves and not app.testing:
            _get_thread(app).ensure(app)

    def work(self, app: Flask, fleet: Fleet) -> int:
        """Run a process for each slot, and watch over them."""
        return Supervisor(app, fleet).run()

    def stop(self, app: Flask, job_id: str, owner: str) -> None:
        """Tell the worker."""
        ask_to_stop(app, job_id, owner)


def start(app: Flask) -> None:
    """Let this process work if it is the one that serves ``flask run``: at once when there is something to do.

    With the reloader that is the child, not the process that watches the files.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.command is not run_command:
        return
    reloads = context.params.get("reload")
    if (get_debug_flag() if reloads is None else reloads) and not is_running_from_reloader():
        return
    state = get_state(app)
    state.serves = isinstance(state.transport, LedgerTransport)
    if state.serves and not app.testing and _has_work(app):
        _get_thread(app).ensure(app)


def _has_work(app: Flask) -> bool:
    with get_engine(app).connect() as connection:
        # Those that are running as well: a server that was killed has left them.
        return connection.scalar(sa.select(Job.id).where(Job.state.in_(LIVE)).limit(1)) is not None


class WorkerThread:
    """The one worker of a process that serves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ensure(self, app: Flask) -> None:
        """Start it, if it does not run."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                # A daemon: the process may end at any moment, and the next one finishes what this one has begun.
                self._thread = threading.Thread(target=Worker(app).run, name="myapp-jobs", daemon=True)
                self._thread.start()


def _get_thread(app: Flask) -> WorkerThread:
    return get_runtime(app).get("work.thread", WorkerThread)
