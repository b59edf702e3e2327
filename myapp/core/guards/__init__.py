"""Guards: decorators of views that say how a request is answered. See ``docs/jobs.md``."""

from __future__ import annotations

import typing as t

from .background import background

if t.TYPE_CHECKING:
    from flask import Flask

__all__ = ["background", "init_app"]


def init_app(app: Flask) -> None:
    """Make the job known that runs the views that are ``background``: importing this part has.

    Reads no configuration.
    """
