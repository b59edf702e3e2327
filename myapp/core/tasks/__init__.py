"""The unit of work: resources, one commit before the answer leaves, callbacks after it.

One application context is one task: a request, a command, a background job. See ``docs/tasks.md``.
"""

from __future__ import annotations

import functools
import typing as t

from flask.globals import app_ctx
from werkzeug.exceptions import InternalServerError
from werkzeug.local import LocalProxy

from . import commands, requests
from .binding import after_commit, after_rollback, get_resource, get_task, open_task
from .commands import tasked, untasked
from .effects import Captured, Effects, capturing
from .guards import OpenGuard, open_guard
from .ids import new_id
from .task import BARE, Resource, Task, TaskState, current, find_task, pushed_context

if t.TYPE_CHECKING:
    from flask import Flask

__all__ = [
    "Captured",
    "Effects",
    "OpenGuard",
    "Resource",
    "Task",
    "after_commit",
    "after_rollback",
    "capturing",
    "current",
    "find_task",
    "get_resource",
    "get_task",
    "init_app",
    "new_id",
    "open_guard",
    "open_task",
    "pushed_context",
    "seal",
    "task",
    "tasked",
    "untasked",
]

#: The current task.
task: Task = LocalProxy(get_task)  # type: ignore[assignment]


def init_app(app: Flask) -> None:
    """Attach ``app.task``.

    Reads ``MYAPP_PUBLIC_URL`` (for ``url_for`` outside of requests) and ``MYAPP_TRUSTED_PROXIES`` (whose
    ``X-Request-ID`` counts).
    """
    app.extensions["myapp.tasks"] = TaskState(
        last_resort=lambda: app.make_response(t.cast("t.Any", InternalServerError()))
    )
    app.task = functools.partial(open_task, app)  # type: ignore[attr-defined]


def seal(app: Flask) -> None:
    """Wrap requests and commands into tasks, outermost: called once, when everything else is registered."""
    requests.wrap(app)
    commands.wrap(app)
    _wrap_teardown(app)


def _wrap_teardown(app: Flask) -> None:
    """Release after every teardown function has run, also after one that raised: in Flask 3.1 it stops the others."""
    do_teardown_appcontext = app.do_teardown_appcontext

    def tear_down_and_release(*args: t.Any, **kwargs: t.Any) -> None:
        try:
            do_teardown_appcontext(*args, **kwargs)
        finally:
            _release()

    app.do_teardown_appcontext = tear_down_and_release  # type: ignore[method-assign]


def _release() -> None:
    """Roll back what is still open in this application context and release it; safe to be called twice."""
    context = app_ctx._get_current_object()  # type: ignore[attr-defined]
    bare: Task | None = context.g.pop(BARE, None)
    if bare is not None:
        bare.rollback()
    task = current.get()
    # The context of a finished request is pushed again by stream_with_context and by the test client; the task of a
    # block or a stream ends with its block. Only a request ends with its context.
    if task is not None and task.kind == "request" and task.contexts[0] is context:
        task.rollback()
