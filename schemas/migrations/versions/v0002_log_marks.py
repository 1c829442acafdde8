"""log_marks; event ids belong to their user; an index by owner for rebuilding"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "log_marks",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("log_partition", sa.SmallInteger, primary_key=True),
        sa.Column("log_number", sa.Integer, primary_key=True),
        sa.Column("log", sa.Text, nullable=False),
        sa.Column("log_offset", sa.BigInteger, nullable=False),
    )
    op.drop_index("interactions_username", "interactions")
    op.drop_constraint("interactions_pkey", "interactions")
    op.alter_column("interactions", "username", type_=sa.Text(collation="C"))
    op.alter_column("interactions", "event_id", type_=sa.Text(collation="C"))
    op.create_primary_key("interactions_pkey", "interactions", ["username", "event_id"])
    op.add_column("interactions", sa.Column("log_number", sa.Integer, nullable=False, server_default="0"))
    op.create_index(
        "interactions_of_owner", "interactions", ["log_partition", "username", "log_number", "log_offset", "log_index"]
    )


def downgrade() -> None:
    op.drop_index("interactions_of_owner", "interactions")
    op.drop_column("interactions", "log_number")
    op.drop_constraint("interactions_pkey", "interactions")
    op.alter_column("interactions", "username", type_=sa.Text)
    op.alter_column("interactions", "event_id", type_=sa.Text)
    op.create_primary_key("interactions_pkey", "interactions", ["event_id"])
    op.create_index("interactions_username", "interactions", ["username", "occurred_at"])
    op.drop_table("log_marks")
