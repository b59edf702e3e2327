"""Blueprint modules: found below the blueprint packages, imported once, registered flat.

See ``docs/blueprints.md`` for what a module may say.
"""

from __future__ import annotations

import logging
import typing as t
from types import MappingProxyType

from ..config import get_config
from . import ownership
from .causes import describe, format_traceback, is_shown
from .claims import claims_path, join
from .ownership import APPLICATION, CORE, Clash, Owner, Ownership, get_ownership, iter_rule_clashes, owner_of
from .registration import register_fallback, register_found
from .report import EXTENSION, ModuleReport, Problem, Recorder, get_recorder, get_report
from .walk import Found, find_folders, scan, walk

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

__all__ = [
    "APPLICATION",
    "CORE",
    "Clash",
    "ModuleReport",
    "Owner",
    "Ownership",
    "Problem",
    "claims_path",
    "describe",
    "find_folders",
    "format_traceback",
    "get_ownership",
    "get_report",
    "init_app",
    "is_shown",
    "iter_rule_clashes",
    "join",
    "owner_of",
    "register_fallbacks",
    "scan",
]

logger = logging.getLogger("myapp.discovery")


def init_app(app: Flask, quarantined: Mapping[str, Exception] = MappingProxyType({})) -> None:
    """Register the blueprint modules of the app's blueprint packages.

    Reads ``MYAPP_BLUEPRINT_PACKAGES`` (dotted names, looked at in this order) and ``MYAPP_BLUEPRINT_PREFIXES`` (the
    operator's path segment for a module or a package, by its name below the blueprint package).

    :param quarantined: the modules that failed in earlier builds of this app, by dotted name; they are reported and
        left alone, so that the body of a broken one runs once however often the app is built.
    :raises BlueprintError: when a module fails. The app may be half registered: throw it away and build another one
        with the module in ``quarantined``, or give up in strict mode.
    """
    recorder = app.extensions[EXTENSION] = Recorder()
    ownership.init_app(app, frozenset(get_config(app).sources))
    prefixes: dict[str, str] = app.config.get("MYAPP_BLUEPRINT_PREFIXES") or {}
    for root in app.config.get("MYAPP_BLUEPRINT_PACKAGES", ("myapp.blueprints",)):
        found: list[Found] = []
        for one in walk(app, root, prefixes, quarantined):
            if isinstance(one, Found):
                found.append(one)
            else:
                recorder.modules.append(one)
        register_found(app, recorder, found)


def register_fallbacks(app: Flask) -> None:
    """Register the modules that say ``fallback = True``, and log what is not served.

    Called after every blueprint and every plugin: of two equal rules the first that was registered wins, and a
    fallback is there for the rules that nobody has claimed.

    :raises BlueprintError: as :func:`init_app` does.
    """
    recorder = get_recorder(app)
    for one in recorder.fallbacks:
        register_fallback(app, one)
    # Here and not where it happens: an app may be built several times, and each problem is logged once.
    for report in get_report(app):
        if report.problem is not None:
            logger.error("The blueprint module %s is not served: %s", report.module, report.problem.summary)
