"""Whose step of the build has added which function to the app, so that it can be guarded."""

from __future__ import annotations

import operator
import typing as t
from contextlib import contextmanager

from .breaker import get_guards
from .files import own_files
from .guards import (
    AfterRequest,
    BeforeRequest,
    BuildErrorHandler,
    ContextProcessor,
    ErrorHandler,
    Teardown,
    UrlDefaults,
    UrlFunction,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flask import Flask

    from .breaker import Guards
    from .guards import ListedGuard

    F: t.TypeAlias = Callable[..., t.Any]

#: How the functions of each list of the app are guarded.
KINDS: tuple[type[ListedGuard], ...] = (
    UrlFunction,
    UrlDefaults,
    BeforeRequest,
    AfterRequest,
    Teardown,
    Teardown,
    ContextProcessor,
    ContextProcessor,
    BuildErrorHandler,
)


@contextmanager
def guarding(app: Flask, plugin: str) -> Iterator[None]:
    """Put a guard around each function that the block registers for the whole app, also when it raises later.

    The files of the blueprints that it registers are kept to the plugin's namespace.

    What a plugin registers on its own blueprint is called for that blueprint only, and is its own business.
    """
    guards = get_guards(app)
    before = tuple(map(tuple, _lists(app)))
    handlers = {status: dict(known) for status, known in _handlers(app).items()}
    blueprints = len(app.blueprints)
    try:
        yield
        if len(app.blueprints) > blueprints:
            own_files(app, plugin, list(app.blueprints)[blueprints:])
    finally:
        for kind, functions, known in zip(KINDS, _lists(app), before, strict=True):
            if len(functions) != len(known) or any(map(operator.is_not, functions, known)):
                _guard_new(app, guards, plugin, kind, t.cast("list[F]", functions), known)
        for status, found in _handlers(app).items():
            for error, function in list(found.items()) if found != handlers.get(status) else ():
                replaced = handlers.get(status, {}).get(error)
                if function is not replaced:
                    handler = ErrorHandler(guards, plugin, function, replaced)
                    guards.guards.append(handler)
                    found[error] = handler.guarded


def _guard_new(
    app: Flask, guards: Guards, plugin: str, kind: type[ListedGuard], functions: list[F], known: tuple[F, ...]
) -> None:
    old = {id(function) for function in known}
    for index, function in enumerate(functions):
        if id(function) not in old:
            guard = kind(guards, plugin, function)
            guards.guards.append(guard)
            functions[index] = _named_like(function, guard.wrap())
    if kind is AfterRequest:
        app.extensions["myapp.tasks"].sends_early = True


def _named_like(function: F, guarded: F) -> F:
    # Not functools.wraps: a function with attributes is looked at closely for each call, whether it is async.
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(guarded, name, getattr(function, name, getattr(type(function), name)))
    return guarded


def _lists(app: Flask) -> tuple[Sequence[F], ...]:
    """Return the functions of the whole app, as :data:`KINDS` has them; nothing is made where there are none."""
    # Flask's loops ask whether a key is there, and so do ours (web/hooks.py): get() makes none.
    return (
        app.url_value_preprocessors.get(None, ()),
        app.url_default_functions.get(None, ()),
        app.before_request_funcs.get(None, ()),
        app.after_request_funcs.get(None, ()),
        app.teardown_request_funcs.get(None, ()),
        app.teardown_appcontext_funcs,
        app.template_context_processors.get(None, ()),
        app.shell_context_processors,
        app.url_build_error_handlers,
    )


def _handlers(app: Flask) -> dict[int | None, dict[type[Exception], F]]:
    return app.error_handler_spec.get(None, {})
