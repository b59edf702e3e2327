"""Guards around the functions that a plugin registers for the whole app.

The guarded function of each kind is written out for its arguments: one that takes any would cost twice as much. While
nobody else has touched the task, and the function has not failed, it is a call in a ``try`` block; ``Guard.run`` does
the rest.
"""

from __future__ import annotations

import typing as t
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext

from flask import Response, has_request_context, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BuildError

from ..tasks import current
from .breaker import Guard, Guards, logger

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import FunctionType

    from flask import Flask

F: t.TypeAlias = "Callable[..., t.Any]"


def _find_none() -> None:
    """Stand in for ``current.get`` around a function that has failed: ``Guard.run`` looks at everything."""


class ListedGuard(Guard, ABC):
    """A guard of a function that stands in one of Flask's lists."""

    @abstractmethod
    def wrap(self) -> F:
        """Return the function, guarded."""

    def informed(self, guarded: F) -> F:
        """Return ``guarded``, which finds no task from now on while its function is failing.

        The cell of its variable ``get_current`` is written to for that: a variable more would be read in every call.
        """
        function = t.cast("FunctionType", guarded)
        cell = (function.__closure__ or ())[function.__code__.co_freevars.index("get_current")]

        def note(is_failing: bool) -> None:
            cell.cell_contents = _find_none if is_failing else current.get

        self.tell_wrapper = note
        return guarded


class BeforeRequest(ListedGuard):
    """The request goes on to the next function."""

    kind = "before_request function"

    def check(self, result: t.Any, *args: t.Any) -> t.Any:
        """Make the response here: what cannot become one is this function's failure."""
        return None if result is None else self.guards.app.make_response(result)

    def wrap(self) -> F:
        """Return the function, guarded."""
        guard, f, get_current = self, self.target, current.get

        def guarded() -> t.Any:
            task = get_current()
            if task is None or task.is_touched:
                return guard.run()
            try:
                if (result := f()) is None and not task.is_touched:
                    return None
                return guard.finish(task, result)
            except BaseException as error:  # noqa: BLE001 - looked at there, and raised again.
                return guard.end_call(error)

        return self.informed(guarded)


class ContextProcessor(ListedGuard):
    """The template is rendered without its variables."""

    kind = "context processor"

    def fall_back(self, *args: t.Any) -> t.Any:
        """Return no variables."""
        return {}

    def check(self, result: t.Any, *args: t.Any) -> t.Any:
        """Refuse what is no mapping."""
        if not isinstance(result, Mapping):
            raise TypeError(f"It returned a {type(result).__name__} and not a dict.")
        return result

    def wrap(self) -> F:
        """Return the function, guarded."""
        guard, f, get_current = self, self.target, current.get

        def guarded() -> t.Any:
            task = get_current()
            if task is None or task.is_touched:
                return guard.run()
            try:
                if type(result := f()) is dict and not task.is_touched:
                    return result
                return guard.finish(task, result)
            except BaseException as error:  # noqa: BLE001 - looked at there, and raised again.
                return guard.end_call(error)

        return self.informed(guarded)


class AfterRequest(ListedGuard):
    """The response goes on as it came."""

    kind = "after_request function"

    def open_block(self, *args: t.Any) -> AbstractContextManager[None]:
        """Return no block for an error: all of its task is about to be rolled back, and nothing of it is to be sent."""
        task = current.get()
        is_lost = args[0].status_code >= 400 and task is not None and not task.is_kept
        return nullcontext() if is_lost else super().open_block(*args)

    def fall_back(self, *args: t.Any) -> t.Any:
        """Return the response."""
        return args[0]

    def refuse(self, error: Exception, *args: t.Any) -> t.Any:
        """Answer in place of the response: what is raised here, Flask makes a 500 of."""
        try:
            # A stream would keep its context pushed on this thread.
            args[0].close()
        except Exception:  # noqa: BLE001 - said, and what matters is the answer that takes its place.
            logger.exception("An answer that was thrown away could not be closed.")
        return self.guards.app.make_response(t.cast("t.Any", error))

    def check(self, result: t.Any, *args: t.Any) -> t.Any:
        """Refuse what is no response; most often somebody forgot to return it."""
        if not isinstance(result, Response):
            raise TypeError(f"It returned a {type(result).__name__} and not the response.")
        return result

    def wrap(self) -> F:
        """Return the function, guarded."""
        guard, f, get_current = self, self.target, current.get

        def guarded(response: Response) -> t.Any:
            task = get_current()
            if task is None or task.is_touched:
                return guard.run(response)
            try:
                if (result := f(response)) is response and not task.is_touched:
                    return response
                return guard.finish(task, result)
            except BaseException as error:  # noqa: BLE001 - looked at there, and raised again.
                return guard.end_call(error, response)

        return self.informed(guarded)


class Teardown(ListedGuard):
    """The others run; the answer has left, so that even ``abort()`` has no meaning."""

    kind = "teardown function"
    passing = ()

    def refuse(self, error: Exception, *args: t.Any) -> t.Any:
        """Leave it at the log: there is nobody to be answered."""
        return None

    def wrap(self) -> F:
        """Return the function, guarded."""
        guard, f, get_current = self, self.target, current.get

        def guarded(exc: BaseException | None) -> t.Any:
            task = get_current()
            if task is None or task.is_touched:
                return guard.run(exc)
            try:
                return f(exc)
            except BaseException as error:  # noqa: BLE001 - looked at there, and raised again.
                return guard.end_call(error, exc)

        return self.informed(guarded)


class UrlFunction(ListedGuard):
    """The values are what they were before."""

    kind = "url_value_preprocessor"

    def call(self, *args: t.Any) -> t.Any:
        """Call the function; the third argument is the copy of the values, for the case that it fails."""
        return self.target(args[0], args[1])

    def fall_back(self, *args: t.Any) -> t.Any:
        """Put the values back."""
        _, values, kept = args
        if values is not None and values != (kept or {}):
            values.clear()
            values.update(kept or {})

    def wrap(self) -> F:
        """Return the function, guarded."""
        guard, f, get_current = self, self.target, current.get

        def guarded(endpoint: str | None, values: dict[str, t.Any] | None) -> t.Any:
            kept = {**values} if values else None
            task = get_current()
            if task is None or task.is_touched:
                return guard.run(endpoint, values, kept)
            try:
                result = f(endpoint, values)
                return guard.finish(task, result) if task.is_touched else result
            except BaseException as error:  # noqa: BLE001 - looked at there, and raised again.
                return guard.end_call(error, endpoint, values, kept)

        return self.informed(guarded)


class UrlDefaults(UrlFunction):
    """As for a preprocessor."""

    kind = "url_defaults function"


class BuildErrorHandler(ListedGuard):
    """The next one is asked, and the BuildError stays one."""

    kind = "handler of build errors"
    passing = (HTTPException, BuildError)

    def wrap(self) -> F:
        """Return the function, guarded."""
        return lambda error, endpoint, values: self.run(error, endpoint, values)


class ErrorHandler(Guard):
    """The error is answered as if there were no such handler."""

    kind = "error handler"

    def __init__(self, guards: Guards, plugin: str, function: F, replaced: F | None) -> None:
        super().__init__(guards, plugin, function)
        #: Whose place it has taken.
        self.replaced = replaced
        self.guarded = self.wrap()

    def check(self, result: t.Any, *args: t.Any) -> t.Any:
        """Make the response here: what cannot become one is this function's failure."""
        return self.guards.app.make_response(result)

    def fall_back(self, *args: t.Any) -> t.Any:
        """Ask the handler that would have been asked without this one.

        :raises Exception: the error itself, when there is none: Flask makes a 500 of it.
        """
        app, error = self.guards.app, args[0]
        handler = self.replaced or next(_iter_later_handlers(app, error, self.guarded), None)
        if handler is not None:
            return app.ensure_sync(handler)(error)
        if isinstance(error, HTTPException):
            return app.make_response(t.cast("t.Any", error))
        raise error

    def refuse(self, error: Exception, *args: t.Any) -> t.Any:
        """Answer in place of the handler: what is raised here, Flask makes a 500 of."""
        return self.guards.app.make_response(t.cast("t.Any", error))

    def wrap(self) -> F:
        """Return the function, guarded."""

        def guarded(error: Exception) -> t.Any:
            return self.run(error)

        return guarded


def _iter_later_handlers(app: Flask, error: Exception, handler: F) -> Iterator[F]:
    """Yield the handlers that Flask would ask for ``error``, in its order, after ``handler``."""
    kind, code = app._get_exc_class_and_code(type(error))
    names = (*(request.blueprints if has_request_context() else ()), None)
    is_past = False
    for status in (code, None) if code is not None else (None,):
        for name in names:
            handlers = app.error_handler_spec.get(name, {}).get(status, {})
            for one in filter(None, map(handlers.get, t.cast("t.Any", kind.__mro__))):
                if is_past:
                    yield one
                is_past = is_past or one is handler
