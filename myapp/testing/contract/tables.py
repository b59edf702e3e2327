"""Checks of a plugin's tables: its migrations, and whether they make what its models say."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa

from ...core.data import downgrade, find_differences, get_engine, get_metadata, get_schema, upgrade
from ...core.data.registry import owner_package
from ...core.discovery import describe
from ...core.errors import SchemaError

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

    from .trial import Trial


def migrations_go_up_down_up(trial: Trial) -> Iterator[str]:
    """They make the tables, take all of them away again, and make the same once more."""
    app = trial.build()
    name = trial.name
    if name not in get_schema(app).owners:
        return
    step = "upgrade"
    try:
        upgrade(app)
        first = own_tables(app, name)
        step = "downgrade to base"
        downgrade(app, name, "base")
        left = own_tables(app, name)
        step = "second upgrade"
        upgrade(app)
        second = own_tables(app, name)
    except SchemaError as error:
        yield f"The {step} fails: {error}"
        return
    except Exception as error:  # noqa: BLE001 - A migration is the plugin's own code.
        yield f"The {step} fails: {describe(error)}."
        return
    if left:
        yield f"After the downgrade to base these tables are still there: {', '.join(left)}. Drop them in downgrade()."
    if first != second:
        yield f"The first upgrade makes {', '.join(first)}, and the second {', '.join(second)}."


def models_match_migrations(trial: Trial) -> Iterator[str]:
    """The tables that its migrations make are those of its models, and are called after it."""
    app = trial.build()
    name = trial.name
    tables = sorted(get_metadata(owner_package(trial.imported.module)).tables)
    for table in tables:
        if not table.startswith(f"{name}_"):
            yield f"The table {table} does not begin with {name}_: no one can tell that it is this plugin's. Rename it."
    if name not in get_schema(app).owners:
        if tables:
            yield (
                f"It has models ({', '.join(tables)}) and no migration that makes their tables. Return the folder of"
                f" the migrations from myapp_migrations; then: flask db revision --of {name} -m …"
            )
        return
    try:
        upgrade(app)
        differences = find_differences(app, name)
    except SchemaError as error:
        yield f"Its migrations fail: {error}"
        return
    for difference in differences:
        yield f"Its models and its migrations differ: {difference}. Write it: flask db revision --of {name} -m …"


def own_tables(app: Flask, name: str) -> list[str]:
    """Return the tables of ``name`` that the database has."""
    owners = get_schema(app).owners
    names = sa.inspect(get_engine(app)).get_table_names()
    return sorted(table for table in names if owners[name].owns(table, tuple(owners)))
