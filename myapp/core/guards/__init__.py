"""Guards: decorators of views that say how a request is answered. See ``docs/jobs.md`` and ``docs/mail.md``."""

from __future__ import annotations

import typing as t

from .background import background
from .email import email

if t.TYPE_CHECKING:
    from flask import Flask

__all__ = ["background", "email", "init_app"]


def init_app(app: Flask) -> None:
    """Make the job known that runs the views that are ``background``: importing this part has.

    Reads no configuration.
    """
