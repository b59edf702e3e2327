"""What one ``create_app`` knows across the apps that it builds, until one of them stands.

Python keeps modules, mapped classes and receivers of signals for the whole process. What a plugin that is not served
has left of them is taken away, so that the app is the one that it would be if the plugin were disabled.
"""

from __future__ import annotations

import gc
import inspect
import logging
import sys
import threading
import typing as t
import weakref
from contextlib import contextmanager
from dataclasses import dataclass

import flask.signals
from blinker import Signal

from .. import data
from .. import signals as own_signals
from ..errors import BlueprintError, PluginError
from .finder import PACKAGE, install_finder

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# Modules and mapped classes belong to the process: of two threads that build an app, one must not take away what the
# other has just found.
_building = threading.RLock()

#: How many new objects make Python look for garbage while an app is built; by itself it looks after 700.
COLLECT_AFTER = 100_000

SIGNALS = tuple(
    value for module in (flask.signals, own_signals) for value in vars(module).values() if isinstance(value, Signal)
)


@dataclass(frozen=True)
class Failure:
    """Why a plugin failed in an earlier attempt, and how far it had come; without the exception and its frames."""

    code: str
    summary: str
    traceback: str
    steps: tuple[str, ...]


@dataclass(frozen=True)
class _Modules:
    """What lies below the packages and modules ``going``, and not below one of ``kept``, nor around it."""

    going: frozenset[str]
    kept: frozenset[str] = frozenset()

    def has(self, module: str) -> bool:
        # The prefixes first: most modules of a process are none of these.
        if not module.startswith(tuple(self.going)):
            return False
        nearest = max((unit for unit in self.going | self.kept if data.is_below(module, unit)), key=len, default="")
        return nearest in self.going and not any(data.is_below(unit, module) for unit in self.kept)


class Attempts:
    """The blueprint modules and plugins that failed so far, and what was imported for whom.

    :param is_strict: whether the first failure ends it.
    """

    def __init__(self, is_strict: bool) -> None:
        self._is_strict = is_strict
        self._modules_before = frozenset(sys.modules)
        self._packages_before = data.model_packages()
        self._receivers_at_start = self._receivers_before = _receivers()
        self._silent_before = _silent_loggers()
        # The package or module that each plugin has to itself, and the import roots that only plugins have imported.
        self._units: dict[str, str] = {}
        self._roots: set[str] = set()
        #: Blueprint modules that failed, by dotted name.
        self.modules: dict[str, BlueprintError] = {}
        #: Plugins that failed, by name.
        self.plugins: dict[str, Failure] = {}
        #: Of the app that is being built: how far each plugin has come, and who is registered.
        self.steps: dict[str, list[str]] = {}
        self.active: tuple[str, ...] = ()

    def put_aside(self, error: BlueprintError | PluginError) -> None:
        """Go on without the module or plugin that has failed; the app is to be built anew.

        :raises BlueprintError: in strict mode.
        :raises PluginError: in strict mode, and for one that turned out to be critical when it was imported.
        """
        if isinstance(error, BlueprintError):
            # It stays imported, and hears nothing: what it has connected is for an app that is thrown away.
            self._disconnect(error.module.__eq__, _receivers() - self._receivers_at_start)
            if self._is_strict or error.module in self.modules:
                raise error
            self.modules[error.module] = BlueprintError(error.module, error.summary)
        else:
            name = error.plugin
            # Of a critical one the next attempt knows that it failed, and refuses to go on without it.
            if self._is_strict or error.is_critical or name in self.plugins:
                raise error
            self.plugins[name] = Failure(error.code, error.summary, error.traceback, tuple(self.steps.get(name, ())))
            self.forget([name])
        everybody = _Modules(frozenset([*self._units.values(), *self._roots]))
        self._disconnect(everybody.has, _receivers() - self._receivers_before)

    def claim(self, name: str, module: str) -> None:
        """Note where the modules of the plugin ``name`` are, before the first of them is imported.

        It has its import root to itself, or, where other plugins live in that, the largest package without them; the
        rest of the root goes with the last of them. Of a package that somebody else has imported ``module`` is its own.
        """
        if name in self._units:
            return
        root, unit = data.import_root(module), data.owner_package(module)
        if root not in sys.modules:
            self._roots.add(root)
        self._units[name] = unit if root in self._roots or unit not in sys.modules else module

    def note_imports(self) -> None:
        """Leave what the imports have connected to signals: modules stay, and are not executed again."""
        self._receivers_before |= _receivers()

    def forget_modules(self, name: str) -> None:
        """Take the modules of a plugin out of ``sys.modules``, as far as they were not there before.

        Python itself takes out the one whose body raised, and leaves what it had imported, half done or not.
        """
        self._drop_modules(self._modules_of([name]))

    def forget(self, names: Iterable[str]) -> None:
        """Take away what the plugins ``names`` have left in this process: modules, mapped classes, receivers.

        What was there before this ``create_app`` stays: another app may use it. So does what another plugin uses that
        lives in the same package.
        """
        modules = self._modules_of([*names, *self.plugins])
        data.drop_models(frozenset(filter(modules.has, data.model_packages() - self._packages_before)))
        self._disconnect(modules.has, _receivers())
        self._drop_modules(modules)
        # Of everybody: dictConfig() switches off all loggers that are there, also those that say who is not served.
        for logger in _silent_loggers() - self._silent_before:
            logger.disabled = False

    def end(self) -> None:
        """Take away what everybody has left who is not registered on the app that stands."""
        self.forget([name for name in self._units if name not in self.active])

    def abandon(self) -> None:
        """Take away what everybody has left: there is no app."""
        self.forget(list(self._units))

    def _modules_of(self, names: Iterable[str]) -> _Modules:
        """Return the modules of the plugins ``names``, and what they share with nobody who stays."""
        gone = set(names)
        kept = {unit for name, unit in self._units.items() if name not in gone}
        left = {root for root in self._roots if not any(data.is_below(unit, root) for unit in kept)}
        going = {unit for name, unit in self._units.items() if name in gone} | left
        return _Modules(frozenset(going - kept - self._modules_before), frozenset(kept))

    def _drop_modules(self, modules: _Modules) -> None:
        # Other threads may be importing.
        for module in filter(modules.has, list(sys.modules)):
            if module in self._modules_before:
                continue
            parent, _, last = module.rpartition(".")
            found = sys.modules.pop(module)
            if vars(sys.modules.get(parent, found)).get(last) is found:
                delattr(sys.modules[parent], last)
        for unit in modules.going:
            if unit.startswith(f"{PACKAGE}."):
                install_finder().release(unit)

    def _disconnect(self, is_theirs: Callable[[str], bool], receivers: Iterable[tuple[Signal, t.Hashable]]) -> None:
        """Disconnect those of ``receivers`` that are functions of a module that ``is_theirs``."""
        for signal, key in receivers:
            receiver: t.Any = signal.receivers.get(key)
            receiver = receiver() if isinstance(receiver, weakref.ref) else receiver
            module = str(getattr(inspect.unwrap(receiver) if callable(receiver) else None, "__module__", ""))
            if is_theirs(module):
                signal.disconnect(receiver)


@contextmanager
def attempting(is_strict: bool) -> Iterator[Attempts]:
    """Build apps until one stands and is started, alone in this process; tidy up when none is.

    :param is_strict: whether the first blueprint module or plugin that fails is an error.
    """
    with _building, _collecting_seldom():
        attempts = Attempts(is_strict)
        try:
            yield attempts
        except BaseException:
            attempts.abandon()
            raise


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Look for garbage seldom: what an app is built of stays, and looking at it again and again takes time."""
    before = gc.get_threshold()
    # Zero is never, and whoever wants it never does so here as well.
    ours = (max(before[0], COLLECT_AFTER) if before[0] else 0, *before[1:])
    gc.set_threshold(*ours)
    try:
        yield
    finally:
        # A module that was imported meanwhile may have set its own.
        if gc.get_threshold() == ours:
            gc.set_threshold(*before)


def _silent_loggers() -> frozenset[logging.Logger]:
    """Return the loggers of the core that are switched off."""
    known = dict(logging.root.manager.loggerDict)
    ours = (logger for name, logger in known.items() if name.partition(".")[0] == data.CORE)
    return frozenset(logger for logger in ours if isinstance(logger, logging.Logger) and logger.disabled)


def _receivers() -> frozenset[tuple[Signal, t.Hashable]]:
    return frozenset((signal, key) for signal in SIGNALS for key in list(signal.receivers))
