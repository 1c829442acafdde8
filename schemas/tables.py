"""The record: tables of PostgreSQL. Migrations beside this file bring a database to this shape.

Tables with `postgresql_partition_by` have a partition a month, and `…_rest` for other times (schemas.partitions).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
)  # fmt: skip
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()

interactions = Table(
    "interactions",
    metadata,
    # In byte order, whatever the database sorts by: a rebuild reads by user.
    Column("username", Text(collation="C"), nullable=False),
    Column("event_id", Text(collation="C"), nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("post_id", BigInteger, nullable=False),
    Column("interaction_type", Text, nullable=False),
    Column("interaction_value", Double, nullable=False),
    Column("recommendation_id", Text),
    Column("session_id", Text),
    Column("source", Text),
    # Where the log has it: the order in which stage 1 applied it. log_number: see log_marks.
    Column("log_number", Integer, nullable=False, server_default="0"),
    Column("log_partition", SmallInteger, nullable=False),
    Column("log_offset", BigInteger, nullable=False),
    Column("log_index", Integer, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("interactions_occurred_at", "occurred_at"),
    Index("interactions_of_owner", "log_partition", "username", "log_number", "log_offset", "log_index"),
    postgresql_partition_by="RANGE (occurred_at)",
)

# The key of `interactions` over all months: an event id names an event of its user, with whatever time it comes again.
event_ids = Table(
    "event_ids",
    metadata,
    Column("username", Text(collation="C"), primary_key=True),
    Column("event_id", Text(collation="C"), primary_key=True),
)

# How far each log is recorded; moved in the transaction that writes the rows. A topic that was made anew is another
# log: it gets the next number.
log_marks = Table(
    "log_marks",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("log_partition", SmallInteger, primary_key=True),
    Column("log_number", Integer, primary_key=True),
    Column("log", Text, nullable=False),
    Column("log_offset", BigInteger, nullable=False),
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
    # All fields, as the newest row had them; its author under `owner`.
    Column("row", JSONB, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("tags", ARRAY(Text), nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("username", Text, primary_key=True),
    Column("id", BigInteger),
    Column("role", Text),
    Column("row", JSONB, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("users_id", "id"),
)

# Pages as they were served, of the last IMPRESSION_MONTHS. Interactions name theirs by its id.
impressions = Table(
    "impressions",
    metadata,
    Column("recommendation_id", Text(collation="C"), primary_key=True),
    Column("served_at", DateTime(timezone=True), primary_key=True),
    Column("username", Text(collation="C"), nullable=False),
    Column("session_id", Text),
    Column("position", Integer, nullable=False),
    Column("posts", ARRAY(BigInteger), nullable=False),
    Column("scores", ARRAY(Double), nullable=False),
    Column("propensities", ARRAY(Double)),
    Column("sources", JSONB, nullable=False),
    Column("features", JSONB),
    Column("algorithm_used", Text, nullable=False),
    Column("model_versions", JSONB, nullable=False),
    Column("variant", Text, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("impressions_served_at", "served_at"),
    Index("impressions_of_user", "username", "served_at"),
    postgresql_partition_by="RANGE (served_at)",
)

# What was trending, by category, at the end of each hour in which it changed (streams.trending_log).
trending_history = Table(
    "trending_history",
    metadata,
    Column("category", Text(collation="C"), primary_key=True),
    Column("window", Text, primary_key=True),
    Column("at", DateTime(timezone=True), primary_key=True),
    Column("published_at", DateTime(timezone=True), nullable=False),
    Column("posts", ARRAY(BigInteger), nullable=False),
    Column("scores", ARRAY(Double), nullable=False),
    Index("trending_history_at", "at"),
    postgresql_partition_by="RANGE (at)",
)

# Who changed what from outside (schemas.audit).
audit_log = Table(
    "audit_log",
    metadata,
    Column("at", DateTime(timezone=True), primary_key=True, server_default=func.now()),
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    postgresql_partition_by="RANGE (at)",
)

# Names that were forgotten, as hashes (schemas.forgetting.name_hash): the collector leaves their rows out.
forgotten_users = Table(
    "forgotten_users",
    metadata,
    Column("name_hash", LargeBinary, primary_key=True),
    Column("forgotten_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# The newest two snapshots of the learner (schemas.factors.Snapshot), in chunks.
learner_snapshots = Table(
    "learner_snapshots",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("chunk", Integer, primary_key=True, autoincrement=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("log", Text, nullable=False),
    Column("log_offset", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

# The newest scan of each kind (collector.store.Scan).
collections = Table(
    "collections",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("scan", Integer, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("page", Integer, nullable=False),
    Column("page_size", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("published", BigInteger, nullable=False),
    Column("unchanged", BigInteger, nullable=False),
    Column("taken_back", BigInteger, nullable=False),
    Column("skipped", JSONB, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("last_success", DateTime(timezone=True)),
    Column("last_error", Text),
    Column("note", Text),
)

# Rows of views, likes, inspires and ratings as they were last published (collector.changes.Remembered).
collected_interactions = Table(
    "collected_interactions",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, nullable=False),
    Column("post_id", BigInteger, nullable=False),
    Column("value", Double, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("username", Text),
    Column("version", Integer, nullable=False),
    Column("events", Integer, nullable=False),
    Column("scan", Integer, nullable=False),
)

collected_posts = Table(
    "collected_posts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False),
    Column("scan", Integer, nullable=False),
)

# Which name a user's number stands for.
collected_users = Table(
    "collected_users",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("username", Text, nullable=False),
    Column("role", Text),
    Column("digest", LargeBinary, nullable=False),
    Column("scan", Integer, nullable=False),
)
