"""The loops over hooks, skipped for a request that has none."""

from __future__ import annotations

import typing as t

from flask import request_tearing_down

if t.TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Do nothing quickly where Flask does nothing slowly: each loop touches the request through a proxy first."""
    preprocess_request, do_teardown_request = app.preprocess_request, app.do_teardown_request

    def preprocess_if_any(*args: t.Any) -> t.Any:
        if not app.before_request_funcs and not app.url_value_preprocessors:
            return None
        return preprocess_request(*args)

    def tear_down_if_any(*args: t.Any, **kwargs: t.Any) -> None:
        if app.teardown_request_funcs or request_tearing_down.receivers:
            do_teardown_request(*args, **kwargs)

    app.preprocess_request = preprocess_if_any  # type: ignore[method-assign]
    app.do_teardown_request = tear_down_if_any  # type: ignore[method-assign]
