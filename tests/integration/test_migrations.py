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

TABLES = {
    "collected_interactions", "collected_posts", "collected_users", "collections", "impressions", "interactions",
    "learner_snapshots", "log_marks", "posts", "users",
}  # fmt: skip


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
        return {row["tablename"] for row in rows} - {"alembic_version"}
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


async def test_tables_and_migrations_agree(database: str) -> None:
    await migrate(database)

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))

    engine = create_async_engine(database.replace("postgresql://", "postgresql+asyncpg://"))
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()
