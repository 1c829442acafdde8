"""impressions: what was shown, for as long as it teaches anything"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "impressions",
        sa.Column("recommendation_id", sa.Text(collation="C"), primary_key=True),
        sa.Column("username", sa.Text(collation="C"), nullable=False),
        sa.Column("session_id", sa.Text),
        sa.Column("served_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("posts", ARRAY(sa.BigInteger), nullable=False),
        sa.Column("scores", ARRAY(sa.Double), nullable=False),
        sa.Column("propensities", ARRAY(sa.Double)),
        sa.Column("sources", JSONB, nullable=False),
        sa.Column("features", JSONB),
        sa.Column("algorithm_used", sa.Text, nullable=False),
        sa.Column("model_versions", JSONB, nullable=False),
        sa.Column("variant", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("impressions_served_at", "impressions", ["served_at"])
    op.create_index("impressions_of_user", "impressions", ["username", "served_at"])


def downgrade() -> None:
    op.drop_table("impressions")
