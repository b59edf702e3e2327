"""A streamed body is a second task: it runs after the view's task has committed and released its resources."""

from __future__ import annotations

import contextvars
import logging
import typing as t

from werkzeug.wsgi import FileWrapper

from .task import Task, current, pushed_context

if t.TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from flask import Flask, Response

logger = logging.getLogger("myapp.tasks")


def is_stream(response: Response) -> bool:
    """Whether the body of ``response`` is made while it is sent; files are not, they need no task."""
    body = response.response
    return not (
        type(body) is list
        or response.direct_passthrough
        or isinstance(body, list | tuple | str | bytes | bytearray | FileWrapper)
    )


class StreamBody:
    """The iterable of a streamed body, run as a task in a :class:`contextvars.Context` of its own.

    The task commits when the iterable ends by itself, and rolls back when the client goes away or it raises. If that
    commit fails the connection is cut, because the status has been sent; with a ``Content-Length`` the last chunk is
    held back until the commit, so that the client can tell. Event streams are never held back.
    """

    def __init__(self, app: Flask, view: Task, response: Response) -> None:
        body: Iterable[t.Any] = response.response
        steps = _iter_in_task(app, view, body, commits=response.status_code < 400)
        if "Content-Length" in response.headers and response.mimetype != "text/event-stream":
            steps = _iter_held_back(steps)
        self._body = body
        self._steps = steps
        self._has_begun = False
        self._is_closed = False
        # Everything that the request has set in its context stays visible; what the body sets ends with it.
        self._context = contextvars.copy_context()

    def __iter__(self) -> Iterator[t.Any]:
        return self

    def __next__(self) -> t.Any:
        self._has_begun = True
        return self._context.run(next, self._steps)

    def close(self) -> None:
        """End the body: an unfinished one rolls back and closes its iterable. It may be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        unfinished: t.Any = self._steps if self._has_begun else self._body
        if hasattr(unfinished, "close"):
            self._context.run(unfinished.close)

    def __del__(self) -> None:
        # Servers close what they read; a test that does not would leave a generator to end outside of its context.
        self.close()


# Functions, not methods: a generator that refers to its StreamBody would be a cycle, and a cycle ends in any order.


def _iter_in_task(app: Flask, view: Task, body: Iterable[t.Any], *, commits: bool) -> Generator[t.Any]:
    with pushed_context(app) as context:
        # stream_with_context pushes the contexts of the request again: they are this task's as well.
        task = Task(app, "stream", (context, *view.contexts), view, writes=False, id=view.id)
        token = current.set(task)
        try:
            try:
                yield from body
            finally:
                if hasattr(body, "close"):
                    body.close()
            if commits:
                task.commit()
        finally:
            task.rollback()
            current.reset(token)


def _iter_held_back(steps: Generator[t.Any]) -> Generator[t.Any]:
    """Yield each chunk when the next one is there; the last one when the task has committed."""
    try:
        held = next(steps, None)
        for chunk in steps:
            yield held
            held = chunk
    finally:
        steps.close()
    if held is not None:
        yield held
