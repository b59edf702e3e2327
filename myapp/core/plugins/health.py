"""Health checks in a time-box: one that hangs costs one thread and one second, however often somebody asks."""

from __future__ import annotations

import functools
import logging
import threading
import time
import typing as t

from ..errors import well_formed
from .breaker import Guard, get_guards

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask import Flask

    from .breaker import Guards
    from .report import PluginState

logger = logging.getLogger("myapp.plugins")

#: How long a check may take, and how long its result counts.
BOX_SECONDS = 1.0
FRESH_SECONDS = 2.0

Status: t.TypeAlias = t.Literal["ok", "degraded", "down"]
STATUSES: tuple[Status, ...] = t.get_args(Status)


class Outcome(t.NamedTuple):
    """What a check has found."""

    name: str
    status: Status
    detail: str
    milliseconds: float


class _Run:
    """One call of a check, in a thread of its own."""

    def __init__(self, name: str, check: Callable[[], tuple[Status, str]], seconds: float) -> None:
        self.outcome: Outcome | None = None
        self.is_told = False
        self._name = name
        self._check = check
        self._seconds = seconds
        self._started = time.monotonic()
        self._is_done = threading.Event()
        # A daemon: a check that hangs must not keep the process from its end.
        self._thread = threading.Thread(target=self._work, name=f"myapp-health-{name}", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended; after a fork, the thread of the parent is not there."""
        return self._thread.is_alive()

    def wait(self) -> Outcome:
        """Return what it has found; when the box is over, that it has not found anything."""
        self._is_done.wait(max(0.0, self._started + self._seconds - time.monotonic()))
        seconds = time.monotonic() - self._started
        return self.outcome or Outcome(self._name, "down", f"no answer for {seconds:.1f} s", seconds * 1000)

    def _work(self) -> None:
        status: Status = "down"
        detail = "it ended without a result"
        try:
            status, detail = self._check()
        except Exception:
            # A check of a plugin is guarded; what comes here is ours.
            logger.exception("The health check %s failed.", self._name)
        finally:
            self.outcome = Outcome(self._name, status, well_formed(detail), (time.monotonic() - self._started) * 1000)
            self._is_done.set()


class Probe:
    """A health check that many may ask for at once: they share one call, and its result for a moment.

    :param check: returns the status and a detail; runs in a thread without any context.
    :param clock: seconds that only grow, for the age of a result.
    :param seconds: how long anybody waits for it.
    """

    def __init__(
        self,
        name: str,
        check: Callable[[], tuple[Status, str]],
        clock: Callable[[], float],
        seconds: float = BOX_SECONDS,
    ) -> None:
        self.name = name
        self._seconds = seconds
        self._check = check
        self._clock = clock
        self._lock = threading.Lock()
        self._run: _Run | None = None
        self._begun_at = 0.0

    def begin(self) -> Callable[[], Outcome]:
        """Call the check, unless a call is running or its result is fresh; return a function that waits for it."""
        with self._lock:
            run, now = self._run, self._clock()
            # A thread outlives its result by a moment.
            is_pending = run is not None and run.outcome is None and run.is_alive
            if run is None or not (is_pending or (run.outcome and now < self._begun_at + FRESH_SECONDS)):
                run = self._run = _Run(self.name, self._check, self._seconds)
                self._begun_at = now
        return functools.partial(self._wait, run)

    def _wait(self, run: _Run) -> Outcome:
        outcome = run.wait()
        with self._lock:
            is_news = run.outcome is None and not run.is_told
            run.is_told = run.is_told or is_news
        if is_news:
            logger.error("The health check %s has not answered within %.0f s.", self.name, self._seconds)
        return outcome


def measure(probes: Iterable[Probe]) -> list[Outcome]:
    """Return what each check finds, in the longest time that one of them has: they run at the same time."""
    return [wait() for wait in [probe.begin() for probe in probes]]


class HealthGuard(Guard):
    """The check is down; it is asked again the next time."""

    kind = "health check"

    def __init__(self, guards: Guards, plugin: str, function: t.Any, call: Callable[[], t.Any]) -> None:
        super().__init__(guards, plugin, function)
        self.target = call

    @property
    def consequence(self) -> str:
        """What a failure means."""
        return "it counts as down"

    def fall_back(self, *args: t.Any) -> tuple[Status, str]:
        """Return that it is down."""
        return "down", self.summary

    def refuse(self, error: Exception, *args: t.Any) -> tuple[Status, str]:
        """Return the same for a critical plugin: nobody is kept from anything."""
        return self.fall_back()

    def check(self, result: t.Any, *args: t.Any) -> tuple[Status, str]:
        """Return ``result`` as a status and a text."""
        if result is None or isinstance(result, str):
            return "ok", self.redact(result or "")
        match result:
            case (str() as status, str() as detail) if status in STATUSES:
                return status, self.redact(detail)
        raise TypeError(f"It returned {result!r} and not None, text, or one of {', '.join(STATUSES)} with text.")

    def _is_admitted(self) -> bool:
        return True


def attach_health(app: Flask, state: PluginState) -> list[Probe]:
    """Return a probe of each plugin's ``myapp_health``."""
    guards = get_guards(app)
    probes: list[Probe] = []
    for plugin, target in state.active:
        caller = state.hooks.find_caller("myapp_health", target)
        if caller is not None:
            call = functools.partial(caller, app=app, plugin=plugin)
            guard = HealthGuard(guards, plugin.name, t.cast("t.Any", caller).__wrapped__, call)
            guards.guards.append(guard)
            probes.append(Probe(plugin.name, functools.partial(_run, app, guard), lambda: guards.clock()))
    return probes


def _run(app: Flask, guard: HealthGuard) -> tuple[Status, str]:
    # Only reading: a look at the health must not wait for the write lock, or take it.
    with app.task(read_only=True):  # type: ignore[attr-defined]
        return t.cast("tuple[Status, str]", guard.run())
