"""interactions and impressions by month; event_ids, trending_history, audit_log, forgotten_users"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0006"
down_revision = "0005"

_INDEXES = {
    "interactions": {
        "interactions_occurred_at": ["occurred_at"],
        "interactions_of_owner": ["log_partition", "username", "log_number", "log_offset", "log_index"],
    },
    "impressions": {"impressions_served_at": ["served_at"], "impressions_of_user": ["username", "served_at"]},
}
_TIMES = {"interactions": "occurred_at", "impressions": "served_at"}
_KEYS = {"interactions": ["username", "event_id"], "impressions": ["recommendation_id"]}
MONTHS = 24
"""Of these, months with rows get a partition; what is older goes to the default one."""


def upgrade() -> None:
    for table, time in _TIMES.items():
        _set_aside(table)
        op.create_table(
            table,
            *_columns(table),
            *([sa.PrimaryKeyConstraint(*_KEYS[table], time, name=f"{table}_pkey")] if table == "impressions" else []),
            postgresql_partition_by=f"RANGE ({time})",
        )
        _finish(table)
        months = sa.text(
            f"SELECT DISTINCT date_trunc('month', {time} AT TIME ZONE 'UTC')::date AS begin, "  # noqa: S608
            f"(date_trunc('month', {time} AT TIME ZONE 'UTC') + interval '1 month')::date AS end FROM {table}_before "
            f"WHERE {time} BETWEEN now() - interval '{MONTHS} months' AND now() + interval '1 month'"
        )
        for begin, end in op.get_bind().execute(months):
            op.execute(
                f"CREATE TABLE {table}_p{begin:%Y%m} PARTITION OF {table} "
                f"FOR VALUES FROM ('{begin} 00:00+00') TO ('{end} 00:00+00')"
            )
        op.execute(f"CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT")
        _bring_back(table)
    op.create_table(
        "event_ids",
        sa.Column("username", sa.Text(collation="C"), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
    )
    op.execute("INSERT INTO event_ids SELECT username, event_id FROM interactions")
    op.create_primary_key("event_ids_pkey", "event_ids", ["username", "event_id"])
    op.create_table(
        "trending_history",
        sa.Column("category", sa.Text(collation="C"), primary_key=True),
        sa.Column("window", sa.Text, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("posts", ARRAY(sa.BigInteger), nullable=False),
        sa.Column("scores", ARRAY(sa.Double), nullable=False),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index("trending_history_at", "trending_history", ["at"])
    op.create_table(
        "audit_log",
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True, server_default=sa.func.now()),
        sa.Column("id", sa.Uuid, primary_key=True, server_default=sa.func.gen_random_uuid()),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        postgresql_partition_by="RANGE (at)",
    )
    for table in ("trending_history", "audit_log"):
        op.execute(f"CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT")
    op.create_table(
        "forgotten_users",
        sa.Column("name_hash", sa.LargeBinary, primary_key=True),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    # Only the comparison of names went by it, over 351,000 pages; without it, over 4,900.
    op.drop_index("collected_interactions_user", "collected_interactions")


def downgrade() -> None:
    op.create_index("collected_interactions_user", "collected_interactions", ["user_id"])
    for table in ("forgotten_users", "audit_log", "trending_history", "event_ids"):
        op.drop_table(table)
    for table in _TIMES:
        _set_aside(table)
        op.create_table(
            table, *_columns(table), sa.PrimaryKeyConstraint(*_KEYS[table], name=f"{table}_pkey")
        )  # fmt: skip
        _finish(table)
        _bring_back(table)


def _set_aside(table: str) -> None:
    """Under another name, without the names of its indexes."""
    op.rename_table(table, f"{table}_before")
    op.execute(f"ALTER INDEX IF EXISTS {table}_pkey RENAME TO {table}_before_pkey")
    for name in _INDEXES[table]:
        op.drop_index(name, f"{table}_before")


def _finish(table: str) -> None:
    for name, columns in _INDEXES[table].items():
        op.create_index(name, table, columns)


def _bring_back(table: str) -> None:
    names = ", ".join(column.name for column in _columns(table))
    op.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM {table}_before")  # noqa: S608
    op.drop_table(f"{table}_before")


def _columns(table: str) -> list[sa.Column[Any]]:
    recorded_at = sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())
    if table == "interactions":
        return [
            sa.Column("username", sa.Text(collation="C"), nullable=False),
            sa.Column("event_id", sa.Text(collation="C"), nullable=False),
            sa.Column("post_id", sa.BigInteger, nullable=False),
            sa.Column("interaction_type", sa.Text, nullable=False),
            sa.Column("interaction_value", sa.Double, nullable=False),
            sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("recommendation_id", sa.Text),
            sa.Column("session_id", sa.Text),
            sa.Column("source", sa.Text),
            sa.Column("log_number", sa.Integer, nullable=False, server_default="0"),
            sa.Column("log_partition", sa.SmallInteger, nullable=False),
            sa.Column("log_offset", sa.BigInteger, nullable=False),
            sa.Column("log_index", sa.Integer, nullable=False),
            recorded_at,
        ]
    return [
        sa.Column("recommendation_id", sa.Text(collation="C"), nullable=False),
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
        recorded_at,
    ]
