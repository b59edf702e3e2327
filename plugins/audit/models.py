"""The one table."""

from __future__ import annotations

import typing as t
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from myapp import Model, UTCDateTime


class Entry(Model):
    """One row that a task has written, or one statement that wrote many."""

    __tablename__ = "audit_entries"
    # An id is never given twice: what was taken away leaves a gap.
    __table_args__ = (
        sa.Index("ix_audit_entries_table_name_row_key", "table_name", "row_key"),
        {"sqlite_autoincrement": True},
    )
    __public__ = (
        *("id", "moment", "task_id", "kind", "user_id"),
        *("action", "table_name", "row_key", "row_count", "changes"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)
    moment: Mapped[datetime] = mapped_column(UTCDateTime)
    task_id: Mapped[str] = mapped_column(sa.String(64))
    kind: Mapped[str] = mapped_column(sa.String(16))
    #: Not a foreign key: the entry stays when the user goes.
    user_id: Mapped[int | None]
    action: Mapped[str] = mapped_column(sa.String(16))
    table_name: Mapped[str] = mapped_column(sa.String(255))
    #: The primary key as a JSON object; None for a statement.
    row_key: Mapped[str | None] = mapped_column(sa.Text)
    #: How many rows a statement wrote; None when the database does not say.
    row_count: Mapped[int | None]
    #: ``{"name": {"old": "a", "new": "b"}, "password_hash": {}}``; None for a statement.
    changes: Mapped[dict[str, t.Any] | None] = mapped_column(sa.JSON(none_as_null=True))
