"""A logging handler that never blocks: a bounded queue that drops, and a thread that sends."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import typing as t
import weakref
from dataclasses import dataclass

from flask import current_app, has_app_context

from .text import render

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask

    from .webhook import Outcome

logger = logging.getLogger(__name__)

ATTEMPTS = 3
#: Marks in the queue: something is held back from now on, and the end.
_LOOK, _END = "", None


@dataclass
class Held:
    """Equal records: the first was sent, and the others are counted."""

    until: float
    first_line: str
    count: int = 0


class SlackHandler(logging.Handler):
    """Sends what an app logs; attach it to the root logger with :meth:`attach`.

    The thread begins with the first record of a process, so that it is there after a fork. A record that finds the
    queue full is dropped and counted, and the next message says how many were.

    :param send: sends one text; called in the thread alone.
    :param name: what the application is called in the messages.
    :param queue_size: how many messages may wait.
    :param interval_seconds: how long records that are equal to one that was sent are counted instead.
    :param flush_seconds: how long :meth:`close` waits for what has not been sent.
    """

    def __init__(
        self,
        app: Flask,
        send: Callable[[str], Outcome],
        *,
        name: str,
        level: int,
        queue_size: int,
        interval_seconds: float,
        flush_seconds: float,
    ) -> None:
        # Warnings as well, for those that nobody else would print.
        super().__init__(min(level, logging.WARNING))
        self._app = weakref.ref(app)
        self._send = send
        self._app_name = name
        self._threshold = level
        self._queue_size = queue_size
        self._interval_seconds = interval_seconds
        self._flush_seconds = flush_seconds
        self._begin()

    def _begin(self) -> None:
        """Start from nothing: in a forked process, whose parent sends what it has."""
        self._pid = os.getpid()
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_closing = threading.Event()
        # Not the handler's own lock, which logging holds while it waits for the thread at the end of the process.
        self._lock = threading.RLock()
        self._held: dict[t.Any, Held] = {}
        self._dropped = 0
        self._lost = 0

    def attach(self) -> None:
        """Listen to everything that is logged, as long as the app lives."""
        logging.getLogger().addHandler(self)
        weakref.finalize(t.cast("t.Any", self._app()), self.detach).atexit = False

    def detach(self) -> None:
        """Listen no more; what waits is sent."""
        logging.getLogger().removeHandler(self)
        self._queue.put(_END)

    def handle(self, record: logging.LogRecord) -> t.Any:
        """Take the record if it is an error of this app."""
        if _is_unseen(record, self) and logging.lastResort is not None and record.levelno >= logging.lastResort.level:
            logging.lastResort.handle(record)
        return super().handle(record)

    def filter(self, record: logging.LogRecord) -> t.Any:
        """Pass errors of this app, and those that are logged outside of any; never what the thread itself logs."""
        if record.levelno < self._threshold or record.name.startswith(__package__ or __name__):
            return False
        if threading.current_thread() is self._thread:
            return False
        if has_app_context() and current_app._get_current_object() is not self._app():  # type: ignore[attr-defined]
            return False
        return super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Put the record into the queue, or count it; nothing is raised."""
        try:
            if os.getpid() != self._pid:
                self._begin()
            with self._lock:
                self._take(record)
        except Exception:  # noqa: BLE001 - logging's own way: it prints to the error stream, and the app goes on.
            self.handleError(record)

    def close(self) -> None:
        """Send what waits, for as long as ``flush_seconds`` allow; logging calls it at the end of the process."""
        self.detach()
        self._is_closing.set()
        if self._thread is not None and os.getpid() == self._pid:
            self._thread.join(self._flush_seconds)
            if self._thread.is_alive():
                logger.warning("Not every alert was sent to Slack before the end.")
        super().close()

    def _take(self, record: logging.LogRecord) -> None:
        key, now = _key(record), time.monotonic()
        held = self._held.get(key)
        if held is not None and now < held.until:
            held.count += 1
            if held.count == 1:
                self._queue.put(_LOOK)
            return
        if self._queue.qsize() >= self._queue_size:
            self._dropped += 1
            return
        text = render(record, self._app_name)
        first_line = text.partition("\n")[0]
        if held is not None and held.count:
            text += f"\n{_times(held.count)} more before this one."
        self._held[key] = Held(now + self._interval_seconds, first_line)
        self._queue.put(text)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="slack-alerts", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        """Send what is in the queue, until its end."""
        while True:
            try:
                text = self._queue.get(timeout=self._seconds_to_wait())
            except queue.Empty:
                text = _LOOK
            if text:
                self._deliver(text)
            for summary in self._take_held(is_all=text is _END):
                self._deliver(summary)
            if text is _END:
                return

    def _seconds_to_wait(self) -> float | None:
        with self._lock:
            times = [held.until for held in self._held.values() if held.count]
        return max(min(times) - time.monotonic(), 0) if times else None

    def _take_held(self, *, is_all: bool) -> Iterator[str]:
        """Yield a text for equal records whose time is over, and hold the next ones back."""
        with self._lock:
            now = time.monotonic()
            due = [(key, held) for key, held in self._held.items() if is_all or held.until <= now]
            for key, held in due:
                if held.count:
                    self._held[key] = Held(now + self._interval_seconds, held.first_line)
                else:
                    del self._held[key]
        for _, held in due:
            if held.count:
                yield f"{held.first_line}\n{_times(held.count)} more."

    def _deliver(self, text: str) -> None:
        with self._lock:
            dropped, lost = self._dropped, self._lost
        if dropped:
            text += f"\n{dropped} before this one were dropped: the queue was full."
        if lost:
            text += f"\n{lost} before this one could not be sent."
        outcome = self._attempt(text)
        with self._lock:
            if outcome.reason:
                self._lost += 1
            else:
                self._dropped -= dropped
                self._lost -= lost
        if outcome.reason:
            logger.warning("An alert was not sent to Slack: %s.", outcome.reason)

    def _attempt(self, text: str) -> Outcome:
        for number in range(1, ATTEMPTS + 1):
            outcome = self._send(text)
            if outcome.retry_seconds is None or number == ATTEMPTS:
                break
            # At the end of the process there is no time for it.
            if self._is_closing.wait(outcome.retry_seconds * number):
                break
        return outcome


def _key(record: logging.LogRecord) -> t.Any:
    """Return what equal records have in common: where they are logged, and where the error was raised or what they say.

    An error's message has the path of its request in it, so that no two of a flood would be equal.
    """
    where = (record.name, record.levelno, record.pathname, record.lineno)
    if not record.exc_info or record.exc_info[0] is None:
        return (*where, record.getMessage())
    kind, _, traceback = record.exc_info
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    raised = None if traceback is None else (traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
    return (*where, kind.__qualname__, raised)


def _is_unseen(record: logging.LogRecord, handler: SlackHandler) -> bool:
    """Whether logging would have printed a record itself, because nobody has a handler for it, were this one not here.

    Of several apps in one process the first one's handler speaks for all.
    """
    one: logging.Logger | None = logging.getLogger(record.name)
    found: list[logging.Handler] = []
    while one is not None:
        found += one.handlers
        one = one.parent if one.propagate else None
    return all(isinstance(other, SlackHandler) for other in found) and found[:1] == [handler]


def _times(count: int) -> str:
    return f"{count:,} equal one{'' if count == 1 else 's'}"
