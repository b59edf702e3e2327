"""Callbacks of a task: what runs after its commit, or after its rollback."""

from __future__ import annotations

import contextvars
import logging
import time
import typing as t
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field

from ..errors import TooManyCallbacksError
from ..signals import callback_failed

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from flask import Response

    from .task import Task

logger = logging.getLogger("myapp.tasks")

MAXIMUM_CALLBACKS = 1_000
SLOW_SECONDS = 2.0


class Callback(t.NamedTuple):
    """A function with the arguments that were bound when it was registered."""

    function: Callable[..., t.Any]
    args: tuple[t.Any, ...]
    kwargs: Mapping[str, t.Any]

    @property
    def name(self) -> str:
        """The qualified name, for people."""
        function = self.function
        # Never its repr: that of a bound method is made from its object, which may load from the database.
        qualified = getattr(function, "__qualname__", None) or type(function).__qualname__
        return f"{getattr(function, '__module__', '?')}.{qualified}"


@dataclass
class Effects:
    """What one task, or one savepoint of it, has registered, in order."""

    commit: list[Callback] = field(default_factory=list)
    rollback: list[Callback] = field(default_factory=list)
    #: What runs before the commit.
    prepare: list[Callable[[Response | None], t.Any]] = field(default_factory=list)

    def take_prepare(self) -> list[Callable[[Response | None], t.Any]]:
        """Return what is to run before the commit, once."""
        functions, self.prepare = self.prepare, []
        return functions

    def absorb(self, released: Effects) -> None:
        """Take over what a released savepoint has registered."""
        self.prepare.extend(released.prepare)
        self.commit.extend(released.commit)
        self.rollback.extend(released.rollback)


@dataclass
class Captured:
    """What :func:`myapp.testing.capture_effects` yields: the callbacks of every task that committed in the block."""

    run: bool
    callbacks: list[Callback] = field(default_factory=list)


capturing: ContextVar[Captured | None] = ContextVar("myapp.capturing", default=None)


def drain(parent: Task, callbacks: Iterable[Callback], *, is_read_only: bool = False) -> None:
    """Run ``callbacks`` in order, each in a child task of ``parent``, and what they register behind them.

    One that raises is logged with the task's id and counted; the others still run. KeyboardInterrupt and SystemExit
    pass.
    """
    captured = capturing.get()
    queue = deque(callbacks)
    started = time.monotonic()
    slowest, slowest_seconds = "", 0.0
    count = 0
    while queue:
        callback = queue.popleft()
        count += 1
        if count > MAXIMUM_CALLBACKS:
            error = TooManyCallbacksError(
                f"More than {MAXIMUM_CALLBACKS:,} callbacks after one commit; {callback.name} and"
                f" {len(queue)} more were dropped. A callback that registers itself again never ends."
            )
            _report(parent, callback, error)
            return
        if captured is not None:
            captured.callbacks.append(callback)
            if not captured.run:
                continue
        before = time.monotonic()
        # An empty Context: no request, no session, no g and no task of the finished one. What has to go on is
        # reached through the child's parent.
        queue.extend(contextvars.Context().run(_run, parent, callback, is_read_only))
        seconds = time.monotonic() - before
        if seconds > slowest_seconds:
            slowest, slowest_seconds = callback.name, seconds
    total = time.monotonic() - started
    if total > SLOW_SECONDS:
        logger.warning(
            "The callbacks of task %s took %.1f s while the client waited; the slowest, %s, took %.1f s."
            " Let a job do such work.",
            parent.id,
            total,
            slowest,
            slowest_seconds,
        )


def _run(parent: Task, callback: Callback, is_read_only: bool) -> list[Callback]:
    """Run one callback as a child task; return what it registered, if it committed."""
    try:
        with parent.child(is_read_only=is_read_only) as child:
            parent.app.ensure_sync(callback.function)(*callback.args, **callback.kwargs)
    # Rule A5: the answer stands, the others still run.
    except Exception as error:  # noqa: BLE001
        _report(parent, callback, error)
        return []
    return child.take_committed()


def _report(parent: Task, callback: Callback, error: Exception) -> None:
    logger.error("The callback %s of task %s failed.", callback.name, parent.id, exc_info=error)
    parent.state.callbacks_failed += 1
    parent.signal(callback_failed, callback=callback.name, exception=error)
