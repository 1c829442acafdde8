"""The memory of collected rows and runs, in PostgreSQL: everything on the one connection that holds the kind's lock."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

import asyncpg
import msgspec

from schemas import audit
from schemas.database import connected
from schemas.forgetting import FORGOTTEN_ROLE, name_hash
from schemas.messages import KindStatus

from .changes import Remembered, unknown_name
from .kinds import KINDS, Kind

LOCKS = 0x72656C73
"""First half of the advisory locks' keys; the second is the number of the kind."""
_SELECT = "SELECT id, user_id, post_id, value, at, username, version, events, scan FROM collected_interactions"
_UPSERT = """
INSERT INTO collected_interactions (kind, id, user_id, post_id, value, at, username, version, events, scan)
SELECT $1, * FROM unnest($2::int8[], $3::int8[], $4::int8[], $5::float8[], $6::timestamptz[], $7::text[], $8::int4[],
  $9::int4[], $10::int4[])
ON CONFLICT (kind, id) DO UPDATE SET user_id = excluded.user_id, post_id = excluded.post_id, value = excluded.value,
  at = excluded.at, username = excluded.username, version = excluded.version, events = excluded.events,
  scan = excluded.scan
"""
# A name that was collected goes before one that came with a row of topic `users`.
_NAMES = """
SELECT DISTINCT ON (id) id, username, role FROM (
  SELECT id, username, role, NULL::timestamptz AS at FROM collected_users
  UNION ALL SELECT id, username, role, recorded_at FROM users WHERE id IS NOT NULL
) AS named {where} ORDER BY id, at DESC NULLS FIRST
"""
_MISNAMED = f"""
SELECT r.id, user_id, post_id, value, at, r.username, version, events, scan FROM collected_interactions AS r
JOIN ({_NAMES.format(where="")}) AS n ON n.id = user_id
WHERE kind = $1 AND r.id > $2 AND r.username IS NOT NULL AND (r.username <> n.username OR ($3 AND n.role = 'A'))
ORDER BY r.id LIMIT $4
"""  # noqa: S608
_COUNTS = "SELECT count(*) AS known, count(*) FILTER (WHERE scan <> $1) AS missing"
_STANDING = "FROM collected_interactions WHERE kind = $2 AND username IS NOT NULL"
_POSTS = "SELECT * FROM collected_posts WHERE id = ANY($1)"
_MISSING_POSTS = "SELECT id FROM collected_posts WHERE scan <> $1 ORDER BY id LIMIT $2"
_USERS = "SELECT * FROM collected_users WHERE id = ANY($1)"
_FORGOTTEN = "SELECT name_hash FROM forgotten_users WHERE name_hash = ANY($1)"
_HELD = """
SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND classid = $1 AND granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Name(NamedTuple):
    """What a user's number stands for."""

    username: str
    role: str | None


class Seen(NamedTuple):
    """A row of a post or user as it was last collected. username: of a user; empty once that was forgotten."""

    digest: bytes
    scan: int
    username: str = ""


class Scan(msgspec.Struct, kw_only=True):
    """One reading of all pages of a kind. `page` is the last that is done with; a run that ends early goes on after it.

    number: counts the scans of the kind. whole: it began at the first page.
    """

    run_id: str
    number: int
    whole: bool
    page: int
    page_size: int
    started_at: datetime
    status: KindStatus


class Store:
    """Everything raises what asyncpg raises."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def at(cls, database_url: str) -> AsyncIterator[Self]:
        """Locks that were taken are free when it ends. Raises ServiceUnavailable when PostgreSQL does not answer."""
        async with connected(database_url) as connection:
            yield cls(connection)

    async def lock(self, kind: Kind) -> bool:
        """False when another process has it."""
        return bool(await self._connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", LOCKS, kind.number))

    async def unlock(self, kind: Kind) -> None:
        await self._connection.execute("SELECT pg_advisory_unlock($1, $2)", LOCKS, kind.number)

    async def last(self, kind: Kind) -> Scan | None:
        """The newest scan of a kind, ended or not."""
        row = await self._connection.fetchrow("SELECT * FROM collections WHERE kind = $1", kind.name)
        return _scan(row) if row else None

    async def statuses(self) -> dict[str, KindStatus]:
        """Of every kind. A run that nobody holds the lock of any more has failed, whatever it last wrote."""
        held = {row["objid"] for row in await self._connection.fetch(_HELD, LOCKS)}
        rows = {row["kind"]: _scan(row).status for row in await self._connection.fetch("SELECT * FROM collections")}
        for name, status in rows.items():
            if status.state == "running" and name in KINDS and KINDS[name].number not in held:
                status.state = "failed"
                status.last_error = f"its process ended after page {status.page}; the next run goes on there"
        return {name: rows.get(name) or KindStatus() for name in KINDS}

    async def save(self, kind: Kind, scan: Scan) -> None:
        """How far a scan is."""
        s = scan.status
        values = {
            "kind": kind.name, "run_id": scan.run_id, "state": s.state, "scan": scan.number, "whole": scan.whole,
            "page": scan.page, "page_size": scan.page_size, "rows": s.rows, "published": s.published,
            "unchanged": s.unchanged, "taken_back": s.taken_back, "skipped": msgspec.json.encode(s.skipped).decode(),
            "started_at": scan.started_at, "last_success": s.last_success, "last_error": s.last_error, "note": s.note,
        }  # fmt: skip
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        updates = ", ".join(f"{name} = excluded.{name}" for name in values)
        await self._connection.execute(
            f"INSERT INTO collections ({', '.join(values)}) VALUES ({places}) "  # noqa: S608
            f"ON CONFLICT (kind) DO UPDATE SET {updates}",
            *values.values(),
        )

    async def audit(self, actor: str, kind: Kind, scan: Scan) -> None:
        """That a run began."""
        outcome = f"run {scan.run_id} from page {scan.page + 1}"
        await audit.write(self._connection, actor, "collect", kind.name, outcome)

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """What is written inside is there together, or not at all."""
        async with self._connection.transaction():
            yield

    async def names(self, user_ids: Collection[int]) -> dict[int, Name]:
        """Of those users whose name is known, or who were forgotten: by name, or as `user:114` before it was known."""
        rows = await self._connection.fetch(_NAMES.format(where="WHERE id = ANY($1)"), list(user_ids))
        names = {row["id"]: Name(row["username"], row["role"]) for row in rows}
        shown = {
            user_id: names[user_id].username if user_id in names else unknown_name(user_id) for user_id in user_ids
        }
        gone = await self.forgotten({*shown.values(), *map(unknown_name, user_ids)})
        for user_id, username in shown.items():
            if gone & {username, unknown_name(user_id)}:
                names[user_id] = Name("", FORGOTTEN_ROLE)
        return names

    async def forgotten(self, usernames: Collection[str]) -> set[str]:
        """Those that were."""
        hashes = {name_hash(username): username for username in usernames}
        rows = await self._connection.fetch(_FORGOTTEN, list(hashes))
        return {hashes[row["name_hash"]] for row in rows}

    async def interactions(self, kind: Kind, ids: Collection[int]) -> dict[int, Remembered]:
        rows = await self._connection.fetch(f"{_SELECT} WHERE kind = $1 AND id = ANY($2)", kind.name, list(ids))
        return {row["id"]: Remembered(*row) for row in rows}

    async def misnamed(self, kind: Kind, after: int, admins_out: bool, most: int) -> list[Remembered]:
        """Rows with events that stand under another name than their user has by now, by id from `after` on.

        admins_out: those of admins too.
        """
        return [Remembered(*row) for row in await self._connection.fetch(_MISNAMED, kind.name, after, admins_out, most)]

    async def missing(self, kind: Kind, scan: int, most: int) -> list[Remembered]:
        """Rows with events that stand, which a scan did not meet."""
        rows = await self._connection.fetch(
            f"{_SELECT} WHERE kind = $1 AND username IS NOT NULL AND scan <> $2 ORDER BY id LIMIT $3",
            kind.name, scan, most,
        )  # fmt: skip
        return [Remembered(*row) for row in rows]

    async def missing_posts(self, scan: int, most: int) -> list[int]:
        """Posts that a scan did not meet."""
        rows = await self._connection.fetch(_MISSING_POSTS, scan, most)
        return [row["id"] for row in rows]

    async def count_missing(self, kind: Kind, scan: int) -> tuple[int, int]:
        """How many rows stand, and how many of them a scan did not meet."""
        if kind.interaction:
            row = await self._connection.fetchrow(f"{_COUNTS} {_STANDING}", scan, kind.name)
        else:
            row = await self._connection.fetchrow(f"{_COUNTS} FROM collected_posts", scan)
        return row["known"], row["missing"]

    async def remember_interactions(self, kind: Kind, rows: Iterable[Remembered]) -> None:
        columns = list(zip(*(msgspec.structs.astuple(row) for row in rows), strict=True))
        if columns:
            await self._connection.execute(_UPSERT, kind.name, *(list(column) for column in columns))

    async def posts(self, ids: Collection[int]) -> dict[int, Seen]:
        """Those that were collected."""
        rows = await self._connection.fetch(_POSTS, list(ids))
        return {row["id"]: Seen(row["digest"], row["scan"]) for row in rows}

    async def drop_posts(self, ids: Collection[int]) -> None:
        await self._connection.execute("DELETE FROM collected_posts WHERE id = ANY($1)", list(ids))

    async def remember_posts(self, digests: Mapping[int, bytes], scan: int) -> None:
        await self._connection.execute(
            "INSERT INTO collected_posts (id, digest, scan) SELECT *, $3::int4 FROM unnest($1::int8[], $2::bytea[]) "
            "ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, scan = excluded.scan",
            list(digests), list(digests.values()), scan,
        )  # fmt: skip

    async def users(self, ids: Collection[int]) -> dict[int, Seen]:
        """Those that were collected."""
        rows = await self._connection.fetch(_USERS, list(ids))
        return {row["id"]: Seen(row["digest"], row["scan"], row["username"]) for row in rows}

    async def attributes(self, usernames: Collection[str]) -> dict[str, dict[str, Any]]:
        """Those that the record has of each user, whoever sent them."""
        rows = await self._connection.fetch(
            "SELECT username, (\"row\" -> 'attributes')::text AS found FROM users WHERE username = ANY($1)",
            list(usernames),
        )
        return {row["username"]: msgspec.json.decode(row["found"] or "{}") for row in rows}

    async def remember_users(self, rows: Collection[tuple[int, str, str | None, bytes]], scan: int) -> None:
        """Number, name, role and digest of each."""
        columns = [list(column) for column in zip(*rows, strict=True)]
        if columns:
            await self._connection.execute(
                "INSERT INTO collected_users (id, username, role, digest, scan) "
                "SELECT *, $5::int4 FROM unnest($1::int8[], $2::text[], $3::text[], $4::bytea[]) "
                "ON CONFLICT (id) DO UPDATE SET username = excluded.username, role = excluded.role, "
                "digest = excluded.digest, scan = excluded.scan",
                *columns, scan,
            )  # fmt: skip


def _scan(row: Mapping[str, Any]) -> Scan:
    status = KindStatus(
        state=row["state"], page=row["page"], rows=row["rows"], published=row["published"],
        unchanged=row["unchanged"], taken_back=row["taken_back"], skipped=msgspec.json.decode(row["skipped"]),
        last_success=row["last_success"] and row["last_success"].astimezone(UTC), last_error=row["last_error"],
        run_id=row["run_id"], note=row["note"],
    )  # fmt: skip
    return Scan(
        run_id=row["run_id"], number=row["scan"], whole=row["whole"], page=row["page"], page_size=row["page_size"],
        started_at=row["started_at"], status=status,
    )  # fmt: skip
