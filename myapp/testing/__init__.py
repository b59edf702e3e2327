"""The test kit: a pytest plugin for those who write plugins, and for teams who test their application.

Installing myapp makes the fixtures available, without an import: ``make_app``, ``app``, ``client``, ``cli_runner``,
``as_user``, ``plugin_folder``, ``fake_dist``, ``evil_plugins``, ``jobs``, ``mailbox``, ``live_server``.
``pytest --myapp-contract shop`` checks a plugin. ``docs/testing.md`` describes all of it.

pytest imports this package at every start, in every project of the environment where myapp is installed. So it imports
pytest and the standard library only; what a fixture needs is imported when a test asks for it.
"""

from __future__ import annotations

import typing as t
from importlib import import_module

from .hooks import (
    pytest_addoption,
    pytest_collect_directory,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_report_header,
)

if t.TYPE_CHECKING:
    from .apps import CliRunner as CliRunner
    from .effects import capture_effects as capture_effects
    from .jobs import Jobs as Jobs
    from .mailbox import Mailbox as Mailbox
    from .people import bearer as bearer
    from .zoo import EVIL_PLUGINS as EVIL_PLUGINS
    from .zoo import write_zoo as write_zoo

__all__ = [
    "EVIL_PLUGINS",
    "CliRunner",
    "Jobs",
    "Mailbox",
    "bearer",
    "capture_effects",
    "pytest_addoption",
    "pytest_collect_directory",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_report_header",
    "write_zoo",
]

#: Which module gives which name that is no fixture. Resolved at first use (PEP 562).
_MODULES = {
    "CliRunner": "apps",
    "EVIL_PLUGINS": "zoo",
    "Jobs": "jobs",
    "Mailbox": "mailbox",
    "bearer": "people",
    "capture_effects": "effects",
    "write_zoo": "zoo",
}


def __getattr__(name: str) -> t.Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. docs/testing.md lists what it has.")
    value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    return value
