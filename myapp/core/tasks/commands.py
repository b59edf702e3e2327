"""Commands are tasks: every click command of the app, of a blueprint and of a plugin."""

from __future__ import annotations

import copy
import functools
import inspect
import typing as t
from contextlib import contextmanager

import click
from flask import current_app

from .binding import open_task
from .task import find_task

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask

P = t.ParamSpec("P")
R = t.TypeVar("R")

#: Marks a function that runs outside of a task, and one that is a task already.
_UNTASKED = "_myapp_untasked"


def tasked(f: Callable[P, R]) -> Callable[P, R]:
    """Run ``f`` as one task: it commits when ``f`` returns and rolls back when it raises.

    ``sys.exit()``, ``sys.exit(0)`` and ``ctx.exit(0)`` commit; every other exit rolls back. Called inside a task it
    joins it. It needs an application context.

    :raises TypeError: for a coroutine or a generator function, whose body runs after the call.
    """
    if inspect.iscoroutinefunction(f) or inspect.isgeneratorfunction(f) or inspect.isasyncgenfunction(f):
        raise TypeError(
            f"tasked() takes a plain function, and {f.__qualname__} only begins when it has returned. Put"
            " `with app.task():` into its body."
        )

    @functools.wraps(f)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return _run(current_app._get_current_object(), f, *args, **kwargs)  # type: ignore[attr-defined]

    return wrapper


def untasked(f: t.Any) -> t.Any:
    """Mark a command that runs for ever or owns its transactions: it is not wrapped into a task."""
    setattr(f.callback if isinstance(f, click.Command) else f, _UNTASKED, True)
    return f


def wrap(app: Flask) -> None:
    """Make every command of ``app`` a task.

    The commands are wrapped when they are looked up: wrapping them when they are added would miss those of
    ``Blueprint(cli_group=None)``.
    """
    get_command = app.cli.get_command

    def get_tasked_command(context: click.Context, name: str) -> click.Command | None:
        return _tasked_command(app, get_command(context, name))

    app.cli.get_command = get_tasked_command  # type: ignore[method-assign,assignment]


def _tasked_command(app: Flask, command: click.Command | None) -> click.Command | None:
    """Return a copy of ``command`` that is a task: the command itself may belong to another app as well."""
    if command is None:
        return None
    clone = copy.copy(command)
    if command.callback is not None and not getattr(command.callback, _UNTASKED, False):
        # The app is bound here: a test runner looks a command up before any context is pushed.
        clone.callback = functools.update_wrapper(functools.partial(_run, app, command.callback), command.callback)
    result_callback = getattr(command, "_result_callback", None)
    if result_callback is not None:
        clone._result_callback = functools.partial(_run, app, result_callback)  # type: ignore[attr-defined]
    # Not isinstance: in click 8.1 groups that load lazily are another class.
    get_command = getattr(command, "get_command", None)
    if get_command is not None:

        def get_tasked_command(context: click.Context, name: str) -> click.Command | None:
            return _tasked_command(app, get_command(context, name))

        clone.get_command = get_tasked_command  # type: ignore[attr-defined]
    return clone


def _run(app: Flask, f: Callable[..., R], *args: t.Any, **kwargs: t.Any) -> R:
    """Call ``f`` in the task that is open, or in one of its own."""
    if find_task() is not None:
        return f(*args, **kwargs)
    exit_: BaseException | None = None
    result: R | None = None
    with _explained(app), open_task(app, kind="command"):
        try:
            result = f(*args, **kwargs)
        except (SystemExit, click.exceptions.Exit) as raised:
            code = raised.code if isinstance(raised, SystemExit) else raised.exit_code
            if code not in (None, 0):
                raise
            exit_ = raised
    if exit_ is not None:
        raise exit_
    return t.cast("R", result)


@contextmanager
def _explained(app: Flask) -> Iterator[None]:
    """End a command on an outage with one sentence and exit 1 instead of a traceback."""
    try:
        yield
    except Exception as error:
        explain = app.extensions["myapp.tasks"].explain
        explanation = None if explain is None else explain(error)
        if explanation is None:
            raise
        raise click.ClickException(explanation.remedy) from error
