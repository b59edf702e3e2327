"""How rows are found that are wanted before anything else is done."""

from __future__ import annotations

import typing as t

from ..data import RESOURCE, Model, get_db
from ..tasks import get_task, open_task

if t.TYPE_CHECKING:
    import sqlalchemy as sa

    from ..data import TaskSession

M = t.TypeVar("M", bound=Model)


def look_up(query: sa.Select[M]) -> M | None:
    """Return the one object of ``query``, or None.

    A task that writes waits at its first query for SQLite's only write lock, and holds it until its end: the question
    who asks, which comes first and may be answered with 401, is asked in a read-only task of its own. A transaction
    that has begun, or is about to, is used: a second connection would wait for the pool and miss what is pending.
    """
    task = get_task()
    session: TaskSession | None = task.resource(RESOURCE)
    if not task.writes or (session is not None and _is_in_use(session)):
        return get_db().scalars(query).one_or_none()
    with open_task(task.app, read_only=True):
        return get_db().scalars(query).one_or_none()


def adopt(found: M) -> M:
    """Return ``found`` as an object of the current task's session, without a query: what is assigned is written."""
    db = get_db()
    return found if found in db else db.merge(found, load=False)


def _is_in_use(session: TaskSession) -> bool:
    return session.has_connection or bool(session.new or session.dirty or session.deleted)
