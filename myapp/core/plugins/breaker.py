"""What happens when a function of a plugin fails that runs for everybody: undone, logged, counted, skipped for a while.

:class:`Guard` is the part that all kinds of functions share; ``guards.py`` has the kinds.
"""

from __future__ import annotations

import logging
import threading
import time
import typing as t
from dataclasses import dataclass, field
from inspect import iscoroutinefunction, unwrap

from werkzeug.exceptions import HTTPException

from ..discovery import describe, format_traceback, is_shown
from ..errors import PluginUnavailableError, is_own_failure, well_formed
from ..signals import plugin_degraded
from ..tasks import current, open_guard

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from flask import Flask

    from ..tasks import Task

logger = logging.getLogger("myapp.plugins")

#: So many failures in a row, and the function is skipped for so long; then it is tried once.
FAILURES = 5
PAUSE_SECONDS = 60.0


EXTENSION = "myapp.guards"


@dataclass
class Guards:
    """The guards of one app."""

    app: Flask
    #: Whether a plugin is never skipped, because what it guards must not be left open.
    is_critical: Callable[[str], bool] = lambda _: False
    #: Takes what is secret in the settings of a plugin out of a text.
    redact: Callable[[str, str], str] = lambda _, text: text
    #: Seconds that only grow; a test puts its own here.
    clock: Callable[[], float] = time.monotonic
    guards: list[Guard] = field(default_factory=list)

    def find_failing(self, plugin: str) -> Guard | None:
        """Return the first function of ``plugin`` whose last call failed."""
        return next((guard for guard in self.guards if guard.plugin == plugin and guard.failures), None)

    def count_failures(self, plugin: str) -> int:
        """Return how often functions of ``plugin`` have failed since the start."""
        return sum(guard.total for guard in self.guards if guard.plugin == plugin)


def get_guards(app: Flask) -> Guards:
    """Return the guards of ``app``, made at first use."""
    return t.cast("Guards", app.extensions.setdefault(EXTENSION, Guards(app)))


@dataclass
class Told:
    """When a failure was last told. Guards of one function have one of these: it is told once, not once for each."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    at: float | None = None


class Guard:
    """One function of a plugin that runs for everybody, and how its failure is kept from them.

    :param plugin: the name of the plugin.
    :param function: the function.
    """

    #: What the function is, for people.
    kind = "function"
    #: Control flow, not failures: ``abort(403)`` in a ``before_request`` function is an answer.
    passing: tuple[type[BaseException], ...] = (HTTPException,)

    def __init__(self, guards: Guards, plugin: str, function: Callable[..., t.Any]) -> None:
        self.guards = guards
        self.plugin = plugin
        self.function = function
        #: What is called: the guarded function is not async. Not through the app for a plain function, which would be
        #: looked at for every call.
        self.target = guards.app.ensure_sync(function) if iscoroutinefunction(function) else function
        #: In a row, and in all.
        self.failures = 0
        self.total = 0
        self.summary = ""
        #: Told whether the last call failed: a variable of the guarded function is read faster than an attribute.
        self.tell_wrapper: Callable[[bool], None] = _tell_nobody
        self._retry_at = 0.0
        self._is_logged = False
        self.told = Told()

    @property
    def is_critical(self) -> bool:
        """Whether it is never skipped, and its failure is an answer."""
        return self.guards.is_critical(self.plugin)

    @property
    def name(self) -> str:
        """The function's qualified name and place."""
        function = unwrap(self.function)
        name = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', type(function).__name__)}"
        code = getattr(function, "__code__", None)
        return well_formed(name if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})")

    def redact(self, text: str) -> str:
        """Return ``text`` without what is secret in the settings of the plugin."""
        return self.guards.redact(self.plugin, text)

    # What each kind says for itself.

    @property
    def consequence(self) -> str:
        """What a failure means for everybody else, for the log."""
        if self.is_critical:
            return "the plugin is critical: the request is answered with 503"
        return (
            f"the request goes on without it; after {FAILURES} failures in a row it is skipped for"
            f" {PAUSE_SECONDS:.0f} s"
        )

    def call(self, *args: t.Any) -> t.Any:
        """Call the function."""
        return self.target(*args)

    def open_block(self, *args: t.Any) -> AbstractContextManager[None]:
        """Return the block that the function runs in, which undoes what it did to the task when it fails."""
        return open_guard(current.get(), self.passing)

    def fall_back(self, *args: t.Any) -> t.Any:
        """Return what stands for the result of a function that failed or is skipped."""
        return None

    def refuse(self, error: Exception, *args: t.Any) -> t.Any:
        """Answer for a critical function that failed.

        :raises PluginUnavailableError: unless the kind can return an answer, or comes after it.
        """
        raise error

    def check(self, result: t.Any, *args: t.Any) -> t.Any:
        """Return ``result`` if the function may return it.

        :raises TypeError: otherwise.
        """
        return result

    # What the guarded functions call.

    def run(self, *args: t.Any) -> t.Any:
        """Call the function with everything looked at: in a task that others have touched, or after a failure."""
        if not self._is_admitted():
            return self.fall_back(*args)
        block = self.open_block(*args)
        try:
            with block:
                result = self.check(self.call(*args), *args)
        except self.passing:
            self._note_success()
            raise
        except BaseException as error:
            if not is_own_failure(error):
                raise
            # Its failure is the plugin's, not the request's.
            return self._fail(error, *args)
        self._note_success()
        return result

    def finish(self, task: Task, result: t.Any) -> t.Any:
        """Return the result of a call that was alone with ``task``; what it has left pending is sent."""
        task.send_and_check()
        return self.check(result)

    def end_call(self, error: BaseException, *args: t.Any) -> t.Any:
        """End a call that raised in a task that nobody else had touched; called while ``error`` is handled."""
        if isinstance(error, self.passing) or not is_own_failure(error):
            raise error
        task = current.get()
        if task is not None:
            task.start_over()
        return self._fail(error, *args)

    # Private.

    def _is_admitted(self) -> bool:
        """Whether it is called: not while it is skipped; at the end of the pause by the first who asks, once."""
        if self.failures < FAILURES or self.is_critical:
            return True
        with self.told.lock:
            now = self.guards.clock()
            if now < self._retry_at:
                return False
            self._retry_at = now + PAUSE_SECONDS
            return True

    def _fail(self, error: BaseException, *args: t.Any) -> t.Any:
        is_new = self._note_failure(error)
        if is_new:
            self._tell(error)
        if self.is_critical:
            return self.refuse(PluginUnavailableError(self.plugin), *args)
        return self.fall_back(*args)

    def _note_failure(self, error: BaseException) -> bool:
        """Count a failure; return whether it is to be told: the first in a row, and not more than once in a pause."""
        summary = f"its {self.kind} {self.name} failed: {self.redact(describe(error))}"
        with self.told.lock:
            now = self.guards.clock()
            self.failures += 1
            self.tell_wrapper(True)
            self.total += 1
            self.summary = summary
            self._retry_at = now + PAUSE_SECONDS
            is_new = not self._is_logged and (self.told.at is None or now >= self.told.at + PAUSE_SECONDS)
            if is_new:
                self._is_logged, self.told.at = True, now
            return is_new

    def _note_success(self) -> None:
        if not self.failures:
            return
        with self.told.lock:
            failures, self.failures = self.failures, 0
            self.tell_wrapper(False)
            was_logged, self._is_logged = self._is_logged, False
        if was_logged:
            logger.info(
                "The %s %s of the plugin %s works again (%d failures).", self.kind, self.name, self.plugin, failures
            )

    def _tell(self, error: BaseException) -> None:
        text = format_traceback(error)
        redacted = well_formed(self.redact(text))
        # With the exception itself, as handlers expect it, unless its text is not to be read, or cannot be.
        is_plain = redacted == text and is_shown(text)
        logger.error(
            "The plugin %s: %s (%s).%s",
            *(self.plugin, self.summary, self.consequence, "" if is_plain else f"\n{redacted}"),
            exc_info=error if is_plain else None,
        )
        if not plugin_degraded.receivers:
            return
        try:
            plugin_degraded.send(self.guards.app, plugin=self.plugin, function=self.name, exception=error)
        except Exception:
            logger.exception("A receiver of the signal %s failed.", plugin_degraded.name)


def _tell_nobody(_is_failing: bool) -> None: ...
