"""Writing down what has happened, although the database cannot be written right now."""

from __future__ import annotations

import logging
import time
import typing as t

from sqlalchemy.exc import SQLAlchemyError

from ..data import find_outage

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

T = t.TypeVar("T")

logger = logging.getLogger("myapp.work")

#: How often it is tried by those who would rather give up: a connection that was cut while it was idle says so once.
TRIES = 2
PAUSE_SECONDS = 0.25


def insist(app: Flask, what: str, write: Callable[[], T], gives_up: Callable[[], bool]) -> T:
    """Call ``write`` again while the database is busy or cannot be reached, and return what it returns.

    :param what: is written down, for the log.
    :param write: a whole transaction, which may be repeated although its commit has come through.
    :param gives_up: is asked after the second try and each that follows.
    :raises SQLAlchemyError: when it gives up; any other error that ``write`` raises at once.
    """
    tries = 0
    while True:
        try:
            return write()
        except SQLAlchemyError as error:
            tries += 1
            if find_outage(app, error) is None or (tries >= TRIES and gives_up()):
                raise
            if tries == 1:
                logger.warning("%s could not be written down, which is tried again until it is: %s", what, error)
        # Nothing tells when the database is there again.
        time.sleep(PAUSE_SECONDS)
