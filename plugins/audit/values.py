"""What may be kept of a row: its primary key, the names of its columns, the values of the public ones."""

from __future__ import annotations

import json
import math
import re
import typing as t
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from uuid import UUID

import sqlalchemy as sa

if t.TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from sqlalchemy.orm import InstanceState

#: Columns whose values are never kept, public or not; rather one too many.
SECRET = re.compile(r"passw|secret|token|hash|digest|salt|credential|(api|access|private)_?key", re.IGNORECASE)
MAXIMUM_LENGTH = 1_000

Changes: t.TypeAlias = dict[str, dict[str, t.Any]]


def iter_changes(
    state: InstanceState[t.Any], action: str, hidden: frozenset[str], computed: Container[tuple[str, str]]
) -> Iterator[tuple[str, Changes]]:
    """Yield each table of a mapped object with the columns that were written; none when nothing was.

    A value is there when the column is in ``__public__`` and is no secret; the old one when it was loaded.

    :param computed: tables with their columns that the database has computed; no object knows what they were set to.
    """
    tables: dict[str, Changes] = {}
    renewed: list[tuple[str, str]] = []
    for attribute, column in _iter_columns(state):
        table = column.table.fullname
        if action != "update":
            tables.setdefault(table, {})
        values = _values(state, attribute, action)
        if values is None:
            if (table, column.name) in computed and attribute in state.expired_attributes:
                tables.setdefault(table, {})[column.name] = {}
            elif action == "update" and column.onupdate is not None:
                renewed.append((table, column.name))
        elif action == "update" or not column.primary_key:
            is_shown = _is_shown(state.class_, attribute, column, hidden)
            tables.setdefault(table, {})[column.name] = values if is_shown else {}
    for table, name in renewed:
        # SQLAlchemy has set it because the row was written, and keeps no history of that.
        if table in tables:
            tables[table][name] = {}
    yield from tables.items()


def _iter_columns(state: InstanceState[t.Any]) -> Iterator[tuple[str, sa.Column[t.Any]]]:
    for attribute in state.mapper.column_attrs:
        for column in attribute.columns:
            if isinstance(column, sa.Column):
                yield attribute.key, column


def _is_shown(cls: type, attribute: str, column: sa.Column[t.Any], hidden: frozenset[str]) -> bool:
    names = {attribute, column.name}
    is_hidden = any(map(SECRET.search, names)) or hidden & {*names, f"{column.table.fullname}.{column.name}"}
    return attribute in getattr(cls, "__public__", ()) and not is_hidden


def read_key(state: InstanceState[t.Any]) -> str:
    """Return the primary key that the row has had until now, as a JSON object; a secret one is hidden."""
    identity = state.key[1] if state.key else state.mapper.primary_key_from_instance(state.obj())
    names = [column.name for column in state.mapper.primary_key]
    values = ["***" if SECRET.search(name) else plain(value) for name, value in zip(names, identity, strict=True)]
    return json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False)


def plain(value: t.Any) -> t.Any:
    """Return what JSON can hold of a value, cut to a length that a listing can bear."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str | date | datetime | time | timedelta | Decimal | UUID):
        return _cut(str(value))
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, dict | list | tuple):
        return _cut(json.dumps(value, ensure_ascii=False, default=lambda one: f"<{type(one).__name__}>"))
    # Its repr may show what no column says, and bytes are not for reading.
    return f"<{type(value).__name__}>"


def _values(state: InstanceState[t.Any], name: str, action: str) -> dict[str, t.Any] | None:
    """Return the old and the new value of an attribute, or None when it was not written."""
    if action != "update":
        value = state.dict.get(name)
        return None if value is None else {"new" if action == "insert" else "old": plain(value)}
    history = state.attrs[name].history
    if not history.has_changes():
        return None
    old = {"old": plain(history.deleted[0])} if history.deleted else {}
    return old | ({"new": plain(history.added[0])} if history.added else {})


def _cut(text: str) -> str:
    return text if len(text) <= MAXIMUM_LENGTH else f"{text[:MAXIMUM_LENGTH]}…"
