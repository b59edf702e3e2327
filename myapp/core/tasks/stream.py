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
        self._app = app
        self._view = view
        self._body: Iterable[t.Any] = response.response
        self._commits = response.status_code < 400
        self._holds_back = "Content-Length" in response.headers and response.mimetype != "text/event-stream"
        # Everything that the request has set in its context stays visible; what the body sets ends with it.
        self._context = contextvars.copy_context()
        self._steps: Generator[t.Any] | None = None
        self._is_closed = False

    def __iter__(self) -> Iterator[t.Any]:
        return self

    def __next__(self) -> t.Any:
        if self._steps is None:
            self._steps = self._iter_held_back() if self._holds_back else self._iter_in_task()
        return self._context.run(next, self._steps)

    def close(self) -> None:
        """End the body: an unfinished one rolls back and closes its iterable. It may be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        unfinished: t.Any = self._body if self._steps is None else self._steps
        if hasattr(unfinished, "close"):
            self._context.run(unfinished.close)

    def __del__(self) -> None:
        # Servers close what they read; a test that does not would leave a generator to end outside of its context.
        self.close()

    def _iter_in_task(self) -> Generator[t.Any]:
        with pushed_context(self._app) as context:
            # stream_with_context pushes the contexts of the request again: they are this task's as well.
            contexts = (context, *self._view.contexts)
            task = Task(self._app, "stream", contexts, self._view, writes=False, id=self._view.id)
            token = current.set(task)
            try:
                try:
                    yield from self._body
                finally:
                    if hasattr(self._body, "close"):
                        self._body.close()
                if self._commits:
                    task.commit()
            finally:
                task.rollback()
                current.reset(token)

    def _iter_held_back(self) -> Generator[t.Any]:
        """Yield each chunk when the next one is there; the last one when the task has committed."""
        steps = self._iter_in_task()
        try:
            held = next(steps, None)
            for chunk in steps:
                yield held
                held = chunk
        finally:
            steps.close()
        if held is not None:
            yield held
