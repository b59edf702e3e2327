"""What the jobs of one app share: its clock, its statements, its transport."""

from __future__ import annotations

import functools
import logging
import typing as t
from dataclasses import dataclass, field
from weakref import WeakSet

import sqlalchemy as sa

from ..config import get_config
from ..signals import job_changed
from .clock import Clock
from .statements import Dialect

if t.TYPE_CHECKING:
    from flask import Flask

    from .transport import Transport
    from .worker import Worker

logger = logging.getLogger("myapp.work")


@dataclass
class WorkState:
    """See :func:`get_state`."""

    dialect: Dialect
    transport: Transport
    clock: Clock = field(default_factory=Clock)
    #: Those of this process.
    workers: WeakSet[Worker] = field(default_factory=WeakSet)


def create_state(app: Flask, transport: Transport) -> WorkState:
    """Return the state for the settings of ``app``; nothing is opened."""
    backend = sa.make_url(get_config(app).database_url).get_backend_name()
    return WorkState(_dialect(backend), transport)


@functools.cache
def _dialect(backend: str) -> Dialect:
    return Dialect(backend)


def get_state(app: Flask) -> WorkState:
    """Return what the jobs of ``app`` share."""
    return t.cast("WorkState", app.extensions["myapp.work"])


def notify_changed(app: Flask, job_id: str, state: str) -> None:
    """Tell the parts above that a job has changed, as far as this process knows; a receiver that raises is logged."""
    if not job_changed.receivers:
        return
    try:
        job_changed.send(app, job_id=job_id, state=state)
    except Exception:
        logger.exception("A receiver of the signal %s failed for job %s.", job_changed.name, job_id)
