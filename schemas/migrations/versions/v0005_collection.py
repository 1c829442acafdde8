"""What was collected, to tell what is new; posts with all fields"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "collections",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("scan", sa.Integer, nullable=False),
        sa.Column("whole", sa.Boolean, nullable=False),
        sa.Column("page", sa.Integer, nullable=False),
        sa.Column("page_size", sa.Integer, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("published", sa.BigInteger, nullable=False),
        sa.Column("unchanged", sa.BigInteger, nullable=False),
        sa.Column("taken_back", sa.BigInteger, nullable=False),
        sa.Column("skipped", JSONB, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_success", sa.DateTime(timezone=True)),
        sa.Column("last_error", sa.Text),
        sa.Column("note", sa.Text),
    )
    op.create_table(
        "collected_interactions",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("post_id", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("username", sa.Text),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("scan", sa.Integer, nullable=False),
    )
    op.create_index("collected_interactions_user", "collected_interactions", ["user_id"])
    op.create_table(
        "collected_posts",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("scan", sa.Integer, nullable=False),
    )
    op.create_table(
        "collected_users",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("role", sa.Text),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("scan", sa.Integer, nullable=False),
    )
    op.create_index("users_id", "users", ["id"])
    # Rows of before have no post_summary until they come again; the other columns are of their JSON.
    op.add_column("posts", sa.Column("tags", ARRAY(sa.Text), nullable=False, server_default="{}"))
    op.alter_column("posts", "tags", server_default=None)


def downgrade() -> None:
    op.drop_column("posts", "tags")
    op.drop_index("users_id", "users")
    for table in ("collected_users", "collected_posts", "collected_interactions", "collections"):
        op.drop_table(table)
