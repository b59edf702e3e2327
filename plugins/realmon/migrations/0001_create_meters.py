"""Create buildings, meters and readings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "realmon_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the three tables."""
    op.create_table(
        "realmon_buildings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_realmon_buildings"),
        sa.UniqueConstraint("name", name="uq_realmon_buildings_name"),
    )
    op.create_table(
        "realmon_meters",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("building_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("unit", sa.String(10), nullable=False),
        sa.Column("interval_seconds", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_realmon_meters"),
        sa.UniqueConstraint("name", name="uq_realmon_meters_name"),
        sa.ForeignKeyConstraint(
            ["building_id"],
            ["realmon_buildings.id"],
            name="fk_realmon_meters_building_id_realmon_buildings",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_realmon_meters_building_id", "realmon_meters", ["building_id"])
    op.create_table(
        "realmon_readings",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.String(47), nullable=False),
        sa.PrimaryKeyConstraint("meter_id", "start", name="pk_realmon_readings"),
        sa.ForeignKeyConstraint(
            ["meter_id"],
            ["realmon_meters.id"],
            name="fk_realmon_readings_meter_id_realmon_meters",
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop the three tables."""
    op.drop_table("realmon_readings")
    op.drop_table("realmon_meters")
    op.drop_table("realmon_buildings")
