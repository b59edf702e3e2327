"""The loops over hooks, skipped for a request that has none."""

from __future__ import annotations

import typing as t
from functools import lru_cache
from inspect import CO_COROUTINE
from types import FunctionType

from flask import appcontext_tearing_down, request, request_tearing_down

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask


def init_app(app: Flask) -> None:
    """Do nothing quickly where Flask does nothing slowly: each loop touches the request through a proxy first."""
    preprocess_request, do_teardown_request = app.preprocess_request, app.do_teardown_request
    do_teardown_appcontext, ensure_sync = app.do_teardown_appcontext, app.ensure_sync

    def preprocess_if_any(*args: t.Any) -> t.Any:
        functions, preprocessors = app.before_request_funcs, app.url_value_preprocessors
        if not functions and not preprocessors:
            return None
        # Those of blueprints that this request does not concern cost nothing either.
        if None in functions or None in preprocessors:
            return preprocess_request(*args)
        # The request itself: one look through its proxy takes five times as long as this call.
        rule = request._get_current_object().url_rule  # type: ignore[attr-defined]
        for name in () if rule is None else _blueprints_of(rule.endpoint):
            if name in functions or name in preprocessors:
                return preprocess_request(*args)
        return None

    def tear_down_if_any(*args: t.Any, **kwargs: t.Any) -> None:
        if app.teardown_request_funcs or request_tearing_down.receivers:
            do_teardown_request(*args, **kwargs)

    def tear_down_app_if_any(*args: t.Any, **kwargs: t.Any) -> None:
        if app.teardown_appcontext_funcs or appcontext_tearing_down.receivers:
            do_teardown_appcontext(*args, **kwargs)

    def ensure_sync_at_a_glance(func: Callable[..., t.Any]) -> Callable[..., t.Any]:
        # A function without attributes is what its code says; whatever is marked or wrapped is looked at closely.
        if type(func) is FunctionType and not func.__dict__ and not func.__code__.co_flags & CO_COROUTINE:
            return func
        return ensure_sync(func)

    app.do_teardown_appcontext = tear_down_app_if_any  # type: ignore[method-assign]
    app.ensure_sync = ensure_sync_at_a_glance  # type: ignore[method-assign]
    app.preprocess_request = preprocess_if_any  # type: ignore[method-assign]
    app.do_teardown_request = tear_down_if_any  # type: ignore[method-assign]


@lru_cache(maxsize=1024)
def _blueprints_of(endpoint: str) -> tuple[str, ...]:
    """Return what ``request.blueprints`` gives, without asking the request three times: the innermost comes first."""
    parts = endpoint.split(".")[:-1]
    return tuple(".".join(parts[:count]) for count in range(len(parts), 0, -1))
