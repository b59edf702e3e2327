"""The hooks: functions of these names in a plugin's module, or methods of a plugin object.

``from myapp import hookimpl`` marks one; the name alone is enough as well.
"""

from __future__ import annotations

import typing as t

import pluggy

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import click
    from flask import Blueprint, Flask

    from .context import PluginContext

PROJECT = "myapp"
PREFIX = "myapp_"

hookspec = pluggy.HookspecMarker(PROJECT)
#: Marks a function of a plugin as an implementation of the hook of its name.
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def myapp_configure(app: Flask, plugin: PluginContext) -> None:
    """Attach Flask extensions, template filters and models to ``app``; import what maps them.

    Called first, for every plugin, and also on apps that are thrown away because another plugin fails: start nothing
    here. What belongs to the app is kept in ``app.extensions["<plugin>"]``.
    """


@hookspec
def myapp_blueprints(app: Flask, plugin: PluginContext) -> Blueprint | Iterable[Blueprint]:  # type: ignore[empty-body]
    """Return a blueprint or several; the core registers them under the plugin's mount and name.

    Their URLs begin with the mount and their own ``url_prefix``. One that is named like the plugin keeps its name, with
    endpoints such as ``shop.index``; others are put below it, ``shop.admin.index``. Their ``cli`` commands become
    ``flask <plugin> …``.
    """


@hookspec
def myapp_commands(app: Flask, plugin: PluginContext) -> click.Command | Iterable[click.Command]:  # type: ignore[empty-body]
    """Return click commands, which become ``flask <plugin> …``; one group named like the plugin is used as it is.

    Each call of a command is one task: it commits when it ends without an error.
    """


@hookspec
def myapp_migrations(plugin: PluginContext) -> Path | str:  # type: ignore[empty-body]
    """Return the folder of the Alembic versions, absolute or below the plugin's folder.

    ``flask db revision --of <plugin>`` writes into it. The names of the tables begin with that of the plugin.
    """


@hookspec
def myapp_slot(app: Flask, plugin: PluginContext, name: str, context: Mapping[str, t.Any]) -> str | None:
    """Return what stands in the slot ``name`` of a page: text, which is escaped, or ``Markup``; None for nothing.

    ``context`` is what the template was rendered with, read-only. It is called whenever a page is rendered, for every
    slot of it, below; when it fails, the slot stays empty and the page is what it was.
    """


@hookspec
def myapp_health(app: Flask, plugin: PluginContext) -> str | tuple[str, str] | None:
    """Say for ``/status`` how the plugin is: None or text when it is well, else ``("degraded" or "down", text)``.

    It has a second, a task that only reads, and a thread of its own.
    """


@hookspec
def myapp_ready(app: Flask, plugin: PluginContext) -> None:
    """Start threads, warm up: called once, on the app that is going to serve.

    It comes last, when every plugin has been accepted. A plugin that fails here is served all the same, as
    ``degraded``, because others may have started theirs.
    """
