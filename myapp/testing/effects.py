"""What tasks leave to be done after their commit."""

from __future__ import annotations

import typing as t
from contextlib import contextmanager

from ..core.tasks import Captured, capturing

if t.TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def capture_effects(*, run: bool = False) -> Iterator[Captured]:
    """Collect the callbacks of the tasks that commit in the block, in the order in which they would run.

    What a savepoint or a rollback discarded is not among them.

    :param run: whether they run as well.
    """
    captured = Captured(run)
    token = capturing.set(captured)
    try:
        yield captured
    finally:
        capturing.reset(token)
