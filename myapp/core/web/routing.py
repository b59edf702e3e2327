"""The URL adapter of a request, made with one look at the Host header instead of three."""

from __future__ import annotations

import typing as t
from functools import lru_cache

from werkzeug.routing import Map, MapAdapter, Rule
from werkzeug.wsgi import get_host

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask, Request


class LazyRule(Rule):
    """A rule whose two builders of URLs are compiled when they are first called, and not when it is added.

    Compiling them takes four fifths of the time of adding a rule, and most rules of a process never build a URL.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compile_builder = super()._compile_builder
        name = "_build_unknown" if append_unknown else "_build"

        def build(rule: LazyRule, **values: t.Any) -> tuple[str, str]:
            # Two threads that are the first compile it twice, to the same.
            compiled = compile_builder(append_unknown).__get__(rule, None)
            setattr(rule, name, compiled)
            return t.cast("tuple[str, str]", compiled(**values))

        return build


def init_app(app: Flask) -> None:
    """Replace ``app.create_url_adapter`` by one that gives the same adapter for the common request.

    Host matching, subdomain matching, ``SERVER_NAME``, upgrades and URLs outside of ASCII take Flask's own way.
    Reads ``TRUSTED_HOSTS`` and ``SERVER_NAME``.
    """
    inner = app.create_url_adapter

    def create_url_adapter(request: Request | None) -> MapAdapter | None:
        if request is None:
            return inner(None)
        environ = request.environ
        path = environ.get("PATH_INFO") or ""
        root = environ.get("SCRIPT_NAME") or ""
        query = environ.get("QUERY_STRING") or ""
        config = app.config
        if (
            config["SERVER_NAME"] is not None
            or app.url_map.host_matching
            or app.subdomain_matching
            or "HTTP_UPGRADE" in environ
            or not (path.isascii() and root.isascii() and query.isascii())
        ):
            return inner(request)
        if config["TRUSTED_HOSTS"] is not None:
            request.trusted_hosts = config["TRUSTED_HOSTS"]
        # As Flask does: a Host that is not trusted is refused here.
        request.host = get_host(environ, request.trusted_hosts)
        return MapAdapter(
            app.url_map,
            _server_name(request.host),
            root,
            app.url_map.default_subdomain or "",
            environ["wsgi.url_scheme"],
            path,
            environ["REQUEST_METHOD"],
            query,
        )

    app.create_url_adapter = create_url_adapter  # type: ignore[method-assign]


@lru_cache(maxsize=64)
def _server_name(host: str) -> str:
    """Return the Host header as a map is bound to it; bounded, because clients choose it.

    :raises BadHost: when it is no name of a host.
    """
    return _EMPTY_MAP.bind(host).server_name


_EMPTY_MAP = Map()
