"""Whether the tables are those of the code: found out at the first use of the database in a process."""

from __future__ import annotations

import logging
import threading
import typing as t
from dataclasses import dataclass, field

from ..config import get_config
from ..errors import SchemaError
from ..runtime import get_runtime
from .migrations import find_position, get_schema, upgrade

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

logger = logging.getLogger("myapp.data")


@dataclass
class Checked:
    """What this process knows of the database: which owners it has looked at, and what is wrong with whose tables."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    seen: frozenset[str] = frozenset()
    failed: dict[str, str] = field(default_factory=dict)
    is_upgrading: bool = False


def ensure_schema(app: Flask) -> Mapping[str, str]:
    """Bring the tables up to date at the first use of the database in this process.

    Development and tests upgrade; production refuses, because an upgrade is a decision of its operator.

    :return: the owners whose tables are not those of the code and without whom the app goes on, each with a sentence.
    :raises SchemaError: when the tables of an owner that is needed are not those of the code, and stay so.
    """
    owners = get_schema(app).owners
    checked = _checked(app)
    if checked.seen.issuperset(owners):
        return checked.failed
    with checked.lock:
        if checked.is_upgrading:
            raise SchemaError("A migration asked for get_db(). Use alembic's op.get_bind() and op.execute() in it.")
        checked.is_upgrading = True
        try:
            for name in owners:
                if name not in checked.seen:
                    _ensure(app, name, checked)
                    checked.seen |= {name}
        finally:
            checked.is_upgrading = False
    return checked.failed


def look_at_schema(app: Flask) -> None:
    """Do what :func:`ensure_schema` does, and look again at the tables that were not those of the code.

    :raises SchemaError: as there.
    """
    failed = list(ensure_schema(app))
    for name in failed:
        find_failure(app, name)


def find_failures(app: Flask) -> Mapping[str, str]:
    """Return what :func:`ensure_schema` returns, as far as it is known; the database is not asked."""
    return _checked(app).failed


def find_failure(app: Flask, name: str) -> str:
    """Return why the tables of ``name`` are not those of the code, as a sentence; nothing when they are.

    Tables that were not are looked at again: somebody may have upgraded them meanwhile.

    :raises SchemaError: as :func:`ensure_schema` does.
    """
    ensure_schema(app)
    checked = _checked(app)
    if name in checked.failed and find_position(app, name).is_current and checked.failed.pop(name, ""):
        logger.warning("The tables of %s are those of this code now.", name)
    return checked.failed.get(name, "")


def upgrades_by_itself(app: Flask) -> bool:
    """Whether tables that are older than the code are upgraded without being asked."""
    return get_config(app).is_development or app.testing


def _checked(app: Flask) -> Checked:
    return get_runtime(app).get("data.checked", Checked)


def _ensure(app: Flask, name: str, checked: Checked) -> None:
    try:
        _bring_up_to_date(app, name)
    except SchemaError as error:
        if not get_schema(app).is_optional(name):
            raise
        checked.failed[name] = error.message
        logger.error("%s (Until then %s is not served; everything else is.)", error.message, name)


def _bring_up_to_date(app: Flask, name: str) -> None:
    position = find_position(app, name)
    if position.is_current:
        return
    if position.problem or not upgrades_by_itself(app):
        raise SchemaError(str(position))
    for line in upgrade(app, names=[name]):
        # Not a matter of information: somebody's tables have changed because a request came.
        logger.warning("%s (development upgrades by itself)", line)
