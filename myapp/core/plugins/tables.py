"""What becomes of a plugin whose tables are not those of its code: it is refused, and everybody else is served."""

from __future__ import annotations

import functools
import typing as t

import click

from .. import data
from ..config import get_config
from ..discovery import get_ownership
from ..errors import ApiException, SchemaError
from ..work import find_attempt, find_function

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from flask import Flask

    from .report import PluginState
    from .scan import Candidate


def attach_tables(app: Flask, state: PluginState, order: Sequence[Candidate]) -> None:
    """Refuse the views, commands and jobs of a plugin as long as its tables are not those of its code.

    So are those of the plugins that require it. Nobody else is refused, unless one of these is critical: then nothing
    is served without its tables, as without those of the core.

    :param order: what was built, each after what it requires.
    """
    for candidate in order:
        required = [state.needs.get(name, ()) for name in sorted(candidate.manifest.get("requires", {}))]
        state.needs[candidate.name] = (*dict.fromkeys(name for names in required for name in names), candidate.name)
    schema = data.get_schema(app)
    schema.is_optional = functools.partial(_is_optional, app, state)
    schema.refuse = lambda: _refuse_task(app, state)
    state.find_tables_failure = functools.partial(_find_known, app, state)
    ownership = get_ownership(app)
    refusals = {
        name: _make_refusal(app, needs)
        for name, needs in state.needs.items()
        if not schema.owners.keys().isdisjoint(needs)
    }
    for path in app.blueprints:
        owner = ownership.blueprints.get(path)
        if owner is not None and owner.kind == "plugin" and owner.name in refusals:
            # First: the others of the blueprint may ask for the tables.
            app.before_request_funcs.setdefault(path, []).insert(0, refusals[owner.name])


def _is_optional(app: Flask, state: PluginState, owner: str) -> bool:
    if get_config(app).is_strict:
        return False
    critical = [report.name for report in state.reports if report.is_critical]
    return owner in state.needs and not any(owner in state.needs.get(name, ()) for name in critical)


def _find_known(app: Flask, state: PluginState, name: str) -> str:
    # Not `in` and then [name]: another thread may find that they have been upgraded.
    return next(filter(None, map(data.find_failures(app).get, state.needs.get(name, ()))), "")


def _find_failure(app: Flask, needs: Iterable[str]) -> str:
    failed = [name for name in needs if name in data.ensure_schema(app)]
    return next(filter(None, (data.find_failure(app, name) for name in failed)), "")


def _make_refusal(app: Flask, needs: tuple[str, ...]) -> Callable[[], None]:
    def refuse() -> None:
        why = _find_failure(app, needs)
        if why:
            # It has been logged. Who debugs need not look there.
            reason = {"reason": why} if app.debug else {}
            message = "This part of the site is being upgraded. Try again later."
            raise ApiException(message, 503, headers={"Retry-After": "30"}, **reason)

    return refuse


def _refuse_task(app: Flask, state: PluginState) -> None:
    """Refuse the database to a command or a job of a plugin whose tables are not those of its code.

    :raises SchemaError: then.
    """
    why = _find_failure(app, state.needs.get(_find_plugin(state), ()))
    if why:
        raise SchemaError(why)


def _find_plugin(state: PluginState) -> str:
    """Return the plugin whose job or command is running; nothing in a request, whose view was asked before."""
    attempt = find_attempt()
    if attempt is not None:
        package = data.owner_package(find_function(attempt.claim.func).function.__module__)
        return next((plugin.name for plugin, _ in state.active if data.owner_package(plugin.module) == package), "")
    context = click.get_current_context(silent=True)
    # `flask <plugin> <command>`: the one below the top.
    while context is not None and context.parent is not None and context.parent.parent is not None:
        context = context.parent
    return context.info_name or "" if context is not None else ""
