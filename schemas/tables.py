"""The record: tables of PostgreSQL. Migrations beside this file bring a database to this shape."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    func,
)  # fmt: skip
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

interactions = Table(
    "interactions",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("username", Text, nullable=False),
    Column("post_id", BigInteger, nullable=False),
    Column("interaction_type", Text, nullable=False),
    Column("interaction_value", Double, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("recommendation_id", Text),
    Column("session_id", Text),
    Column("source", Text),
    # Where the log has it: the order in which stage 1 applied it.
    Column("log_partition", SmallInteger, nullable=False),
    Column("log_offset", BigInteger, nullable=False),
    Column("log_index", Integer, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("interactions_occurred_at", "occurred_at"),
    Index("interactions_username", "username", "occurred_at"),
)

posts = Table(
    "posts",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("title", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", DateTime(timezone=True)),
    Column("servable", Boolean, nullable=False),
    Column("row", JSONB, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

users = Table(
    "users",
    metadata,
    Column("username", Text, primary_key=True),
    Column("id", BigInteger),
    Column("role", Text),
    Column("row", JSONB, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
