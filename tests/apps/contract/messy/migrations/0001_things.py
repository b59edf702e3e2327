import sqlalchemy as sa
from alembic import op

revision = "messy_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade():
    op.execute("CREATE TABLE IF NOT EXISTS messy_things (id INTEGER NOT NULL PRIMARY KEY)")


def downgrade():
    pass
