"""The energy monitor (founding document 000): buildings, their meters, their readings, and reports by month.

The reference plugin: it shows what a plugin brings (tables, commands, an API, a page) and how little it takes.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

from flask import url_for
from markupsafe import Markup

from myapp import PluginContext, hookimpl

from .api.v1 import api_v1
from .commands import check, import_readings, write_sample
from .health import look
from .views import blueprint

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    import click
    from flask import Blueprint, Flask

__plugin__ = {
    "name": "realmon",
    "version": "0.1.0",
    "api": 1,
    "summary": "Energy of buildings, by month, from the readings of their meters",
    "mount": "/realmon",
}

blueprint.register_blueprint(api_v1, url_prefix="/api/v1")


@hookimpl
def myapp_blueprints(app: Flask, plugin: PluginContext) -> Blueprint:
    """Serve the page, with the API below it."""
    return blueprint


@hookimpl
def myapp_commands(app: Flask, plugin: PluginContext) -> list[click.Command]:
    """Add ``flask realmon import``, ``flask realmon check`` and ``flask realmon sample``."""
    return [import_readings, check, write_sample]


@hookimpl
def myapp_slot(name: str, context: Mapping[str, t.Any]) -> Markup | None:
    """Put the page into the navigation."""
    if name != "nav":
        return None
    current = Markup(' aria-current="page"') if context["request"].endpoint == "realmon.index" else ""
    return Markup('<a href="{}"{}>Energy</a>').format(url_for("realmon.index"), current)


@hookimpl
def myapp_health() -> str | tuple[str, str]:
    """Say how far the readings go, and whether the zones are known here."""
    return look()


@hookimpl
def myapp_migrations(plugin: PluginContext) -> Path:
    """Bring the tables."""
    return Path(__file__).with_name("migrations")
