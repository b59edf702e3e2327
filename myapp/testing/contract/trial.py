"""The plugin in the process of the probe: imported once, watched; apps that have it and apps that do not."""

from __future__ import annotations

import importlib
import time
import typing as t
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from flask import Flask

from ...core.app import CustomFlask, create_app
from ...core.discovery import describe
from ...core.errors import PluginError, is_own_failure
from ...core.plugins import get_report
from ...core.plugins.finder import install_finder
from ..fingerprint import fingerprint
from .subject import Subject, candidate_of, find_required
from .watch import Watch

if t.TYPE_CHECKING:
    from ...core.plugins import PluginReport

#: The problem of a plugin that has not been told what it needs.
NEEDS_SETTINGS = "settings-invalid"
#: The states of a plugin whose pages are there, whatever else may be wrong with it.
SERVED = ("active", "degraded")
#: Elsewhere than the manifest says.
OTHER_MOUNT = "/another-place"


class NotServedError(Exception):
    """The plugin is not active in an app that was built with it, as a sentence."""


@dataclass
class Imported:
    """What became of the import."""

    target: t.Any = None
    module: str = ""
    #: What it did besides, as :class:`~.watch.Watch` tells it.
    effects: list[tuple[str, str]] = field(default_factory=list)
    error: str = ""
    seconds: float = 0.0


class Trial:
    """One plugin and everything that the checks do with it.

    What an app looks like without the plugin is kept first, as long as nothing of the plugin has been imported.

    :param folder: where the apps have their instance folders.
    """

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject = subject
        self.candidate = candidate_of(subject)
        self.required: list[str] = find_required(self.candidate)
        self._folder = folder
        self._count = 0
        self.absent = self.create(plugins=self.required)
        self.absent_fingerprint = fingerprint(self.absent)

    @property
    def name(self) -> str:
        """The name of the plugin."""
        return self.candidate.name

    @property
    def root(self) -> str:
        """The folder of its files, or its only file; empty when that is not known before the import."""
        location = self.candidate.location
        if location is None:
            return ""
        return str(location.parent if location.name == "__init__.py" else location)

    def create(self, plugins: t.Any, **config: t.Any) -> CustomFlask:
        """Return a lenient app with an empty instance folder and database, errors answered and not raised."""
        self._count += 1
        instance = self._folder / f"instance{self._count}"
        settings = {
            "TESTING": True,
            "SECRET_KEY": "a key of the contract, and of nothing else",
            "PROPAGATE_EXCEPTIONS": False,
            "MYAPP_INSTANCE_PATH": str(instance),
            "MYAPP_DATABASE_URL": "",
            # What the operator of this machine has decided is not what is to be found out.
            "MYAPP_BLUEPRINT_PREFIXES": {},
            "MYAPP_PLUGIN_ORDER": (),
            "MYAPP_PLUGINS_DISABLED": (),
            "MYAPP_REQUIRED_PLUGINS": (),
            "MYAPP_SAFE_MODE": False,
        }
        return create_app({**settings, **config}, strict=False, plugins=plugins)

    def build(self, **config: t.Any) -> CustomFlask:
        """Return an app that serves the plugin, and those that it requires.

        :raises NotServedError: when it does not.
        """
        try:
            app = self.create([*self.required, self.subject.wanted], **config)
        except PluginError as error:
            # A critical one is never skipped.
            raise NotServedError(f"{error.format_message()} {_remedy(error.code)}".rstrip()) from error
        report = self.report(app)
        if report.state not in SERVED:
            raise NotServedError(why_not_served(report))
        return app

    @cached_property
    def first(self) -> tuple[CustomFlask, float]:
        """The first app with the plugin, and how many seconds it took longer than one without it."""
        imported = self.imported
        # The first of all apps has paid for what every app needs.
        _, without = timed(lambda: self.create(self.required))
        app, with_plugin = timed(self.build)
        return app, imported.seconds + max(0.0, with_plugin - without)

    def report(self, app: Flask) -> PluginReport:
        """Return what became of the plugin in ``app``."""
        return next(report for report in get_report(app) if report.name == self.name)

    @cached_property
    def imported(self) -> Imported:
        """The import, done now and watched, with everything there that an application has imported before."""
        found = Imported()
        watch = Watch(self.root)
        try:
            with watch.on():
                found.target, found.seconds = timed(lambda: self._import(found))
        except BaseException as error:
            # Whatever stops an import is what is to be said.
            if not is_own_failure(error):
                raise
            found.error = describe(error)
        found.effects = watch.effects
        return found

    def _import(self, found: Imported) -> t.Any:
        module, _, attributes = self.candidate.module.partition(":")
        found.module = module or install_finder().claim(self.name, t.cast("Path", self.candidate.location))
        target: t.Any = importlib.import_module(found.module)
        for attribute in filter(None, attributes.split(".")):
            target = getattr(target, attribute)
        return target


def why_not_served(report: PluginReport) -> str:
    """Return why the plugin of ``report`` is not active, and what to do."""
    if report.problem is None:
        return f"It is {report.state}: {report.reason}"
    problem = replace(report.problem, hint=_remedy(report.problem.code) or report.problem.hint)
    return f"It is not served ({report.state}): {problem}"


def _remedy(code: str) -> str:
    """Return what the author of a plugin does, where that is not what an operator would do."""
    return "Give the setting a default, or set it in the environment of pytest." if code == NEEDS_SETTINGS else ""


def timed(function: t.Callable[[], t.Any]) -> tuple[t.Any, float]:
    """Return what ``function`` returns, and the seconds that it worked or, when it mostly waits, took.

    The work is the time of the processor: what others do on a busy machine is not the plugin's doing.
    """
    started, worked = time.perf_counter(), time.process_time()
    result = function()
    took, work = time.perf_counter() - started, time.process_time() - worked
    return result, took if took - work > 1 else work
