"""Errors in the log, posted to Slack: from a thread behind a bounded queue, so that nobody waits for Slack."""

from __future__ import annotations

import functools
import logging
import typing as t

from myapp import PluginContext, hookimpl

from .commands import make_test
from .handler import SlackHandler
from .webhook import check_url, post

if t.TYPE_CHECKING:
    import click
    from flask import Flask

__plugin__ = {
    "name": "slack_alerts",
    "version": "0.1.0",
    "api": 1,
    "summary": "Errors in the log, posted to Slack",
    "config": {
        "webhook_url": {"type": "str", "secret": True, "help": "The URL of the incoming webhook; without it, nothing"},
        "name": {"type": "str", "default": "", "help": "What the messages call this application; MYAPP_PUBLIC_URL"},
        "level": {
            "type": "str",
            "default": "ERROR",
            "choices": ["WARNING", "ERROR", "CRITICAL"],
            "help": "The lowest level",
        },
        "interval_seconds": {"type": "float", "default": 60.0, "min": 0, "help": "How long equal records are counted"},
        "queue_size": {"type": "int", "default": 100, "min": 1, "help": "How many messages may wait"},
        "timeout_seconds": {"type": "float", "default": 5.0, "min": 0.1, "help": "How long Slack may take to answer"},
        "flush_seconds": {"type": "float", "default": 3.0, "min": 0, "help": "How long the end of the process waits"},
    },
}
URL = "MYAPP_PLUGIN_SLACK_ALERTS__WEBHOOK_URL"


def enabled(app: Flask) -> bool | str:
    """Want to be loaded when there is a webhook to post to."""
    return True if app.config.get(URL) else f"{URL} is not set."


@hookimpl
def myapp_configure(app: Flask, plugin: PluginContext) -> None:
    """Refuse a webhook that is none."""
    check_url(plugin.config["webhook_url"])


@hookimpl
def myapp_commands(app: Flask, plugin: PluginContext) -> list[click.Command]:
    """Add ``flask slack_alerts test``."""
    return [make_test(_sender(plugin), _name(app, plugin))]


@hookimpl
def myapp_ready(app: Flask, plugin: PluginContext) -> None:
    """Listen to what is logged from now on."""
    # Flask gives its logger a handler when it is first asked for, unless somebody listens already.
    app.logger  # noqa: B018
    handler = SlackHandler(
        app,
        _sender(plugin),
        name=_name(app, plugin),
        level=logging.getLevelNamesMapping()[plugin.config["level"]],
        queue_size=plugin.config["queue_size"],
        interval_seconds=plugin.config["interval_seconds"],
        flush_seconds=plugin.config["flush_seconds"],
    )
    handler.attach()


def _sender(plugin: PluginContext) -> t.Any:
    url, timeout_seconds = plugin.config["webhook_url"], plugin.config["timeout_seconds"]
    return functools.partial(post, url, timeout_seconds=timeout_seconds)


def _name(app: Flask, plugin: PluginContext) -> str:
    return plugin.config["name"] or app.config["MYAPP_PUBLIC_URL"]
