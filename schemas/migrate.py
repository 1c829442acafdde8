"""Brings a database to the shape of schemas.tables, by the revisions in schemas/migrations/versions."""

import asyncio
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config

from .errors import ServiceUnavailable


async def migrate(database_url: str, revision: str = "head") -> None:
    """Upgrades to `revision`; does nothing when it is there already. Raises ServiceUnavailable without an answer."""
    try:
        await asyncio.to_thread(command.upgrade, _config(database_url), revision)  # Alembic runs a loop of its own
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ServiceUnavailable(f"PostgreSQL (DATABASE_URL) could not be migrated: {error}") from error


async def downgrade(database_url: str, revision: str) -> None:
    """Takes revisions back until `revision` is the newest; `base` takes all back. Their tables are dropped."""
    await asyncio.to_thread(command.downgrade, _config(database_url), revision)


def _config(database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["database_url"] = database_url
    return config
