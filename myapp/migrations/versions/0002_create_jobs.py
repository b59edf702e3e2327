"""Create the ledger of jobs."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "core_0002"
down_revision = "core_0001"
branch_labels = None
depends_on = None

READY, RUNNING = "state = 'ready'", "state = 'running'"
HAS_KEY = "state IN ('ready', 'running') AND unique_key IS NOT NULL"


def upgrade() -> None:
    """Create the table and its indexes."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("func", sa.Text(), nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("queue", sa.String(64), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("unique_key", sa.Text(), nullable=True),
        sa.Column("run_at", moment, nullable=False),
        sa.Column("state", sa.String(9), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("timeout", sa.Double(), nullable=True),
        sa.Column("atomic", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.String(64), nullable=True),
        sa.Column("lease_until", moment, nullable=True),
        sa.Column("cancel_asked", moment, nullable=True),
        sa.Column("progress", sa.Double(), nullable=True),
        sa.Column("progress_text", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("task_id", sa.String(64), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("scopes", sa.Text(), nullable=True),
        sa.Column("created", moment, nullable=False),
        sa.Column("started", moment, nullable=True),
        sa.Column("finished", moment, nullable=True),
        sa.Column("expires_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    _create_index("uq_jobs_unique_key", ["unique_key"], HAS_KEY, unique=True)
    _create_index("ix_jobs_ready", ["queue", "priority", "run_at", "id"], READY)
    _create_index("ix_jobs_running", ["owner"], RUNNING)
    _create_index("ix_jobs_user_id", ["user_id", "id"], "user_id IS NOT NULL")
    _create_index("ix_jobs_expires_at", ["expires_at"], "expires_at IS NOT NULL")


def downgrade() -> None:
    """Drop the table, and with it what has not been done."""
    op.drop_table("jobs")


def _create_index(name: str, columns: list[Any], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, "jobs", columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
