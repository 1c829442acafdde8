"""The learner's snapshots in PostgreSQL: what is left of the global models when Redis was emptied."""

import asyncpg

from schemas.factors import Snapshot

KEPT = 2
AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""What a record that does not answer raises."""
_SNAPSHOTS = """
SELECT version, extract(epoch FROM created_at)::float8 AS at, log, log_offset, count(*)::int AS chunks, digest
FROM learner_snapshots GROUP BY version, created_at, log, log_offset, digest ORDER BY version DESC
"""
_CHUNKS = "SELECT payload FROM learner_snapshots WHERE version = $1 ORDER BY chunk"
_INSERT = """
INSERT INTO learner_snapshots (version, chunk, created_at, log, log_offset, digest, payload)
VALUES ($1, $2, to_timestamp($3), $4, $5, $6, $7) ON CONFLICT DO NOTHING
"""
_TRIM = """
DELETE FROM learner_snapshots WHERE version NOT IN
  (SELECT DISTINCT version FROM learner_snapshots ORDER BY version DESC LIMIT $1)
"""


async def snapshots(pool: asyncpg.Pool) -> list[Snapshot]:
    """Newest first. Raises what asyncpg raises."""
    return [
        Snapshot(version=version, at=at, log=log, offset=offset, chunks=chunks, digest=digest)
        for version, at, log, offset, chunks, digest in await pool.fetch(_SNAPSHOTS)
    ]


async def chunks(pool: asyncpg.Pool, version: int) -> list[bytes]:
    return [row["payload"] for row in await pool.fetch(_CHUNKS, version)]


async def save(pool: asyncpg.Pool, snapshot: Snapshot, payloads: list[bytes]) -> None:
    """Adds one, and keeps the newest KEPT."""
    async with pool.acquire() as connection, connection.transaction():
        for number, payload in enumerate(payloads):
            await connection.execute(
                _INSERT, snapshot.version, number, snapshot.at, snapshot.log, snapshot.offset, snapshot.digest, payload
            )
        await connection.execute(_TRIM, KEPT)
