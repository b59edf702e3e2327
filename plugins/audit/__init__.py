"""Who changed what: one entry for every row that a task writes, in the same transaction.

A change without its entry is not committed: when the entries cannot be stored, the task rolls back.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

from myapp import PluginContext, hookimpl, session_opened

from .commands import list_entries
from .trail import Audit

if t.TYPE_CHECKING:
    import click
    from flask import Flask

__plugin__ = {
    "name": "audit",
    "version": "0.1.0",
    "api": 1,
    "summary": "Who changed what, in the same transaction",
    "critical": True,
    # A record of persons: somebody has to want it.
    "enabled": False,
    "config": {
        # The queues of the core are ledgers themselves, and every step of a worker is a write.
        "ignore": {
            "type": "list",
            "default": ["jobs", "mails", "mails_recipients"],
            "help": "Tables whose changes are not recorded",
        },
        "hide": {"type": "list", "default": [], "help": "Columns (name, or table.name) whose values are not recorded"},
    },
}


@hookimpl
def myapp_configure(app: Flask, plugin: PluginContext) -> None:
    """Watch every session of the app."""
    audit = Audit(frozenset(plugin.config["ignore"]), frozenset(plugin.config["hide"]))
    # The signal keeps its receivers weakly, the app keeps this one.
    app.extensions["audit"] = audit
    session_opened.connect(audit.watch, sender=app)


@hookimpl
def myapp_commands(app: Flask, plugin: PluginContext) -> list[click.Command]:
    """Add ``flask audit list``."""
    return [list_entries]


@hookimpl
def myapp_migrations(plugin: PluginContext) -> Path:
    """Bring the table."""
    return Path(__file__).with_name("migrations")
