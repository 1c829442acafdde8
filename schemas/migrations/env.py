"""How Alembic runs a migration: over asyncpg, in one transaction. Called by schemas.migrate, not by hand."""

import asyncio

import asyncpg
from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from schemas.tables import metadata


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_run(database_url: str) -> None:
    # asyncpg reads the address itself, so that it takes every form that the other processes take (sslmode, hosts).
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(database_url, timeout=10), poolclass=NullPool
    )
    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()


asyncio.run(connect_and_run(context.config.attributes["database_url"]))
