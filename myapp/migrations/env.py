"""What Alembic runs for every owner; :mod:`myapp.core.data.migrations` hands everything in."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate import render

if t.TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext


def render_item(kind: str, item: t.Any, autogen: AutogenContext) -> str | t.Literal[False]:
    """Return the type that a decorated one is in the database, for the text of a revision; False for all else.

    A revision says what a table was, whatever becomes of the code, and a plugin's modules have another name where it
    is installed. So it imports none of them.
    """
    if kind != "type" or not isinstance(item, sa.TypeDecorator) or type(item).__module__.startswith("sqlalchemy."):
        return False
    plain: sa.types.TypeEngine[t.Any] = item.impl_instance
    for dialect, variant in item._variant_mapping.items():
        plain = plain.with_variant(variant, dialect)
    # Alembic's own words for a type know its imports and dialects; they have no public name.
    return render._repr_type(plain, autogen)


attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=attributes["metadata"],
    version_table=attributes["version_table"],
    include_name=attributes["include_name"],
    # SQLite cannot ALTER most things: Alembic copies the table instead.
    render_as_batch=True,
    compare_type=True,
    render_item=render_item,
)
with context.begin_transaction():
    context.run_migrations()
