"""Migrations on a real PostgreSQL: up, down, and the same shape as schemas.tables."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from schemas.migrate import downgrade, migrate
from schemas.tables import metadata

PARTITIONED = {"audit_log", "impressions", "interactions", "trending_history"}
TABLES = PARTITIONED | {
    "collected_interactions", "collected_posts", "collected_users", "collections", "event_ids", "forgotten_users",
    "learner_snapshots", "log_marks", "posts", "users",
}  # fmt: skip
PARTITIONS = "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'"


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[str]:
    """An empty database beside the one that other tests use."""
    connection = await asyncpg.connect(postgres)
    await connection.execute("DROP DATABASE IF EXISTS migrations_test")
    await connection.execute("CREATE DATABASE migrations_test")
    yield postgres.rsplit("/", 1)[0] + "/migrations_test"
    await connection.execute("DROP DATABASE migrations_test WITH (FORCE)")
    await connection.close()


async def tables(database: str) -> set[str]:
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        parts = {row["relname"] for row in await connection.fetch(PARTITIONS)}
        return {row["tablename"] for row in rows} - {"alembic_version"} - parts
    finally:
        await connection.close()


async def test_migrations_go_up_and_down_and_up_again(database: str) -> None:
    await migrate(database)
    assert await tables(database) == TABLES
    await downgrade(database, "base")
    assert await tables(database) == set()
    await migrate(database)
    assert await tables(database) == TABLES


async def test_migrating_twice_keeps_the_rows(database: str) -> None:
    await migrate(database)
    connection = await asyncpg.connect(database)
    await connection.execute("INSERT INTO users (username, \"row\") VALUES ('ann', '{}')")
    await migrate(database)
    assert await connection.fetchval("SELECT count(*) FROM users") == 1
    await connection.close()


async def test_posts_of_before_stay_when_they_get_tags(database: str) -> None:
    await migrate(database, "0004")
    connection = await asyncpg.connect(database)
    await connection.execute(
        "INSERT INTO posts (id, title, category, author, servable, \"row\") VALUES (1, 't', '', '', true, '{}')"
    )
    await migrate(database)
    assert await connection.fetchval("SELECT tags FROM posts WHERE id = 1") == []
    await downgrade(database, "0004")
    assert await connection.fetchval("SELECT title FROM posts WHERE id = 1") == "t"
    await connection.close()


TIMES = ["1997-09-20 00:00+00", "2026-10-31 23:59:59.999999+00", "2026-11-01 00:00+00"]


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0005"])
async def test_rows_of_every_revision_come_through_up_and_down(database: str, revision: str) -> None:
    await migrate(database, revision)
    connection = await asyncpg.connect(database)
    shown = revision >= "0004"
    for number, at in enumerate(TIMES):
        await connection.execute(
            f"INSERT INTO interactions (event_id, username, post_id, interaction_type, interaction_value, occurred_at, "
            f"log_partition, log_offset, log_index) VALUES ('e{number}', 'ann', 7, 'like', 1, '{at}', 1, {number}, 0)"
        )
        if shown:
            await connection.execute(
                f"INSERT INTO impressions (recommendation_id, username, served_at, position, posts, scores, sources, "
                f"algorithm_used, model_versions, variant) VALUES ('r{number}', 'ann', '{at}', 0, '{{7}}', '{{null}}', "
                f"'[]', 'svd', '{{}}', '')"
            )
    queries = ["SELECT event_id, username, occurred_at, recorded_at FROM interactions ORDER BY log_offset"]
    queries += ["SELECT * FROM impressions ORDER BY served_at"] if shown else []
    before = [[dict(row) for row in await connection.fetch(query)] for query in queries]
    await connection.close()  # what it prepared knows the tables of before
    for step in (migrate(database), downgrade(database, revision)):
        await step
        connection = await asyncpg.connect(database)
        assert [[dict(row) for row in await connection.fetch(query)] for query in queries] == before
        await connection.close()


async def test_tables_and_migrations_agree(database: str) -> None:
    await migrate(database)
    connection = await asyncpg.connect(database)
    parts = {row["relname"] for row in await connection.fetch(PARTITIONS)}
    by = await connection.fetch(
        "SELECT relname, pg_get_partkeydef(oid) AS by FROM pg_class WHERE relkind = 'p' AND NOT relispartition"
    )
    await connection.close()
    assert parts == {f"{name}_rest" for name in PARTITIONED}
    assert {row["relname"]: row["by"] for row in by} == {
        table.name: table.dialect_options["postgresql"]["partition_by"]
        for table in metadata.tables.values()
        if table.dialect_options["postgresql"]["partition_by"]
    }

    def differences(connection: Connection) -> list[object]:
        options = {
            "compare_type": True, "compare_server_default": True,
            "include_name": lambda name, kind, _: kind != "table" or name not in parts,
        }  # fmt: skip
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, metadata))

    engine = create_async_engine(database.replace("postgresql://", "postgresql+asyncpg://"))
    async with engine.connect() as connection_:
        assert await connection_.run_sync(differences) == []
    await engine.dispose()
