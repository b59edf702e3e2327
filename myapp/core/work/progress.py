"""``progress``: what a running job says of itself."""

from __future__ import annotations

import typing as t

from ..tasks import find_task
from .run import ATTEMPT

if t.TYPE_CHECKING:
    from .run import Attempt


def progress(fraction: float, text: str | None = None) -> None:
    """Show how far the running job is; others see it at once, although nothing of the job is committed yet.

    A plain call of the function, and code that runs in no job, may call it: nothing happens then.

    :param fraction: from 0 to 1.
    :param text: a few words, for whoever waits.
    :raises JobCancelledError: when somebody has cancelled the job: let it pass.
    :raises ValueError: for a fraction that is none.
    :raises TypeError: for a text that is none.
    """
    if not (text is None or isinstance(text, str)):
        raise TypeError(f"The text of a progress is a text, not {text!r}.")
    if not 0 <= fraction <= 1:
        raise ValueError(f"The fraction of a progress is from 0 to 1, not {fraction!r}.")
    attempt = find_attempt()
    if attempt is not None:
        attempt.report(float(fraction), text)


def find_attempt() -> Attempt | None:
    """Return the attempt whose code is running, or None outside of a job."""
    task = find_task()
    while task is not None:
        attempt: Attempt | None = task.resource(ATTEMPT)
        if attempt is not None:
            return attempt
        task = task.parent
    return None
