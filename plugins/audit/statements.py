"""What a statement writes: from SQLAlchemy's own description of it, else from its text."""

from __future__ import annotations

import re
import typing as t

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import ExecuteStyle

if t.TYPE_CHECKING:
    from collections.abc import Iterator

#: What a statement that writes nothing begins with.
READS = re.compile(
    r"""[\s(;]*(select|values|table|show|pragma|set|reset|begin|start|commit|end|rollback|savepoint|release|lock|fetch
    |declare|close|move|listen|unlisten|notify|discard|analyze|vacuum|checkpoint)\b""",
    re.IGNORECASE | re.VERBOSE,
)
#: A quoted name, which stays, and in which no text or comment begins. Texts (also E'\'' and $$…$$ of PostgreSQL) and
#: comments, in which every word may stand; and what locks rows without changing them.
NOISE = re.compile(
    r"""("[^"]*")
    |\bE'(?:\\.|''|[^'\\])*'|'[^']*'|(?<![\w$])\$(\w*)\$.*?\$\2\$
    |--[^\n]*|/\*.*?\*/
    |\bfor\s+(?:no\s+key\s+)?update\b""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
#: One of several statements; a quoted name does not end it.
PART = re.compile(r"""(?:"[^"]*"|[^";]+)+""")
#: A table as it is written: shop, "my shop", public."my shop".
NAME = r"""((?:"[^"]*"|[\w.])+)"""
INTO = re.compile(r"\binto\s+(?:(?:temporary|temp|unlogged|table)\s+)*" + NAME, re.IGNORECASE)
WRITE = re.compile(
    r"""\b(insert|replace|update|delete|merge|truncate|create|alter|drop)\b
    (?:\s+(?:or\s+\w+|into|from|only|unique|index|table|view|if|not|exists|temporary|temp))*
    \s+"""
    + NAME,
    re.IGNORECASE | re.VERBOSE,
)


def iter_writes(statement: str, context: t.Any) -> Iterator[tuple[str, str]]:
    """Yield the action and the table of everything that a statement writes.

    What a database function does, or a trigger, no statement says. Rather an entry too many than a change without one.

    :param context: SQLAlchemy's execution context of it.
    """
    compiled = context.compiled
    written = getattr(compiled, "statement", None)
    # What select(…).from_statement(…) executes is inside of it.
    written = getattr(written, "element", written)
    # A part of a WITH may write as well.
    if compiled is not None and not getattr(compiled, "ctes", None):
        if isinstance(written, sa.Insert | sa.Update | sa.Delete):
            action = "insert" if context.isinsert else "update" if context.isupdate else "delete"
            table = written.table
            yield action, getattr(table, "fullname", str(table))
            return
        # Not is_select: text(…).columns(…) calls itself a SELECT, whatever its text does.
        if isinstance(written, sa.Select | sa.CompoundSelect):
            return
    for part in _split(statement):
        yield from _iter_text(part)


def count_rows(cursor: t.Any, statement: str, context: t.Any) -> int | None:
    """Return how many rows a statement wrote, or None when that cannot be known."""
    if context.execute_style is ExecuteStyle.INSERTMANYVALUES:
        # Sent in several batches, of which the cursor counts one.
        return len(context.compiled_parameters)
    parts = _split(statement)
    if cursor.rowcount < 0 or len(parts) != 1 or parts[0].lower().startswith("with"):
        # What a WITH returns says nothing of what its parts wrote, nor does the first of several statements.
        return None
    # SQLite counts when the last row of RETURNING has been fetched.
    is_too_early = cursor.rowcount == 0 and context.dialect.name == "sqlite" and "RETURNING" in statement.upper()
    return None if is_too_early else int(cursor.rowcount)


def find_computed(context: t.Any) -> frozenset[tuple[str, str]]:
    """Return the columns that an UPDATE sets to what the database computes, with their table."""
    columns = getattr(context.compiled, "postfetch", None) if context.isupdate else None
    return frozenset((column.table.fullname, column.name) for column in columns or ())


def _split(text: str) -> list[str]:
    """Return the statements of a text, of which a driver may send several at once; without what is no statement."""
    plain = NOISE.sub(lambda noise: noise[1] or " ", text)
    return [part for one in PART.findall(plain) if (part := one.strip())]


def _iter_text(statement: str) -> Iterator[tuple[str, str]]:
    if READS.match(statement):
        # SELECT … INTO makes a table.
        yield from (("select", table.replace('"', "")) for table in INTO.findall(statement))
        return
    found = False
    for action, table in WRITE.findall(statement):
        if not (action.lower() == "update" and table.lower() == "set"):  # ON CONFLICT DO UPDATE SET
            found = True
            yield action.lower(), table.replace('"', "")
    words = statement.lower().split()
    if not found and words and words[0] not in ("with", "explain"):
        yield words[0][:16], "?"
