"""The transport that is built in: workers look into the ledger. And the worker thread of ``flask run``."""

from __future__ import annotations

import threading
import typing as t

import click
from flask.cli import run_command
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader

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
        """Wake the workers of this process; those of others see that the database has changed."""
        for worker in list(get_state(app).workers):
            worker.bell.ring()

    def work(self, app: Flask, fleet: Fleet) -> int:
        """Run a process for each slot, and watch over them."""
        return Supervisor(app, fleet).run()

    def stop(self, app: Flask, job_id: str, owner: str) -> None:
        """Tell the worker."""
        ask_to_stop(app, job_id, owner)


def start(app: Flask) -> None:
    """Let this process work if it is the one that serves ``flask run``, in a thread beside the server.

    With the reloader that is the child, not the process that watches the files.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.command is not run_command:
        return
    reloads = context.params.get("reload")
    if (get_debug_flag() if reloads is None else reloads) and not is_running_from_reloader():
        return
    if isinstance(get_state(app).transport, LedgerTransport) and not app.testing:
        # Without waiting for a first job of this process: that of a command is announced to nobody.
        # A daemon: the process may end at any moment, and the next one finishes what this one has begun.
        threading.Thread(target=Worker(app).run, name="myapp-jobs", daemon=True).start()
