"""What is bound to the current task: finding it, opening one, its resources and its callbacks."""

from __future__ import annotations

import typing as t
from contextlib import contextmanager

from flask import current_app, g, has_app_context
from flask.globals import app_ctx

from ..errors import NoTaskError, TaskError
from .effects import Callback
from .task import BARE, Resource, Task, current, entered, find_task, public_url_adapter, pushed_context

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask
    from flask.ctx import AppContext

    from .task import Kind

T = t.TypeVar("T")


def get_task() -> Task:
    """Return the current task; a bare application context gets one that can only roll back, at first use.

    :raises NoTaskError: outside of an application context.
    """
    task = find_task()
    if task is not None:
        return task
    if not has_app_context():
        raise NoTaskError(
            "Working outside of a task. Requests, commands and jobs are tasks by themselves; elsewhere open one:"
            " with app.task(): …"
        )
    bare: Task | None = g.get(BARE)
    if bare is None:
        context = app_ctx._get_current_object()  # type: ignore[attr-defined]
        bare = Task(context.app, "bare", (context,), current.get(), writes=False)
        setattr(g, BARE, bare)
    return bare


@contextmanager
def open_task(app: Flask, *, read_only: bool = False, kind: Kind = "block") -> Iterator[Task]:
    """Open a task of its own: a transaction that commits at the end of the block, and rolls back when it raises.

    It shares the application context (``g``, ``request``) that is current, and pushes one when none of this app is.
    Inside another task the two transactions are independent: what the inner one committed stays when the outer one
    rolls back.

    :param read_only: refuse writes; on SQLite the task then never waits for the write lock.
    :raises NestedWriteError: on SQLite, at the first query, when the task around it holds the write lock.
    """
    if has_app_context() and current_app._get_current_object() is app:  # type: ignore[attr-defined]
        context = app_ctx._get_current_object()  # type: ignore[attr-defined]
        if context.url_adapter is None:
            context.url_adapter = public_url_adapter(app)
        with entered(_task_in(context, kind, read_only=read_only)) as task:
            yield task
    else:
        with pushed_context(app) as context, entered(_task_in(context, kind, read_only=read_only)) as task:
            yield task


def _task_in(context: AppContext, kind: Kind, *, read_only: bool) -> Task:
    return Task(context.app, kind, (context,), current.get(), writes=not read_only, is_read_only=read_only)


def get_resource(
    name: str,
    open: Callable[[], T],
    close: Callable[[T], None],
    *,
    prepare: Callable[[T], None] | None = None,
    commit: Callable[[T], None] | None = None,
    rollback: Callable[[T], None] | None = None,
) -> T:
    """Return the thing that is bound to the current task as ``name``, opened at first use.

    One for each task; released in reverse order of opening when the task has ended, and an error in one ``close``
    never stops the next.

    :param open: makes it.
    :param close: releases it; runs for every outcome.
    :param prepare: the last chance to fail before anything is committed.
    :param commit: makes its effects durable; the SQL database commits after it.
    :param rollback: undoes them.
    :raises TaskEndedError: when the task has ended.
    :raises NoTaskError: outside of an application context.
    """
    task = get_task()
    task.check_open(f"get_resource({name!r})")
    bound = task.find_resource(name)
    if bound is not None:
        return t.cast("T", bound.value)
    value = open()
    try:
        task.bind(Resource(name, value, close, prepare, commit, rollback))
    except TaskError:
        close(value)
        raise
    return value


class _Decorator:
    """The default of ``f``: told apart from None, which is what a function called too early gives."""

    def __repr__(self) -> str:
        return "<decorator>"


_DECORATOR: t.Any = _Decorator()


def after_commit(f: t.Any = _DECORATOR, /, *args: t.Any, **kwargs: t.Any) -> t.Any:
    """Run ``f(*args, **kwargs)`` after the task has committed and before its answer leaves.

    Use it as a call, which binds the arguments now, or as a decorator. Callbacks run in the order in which they were
    registered, once, each in a task of its own without ``request``, ``session`` and ``g``; one that raises is logged,
    and changes neither the answer nor the others. A rollback discards them. A crash between the commit and the
    callback loses it: what must not be lost is a row of the same transaction.

    :raises TypeError: when ``f`` is not callable.
    :raises NoTaskError: outside of a task.
    """
    return _register(f, args, kwargs, on_commit=True)


def after_rollback(f: t.Any = _DECORATOR, /, *args: t.Any, **kwargs: t.Any) -> t.Any:
    """Run ``f(*args, **kwargs)`` after the task, or the savepoint around this call, was rolled back.

    :raises TypeError: when ``f`` is not callable.
    :raises NoTaskError: outside of a task.
    """
    return _register(f, args, kwargs, on_commit=False)


def _register(f: t.Any, args: tuple[t.Any, ...], kwargs: dict[str, t.Any], *, on_commit: bool) -> t.Any:
    if f is _DECORATOR:
        return lambda function: _register(function, args, kwargs, on_commit=on_commit)
    if not callable(f):
        name = "after_commit" if on_commit else "after_rollback"
        raise TypeError(f"{name}() takes a function and its arguments, not {f!r}. Pass the function, do not call it.")
    get_task().register(Callback(f, args, kwargs), on_commit=on_commit)
    return f
