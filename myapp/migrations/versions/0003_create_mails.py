"""Create mails and their recipients."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "core_0003"
down_revision = "core_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the two tables."""
    op.create_table(
        "mails",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("message_id", sa.String(320), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("sender", sa.String(254), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("task_id", sa.String(64), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mails"),
    )
    op.create_index("ix_mails_created", "mails", ["created"])
    op.create_table(
        "mails_recipients",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mail_id", sa.String(36), nullable=False),
        sa.Column("address", sa.String(254), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mails_recipients"),
        sa.UniqueConstraint("mail_id", "address", name="uq_mails_recipients_mail_id_address"),
        sa.ForeignKeyConstraint(
            ["mail_id"], ["mails.id"], name="fk_mails_recipients_mail_id_mails", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    """Drop the two tables, and with them what has not been sent."""
    op.drop_table("mails_recipients")
    op.drop_table("mails")
