"""Index the recipients who wait for a mail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "core_0004"
down_revision = "core_0003"
branch_labels = None
depends_on = None

IS_OPEN = sa.text("state IN ('queued', 'retry')")


def upgrade() -> None:
    """Create the index."""
    op.create_index(
        "ix_mails_recipients_open",
        "mails_recipients",
        ["mail_id"],
        sqlite_where=IS_OPEN,
        postgresql_where=IS_OPEN,
    )


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_mails_recipients_open", "mails_recipients")
