"""The factory: the table of contents of the system."""

from __future__ import annotations

import typing as t

from flask import Flask
from werkzeug.wrappers import Response as BaseResponse

from . import access, cli, config, data, discovery, guards, ops, tasks, web, work
from . import plugins as plugin_part
from .errors import BlueprintError, PluginError
from .runtime import Runtime

if t.TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from flask import Response

    from .tasks import Task


class CustomFlask(Flask):
    """A Flask whose views may return objects with ``to_json`` or ``to_response`` (founding document 003, slide 25).

    It is a Flask in every other respect; tasks, problems and the strict JSON provider are attached by
    :func:`create_app`.
    """

    json_provider_class = web.ToJSONProvider
    url_rule_class = web.LazyRule

    #: ``with app.task():``, attached by :func:`create_app`.
    task: Callable[..., AbstractContextManager[Task]]

    def make_response(self, rv: t.Any) -> Response:
        """Turn what a view returned into a response, as Flask does, and unfold ``to_response`` and ``to_json``.

        :param rv: an object with ``to_response()`` (its result counts as what the view returned) or with ``to_json()``
            (plain data), also as the first element of ``(obj, status)``, ``(obj, headers)`` and
            ``(obj, status, headers)``; inside lists and as values of dicts the JSON provider calls ``to_json``.
        :raises TypeError: for None, for a class, and for a ``to_json`` that returns text.
        """
        # The shapes that have nothing to unfold go straight to Flask: this runs for every answer.
        if type(rv) is dict or isinstance(rv, str | BaseResponse):
            return super().make_response(rv)
        if type(rv) is tuple and len(rv) in (2, 3):
            return super().make_response((web.unfold(self, rv[0]), *rv[1:]))
        return super().make_response(web.unfold(self, rv))


def create_app(
    config: Mapping[str, t.Any] | str | os.PathLike[str] | object | None = None,
    *,
    strict: bool | None = None,
    plugins: Iterable[t.Any] | None = None,
) -> CustomFlask:
    """Build the application: every blueprint module and every plugin, ready to be served.

    :param config: the last layer of the configuration: a mapping, the path of a TOML file or an object with
        upper-case attributes; see ``docs/configuration.md``.
    :param strict: whether a blueprint or plugin that cannot be served stops the start (default: ``MYAPP_STRICT``,
        else only while testing); otherwise it is skipped, loudly.
    :param plugins: None to discover them, else exactly these: names, modules or objects with hooks.
    :raises ConfigurationError: when settings cannot be used, with all of them at once.
    :raises BlueprintError: in strict mode.
    :raises PluginError: in strict mode.
    """
    loaded = _load(config, strict=strict)
    ops.watch_folders(loaded)
    runtime = Runtime()
    wanted = None if plugins is None else tuple(plugins)
    with plugin_part.attempting(loaded.is_strict) as attempts:
        while True:
            try:
                app = _build(loaded, runtime, wanted, attempts)
                break
            except (BlueprintError, PluginError) as error:
                # Flask cannot unregister: an app with something half registered is thrown away and built without it.
                attempts.put_aside(error)
        plugin_part.start(app, attempts)
        work.start(app)
    return app


def _build(
    loaded: config.Loaded,
    runtime: Runtime,
    wanted: tuple[t.Any, ...] | None,
    attempts: plugin_part.Attempts,
) -> CustomFlask:
    app = CustomFlask("myapp", instance_path=str(loaded.instance_path))
    # Flask keeps one dict on the class, in which what one app says would hold for all.
    app.jinja_options = dict(app.jinja_options)
    app.extensions["myapp.runtime"] = runtime
    config.init_app(app, loaded)
    tasks.init_app(app)
    web.init_app(app)
    data.init_app(app)
    access.init_app(app)
    work.init_app(app)
    guards.init_app(app)
    discovery.init_app(app, attempts.modules)
    plugin_part.init_app(app, attempts, wanted)
    discovery.register_fallbacks(app)
    cli.init_app(app)
    # Last, so that the commit comes after everything that can fail; ops answers probes outside of it.
    tasks.seal(app)
    ops.init_app(app)
    return app


_load = config.load
