"""The one place that knows the time for jobs and mail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """The time of the ledger: when a job is due, when it is tried again, when its result expires.

    Tests move it; what measures how long something takes (time-outs, graces) uses :func:`time.monotonic` and does not
    look here. It belongs to one app of one process: a worker in another process has its own.
    """

    def __init__(self) -> None:
        self._offset = timedelta()

    def now(self) -> datetime:
        """Return the moment, aware, in UTC."""
        return datetime.now(UTC) + self._offset

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass at once: for tests.

        :raises ValueError: when they are negative: what was due once stays due.
        """
        if seconds < 0:
            raise ValueError("The clock of the ledger goes forward only.")
        self._offset += timedelta(seconds=seconds)
