"""What the jobs of one app share: its clock, its statements, its transport."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass, field

import sqlalchemy as sa

from ..config import get_config
from .clock import Clock
from .statements import Dialect
from .transport import Ledger, Transport

if t.TYPE_CHECKING:
    from flask import Flask


@dataclass
class WorkState:
    """See :func:`get_state`."""

    dialect: Dialect
    transport: Transport
    clock: Clock = field(default_factory=Clock)


def create_state(app: Flask) -> WorkState:
    """Return the state for the settings of ``app``; nothing is opened."""
    backend = sa.make_url(get_config(app).database_url).get_backend_name()
    return WorkState(_dialect(backend), Ledger())


@functools.cache
def _dialect(backend: str) -> Dialect:
    return Dialect(backend)


def get_state(app: Flask) -> WorkState:
    """Return what the jobs of ``app`` share."""
    return t.cast("WorkState", app.extensions["myapp.work"])
