"""Column types that mean the same in every database."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa


class UTCDateTime(sa.TypeDecorator[datetime]):
    """A moment: aware on both sides, kept in UTC.

    SQLite stores no offset and would give a naive datetime back, which cannot be compared with an aware one.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return ``value`` in UTC.

        :raises ValueError: for a naive datetime: nobody can tell which moment it means.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A naive datetime is no moment. Give it a time zone: datetime.now(UTC).")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return the moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
