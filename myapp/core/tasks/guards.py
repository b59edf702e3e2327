"""A guarded function: when it fails, what it did to the task is undone, and nothing else is.

It costs next to nothing while the task is untouched: then all that is there afterwards is the function's own, and
:meth:`Task.start_over` undoes it. Only in a task that others have touched is a record kept of the call, for which the
database begins a savepoint before its first statement.
"""

from __future__ import annotations

import typing as t
from contextlib import nullcontext

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from .task import Task

Passing: t.TypeAlias = tuple[type[BaseException], ...]


def open_guard(task: Task | None, passing: Passing) -> AbstractContextManager[None]:
    """Return a block that undoes what it did to ``task`` when it raises.

    :param task: the current task; for None, and for one that has ended, there is nothing to undo.
    :param passing: exceptions that undo nothing: an answer like any other, whose status decides about the whole task.
    :raises Exception: when what others have left pending cannot be sent: that is theirs, and it is not undone.
    """
    if task is None or not task.is_open:
        return nullcontext()
    return OpenGuard(task, passing) if task.is_touched else _FreshGuard(task, passing)


class _FreshGuard:
    """One call of a guarded function in a task that nobody has touched."""

    __slots__ = ("passing", "task")

    def __init__(self, task: Task, passing: Passing) -> None:
        self.task = task
        self.passing = passing

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or issubclass(kind, self.passing):
            try:
                self.task.send_and_check()
            except BaseException:
                self.task.start_over()
                raise
        else:
            self.task.start_over()


class OpenGuard:
    """One call of a guarded function in a task that others have touched."""

    __slots__ = ("effects", "outer", "passing", "savepoint", "task")

    def __init__(self, task: Task, passing: Passing) -> None:
        task.send_pending()
        self.task = task
        self.passing = passing
        #: The guarded function around this one: the template that it renders has a slot.
        self.outer = task.guard
        #: The database's, begun before the first statement.
        self.savepoint: t.Any = None
        self.effects = task.push_effects()

    def iter_inward(self) -> Iterator[OpenGuard]:
        """Yield the guarded functions that run, the outermost first."""
        if self.outer is not None:
            yield from self.outer.iter_inward()
        yield self

    def __enter__(self) -> None:
        self.task.guard = self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None or issubclass(kind, self.passing):
                self._keep()
            else:
                self._end(undone=True)
        finally:
            self.task.guard = self.outer

    def _keep(self) -> None:
        try:
            self._end(undone=False)
        except BaseException:
            # What was pending could not be sent.
            self._end(undone=True)
            raise

    def _end(self, *, undone: bool) -> None:
        task = self.task
        end_guard = task.state.end_guard
        # The task may have ended meanwhile, and everything with it.
        if end_guard is not None and task.is_open:
            end_guard(self, undone)
        task.pop_effects(self.effects, rolled_back=undone)
