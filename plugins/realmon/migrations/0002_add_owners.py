"""Add the owner of a building, and what was told of a meter that fell silent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "realmon_0002"
down_revision = "realmon_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two columns."""
    op.add_column("realmon_buildings", sa.Column("owner", sa.String(254), nullable=True))
    op.add_column("realmon_meters", sa.Column("silent_since", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("realmon_meters", "silent_since")
    op.drop_column("realmon_buildings", "owner")
