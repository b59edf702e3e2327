"""Parts with the life of the process rather than of one app: database engines, later workers and hubs.

``create_app`` may build an app more than once (without a plugin that failed), and a newer app may take over from
an older one; both hand the same :class:`Runtime` on, so that a process has one pool for one database.
"""

from __future__ import annotations

import threading
import typing as t

from .errors import MyappError

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

T = t.TypeVar("T")


class Runtime:
    """A lazily filled, thread-safe set of named parts, closed newest first."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._parts: dict[str, t.Any] = {}
        self._closers: list[Callable[[], None]] = []

    def get(self, name: str, create: Callable[[], T], close: Callable[[T], None] | None = None) -> T:
        """Return the part ``name``, made by ``create`` at the first call of any app that shares this runtime.

        :param close: called with the part by :meth:`close`.
        """
        try:
            return t.cast("T", self._parts[name])
        except KeyError:
            with self._lock:
                if name not in self._parts:
                    part = self._parts[name] = create()
                    if close is not None:
                        self._closers.append(lambda: close(part))
                return t.cast("T", self._parts[name])

    def close(self) -> None:
        """Close every part, newest first; the parts are made anew when they are asked for again."""
        with self._lock:
            closers, self._closers = self._closers, []
            self._parts.clear()
        for close in reversed(closers):
            close()


def get_runtime(app: Flask) -> Runtime:
    """Return the runtime that ``app`` was built with.

    :raises MyappError: when the app does not come from ``create_app``.
    """
    try:
        return t.cast("Runtime", app.extensions["myapp.runtime"])
    except KeyError:
        raise MyappError(f"{app!r} has no runtime. Build the app with myapp.create_app().") from None
