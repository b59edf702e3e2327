"""What a task writes: collected while it runs, and stored in its prepare step.

Two events of SQLAlchemy are watched. A statement on the task's connection says that something was written, whatever
wrote it; the end of a flush says which objects were. What the second explains, the first does not repeat.
"""

from __future__ import annotations

import typing as t
import weakref
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy import event
from werkzeug.exceptions import HTTPException

from myapp import get_user

from .models import Entry
from .statements import count_rows, find_computed, iter_writes
from .values import Changes, iter_changes, read_key

if t.TYPE_CHECKING:
    from flask import Flask
    from sqlalchemy.orm import Session

#: The execution option by which a connection knows the trail of its task.
OPTION = "audit_trail"


class Audit:
    """What one app records.

    :param ignored: tables whose changes are not recorded.
    :param hidden: columns whose values are not.
    """

    def __init__(self, ignored: frozenset[str], hidden: frozenset[str]) -> None:
        self.ignored = ignored
        self.hidden = hidden
        self._engine: t.Any = None

    def watch(self, app: Flask, *, task: t.Any, session: Session) -> None:
        """Record what ``task`` writes with its ``session``; the receiver of ``session_opened``."""
        if task.kind == "bare":
            return  # Nothing in it is ever committed.
        if session.bind is not self._engine:
            # On the engine, once: a listener of each session would cost those who only read as much as their query.
            event.listen(session.bind, "after_cursor_execute", _note)
            self._engine = session.bind
        trail = Trail(self, task, session)
        session.execution_options = session.execution_options.union({OPTION: trail})


def _note(
    connection: sa.Connection, cursor: t.Any, statement: str, _parameters: t.Any, context: t.Any, _many: bool
) -> None:
    trail = connection.get_execution_options().get(OPTION)
    if trail is not None:
        trail.note(cursor, statement, context)


@dataclass
class Change:
    """One entry to be: an object's row, or a statement."""

    action: str
    table: str
    key: str | None = None
    changes: Changes | None = None
    rows: int | None = 1
    #: Columns that a statement sets to what the database computes.
    computed: frozenset[tuple[str, str]] = frozenset()
    #: Whether the entries of objects say what this statement wrote.
    is_explained: bool = False


class Trail:
    """What one session writes."""

    def __init__(self, audit: Audit, task: t.Any, session: Session) -> None:
        self._audit = audit
        # Weak, because the session refers to this; both live as long as anything is written.
        self._task = weakref.ref(task)
        self._session = weakref.ref(session)
        self._context: t.Any = lambda: None
        self._statements: list[Change] = []
        self._kept: list[Change] = []
        self._is_listening = False
        self._is_storing = False

    def note(self, cursor: t.Any, statement: str, context: t.Any) -> None:
        """Look at a statement that was executed on the connection of the task."""
        if self._is_storing or self._context() is context:
            return  # Its own INSERT, or the next batch of one that was noted as a whole.
        writes = list(iter_writes(statement, context))
        if not writes:
            return
        self._context = weakref.ref(context)
        rows = count_rows(cursor, statement, context)
        if rows == 0:
            return
        for action, table in writes:
            change = Change(action, table, rows=rows, computed=find_computed(context))
            self._statements.append(change)
            self._register(change)
        if not self._is_listening:
            self._is_listening = True
            # Perhaps in the middle of a flush, whose end is told all the same.
            event.listen(self._session(), "before_flush", self._begin_flush)
            event.listen(self._session(), "after_flush", self._end_flush)

    def _begin_flush(self, _session: Session, _context: t.Any, _instances: t.Any) -> None:
        self._statements.clear()

    def _end_flush(self, _session: Session, context: t.Any) -> None:
        """Note each object that was flushed; only the unit of work knows of orphans and of objects left out."""
        computed = frozenset().union(*(statement.computed for statement in self._statements))
        written: Counter[tuple[str, str]] = Counter()
        # Objects are flushed as sets; entries are listed in the order in which the objects came.
        states = sorted(context.states.items(), key=lambda item: (item[0].insert_order or 0, str(item[0].key)))
        for state, (is_delete, is_listed_only) in states:
            if is_listed_only:
                continue
            action = "delete" if is_delete else "update" if state.key else "insert"
            for table, changes in iter_changes(state, action, self._audit.hidden, computed):
                written[action, table] += 1
                self._register(Change(action, table, read_key(state), changes))
        for change in self._statements:
            # As many rows as there are objects, and no more: a mapper's event may write other rows of the same table.
            rows = 1 if change.rows is None else change.rows
            change.is_explained = rows <= written[change.action, change.table]
            if change.is_explained:
                written[change.action, change.table] -= rows
        self._statements.clear()

    def _register(self, change: Change) -> None:
        # A savepoint that rolls back takes the function with it, and so the entry.
        self._task().before_commit(lambda _response: self._keep(change))

    def _keep(self, change: Change) -> None:
        if change.is_explained or change.table in self._audit.ignored:
            return
        if not self._kept:
            # Behind all the others, so that there is one INSERT for all.
            self._task().before_commit(lambda _response: self._store())
        self._kept.append(change)

    def _store(self) -> None:
        """Write the entries in the transaction of what they tell of; what this raises ends the task in a rollback."""
        changes, self._kept = self._kept, []
        task = self._task()
        common = {"moment": datetime.now(UTC), "task_id": task.id, "kind": task.kind, "user_id": _find_user_id()}
        rows = [
            {
                **common,
                "action": change.action,
                "table_name": change.table,
                "row_key": change.key,
                "row_count": change.rows,
                "changes": change.changes,
            }
            for change in changes
        ]
        self._is_storing = True
        try:
            # On the connection: nothing that is pending in the session is flushed unseen.
            self._session().connection().execute(sa.insert(Entry.__table__), rows)
        finally:
            self._is_storing = False


def _find_user_id() -> int | None:
    try:
        user = get_user()
    except HTTPException:
        return None  # A token that is no good names nobody; to refuse it is for the view.
    return None if user is None else user.id
