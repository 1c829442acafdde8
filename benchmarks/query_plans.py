"""The plan of every query of the code, on a record of a million interactions in 24 months.

    python benchmarks/query_plans.py [--rows 1000000] [--full]

Each is taken from where it is written, and run by EXPLAIN (ANALYZE, BUFFERS) in a transaction that is taken back. A
line of the table: what is read and by which index, over how many partitions, milliseconds, pages (8 KB) from the cache
and from disk. --full prints the plans. The last line, as JSON, names indexes that no plan used.
"""

import argparse
import asyncio
import json
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from system import last_line, running

from batch_models import dataset, shown_pages
from collector import store
from reelstream.child import free_port
from reelstream.embedded import postgres
from reelstream.exporting import EXPORTED
from schemas import audit, forgetting, partitions
from schemas.migrate import migrate
from schemas.settings import Settings
from streams import (
    catalogue_log,
    event_log,
    impression_log,
    record_mark,
    record_snapshot,
    trending_log,
    user_record,
)

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
USERS, POSTS = 50_000, 20_000
_FILL = (
    # Half of the events are of the last month; the others of the 23 before; one in a hundred is of 1997.
    """INSERT INTO interactions (username, event_id, post_id, interaction_type, interaction_value, occurred_at,
      log_number, log_partition, log_offset, log_index)
    SELECT 'user' || u, md5(n::text), 1 + (n::bigint * 7919) % {posts}, 'view', 1, CASE WHEN n % 100 = 0
      THEN timestamptz '1997-09-20 00:00+00' + n * interval '1 second' ELSE now() - random() * interval '1 day'
      * (CASE WHEN n % 2 = 0 THEN 30 ELSE 690 END) END, 1, u % 4, n, 0
    FROM (SELECT n, floor({users} * random() ^ 3)::int AS u FROM generate_series(1, {rows}) AS n) AS made""",
    "INSERT INTO event_ids SELECT username, event_id FROM interactions",
    """INSERT INTO impressions (recommendation_id, username, served_at, position, posts, scores, sources,
      algorithm_used, model_versions, variant)
    SELECT 'page' || n, 'user' || (n * 31) % {users}, now() - random() * interval '50 days', 0,
      ARRAY(SELECT generate_series(1, 20)), array_fill(.5::float8, ARRAY[20]), '[["svd"]]', 'blend', '{{}}', ''
    FROM generate_series(1, {rows} / 5) AS n""",
    """INSERT INTO trending_history SELECT 'category' || c, '24h', h, h, ARRAY(SELECT generate_series(1, 50)),
      array_fill(.5::float8, ARRAY[50])
    FROM generate_series(1, 11) AS c,
      generate_series(date_trunc('hour', now()) - interval '90 days', now(), '1 hour') AS h""",
    """INSERT INTO posts (id, title, category, author, servable, tags, "row")
    SELECT n, 'post', 'c', 'a', true, '{{}}', jsonb_build_object('id', n, 'title', repeat('x', 500))
    FROM generate_series(1, {posts}) AS n""",
    """INSERT INTO users (username, id, "row")
    SELECT 'user' || n, n, jsonb_build_object('username', n, 'attributes', '{{}}'::jsonb)
    FROM generate_series(1, {users}) AS n""",
    """INSERT INTO collected_users SELECT n, 'user' || n, 'U', '', 1 FROM generate_series(1, {users}) AS n""",
    "INSERT INTO collected_posts SELECT n, '', 1 FROM generate_series(1, {posts}) AS n",
    """INSERT INTO collected_interactions SELECT (ARRAY['viewed-posts', 'liked-posts', 'rated-posts'])[1 + n % 3], n,
      1 + (n * 31) % {users}, 1, 1, now(), 'user' || 1 + (n * 31) % {users}, 1, 1, 1
    FROM generate_series(1, {rows} / 5) AS n""",
    "INSERT INTO log_marks SELECT 'interactions', p, 1, 'log', 1000000 FROM generate_series(0, 3) AS p",
    "INSERT INTO forgotten_users SELECT sha256(convert_to('gone' || n, 'UTF8')) FROM generate_series(1, 1000) AS n",
)  # fmt: skip


SMALL = {"alembic_version_pkc", "audit_log_pkey", "collections_pkey", "learner_snapshots_pkey", "log_marks_pkey"}
"""Keys that no query needs in order to find a row: of tables that fit a page, or that are only written."""


class Asked(NamedTuple):
    """whole: why it reads all of a table, if it does."""

    what: str
    query: str
    arguments: tuple[Any, ...] = ()
    whole: str = ""


def asked() -> Iterator[Asked]:
    """Every query on tables that grow; those of `collections`, `learner_snapshots` and locks have six rows or two."""
    now, names = NOW, [f"user{n}" for n in range(0, 40_000, 40)]
    ids = list(range(1, 1001))
    yield Asked(
        "event log: claim 1,000 ids", event_log._CLAIM, (names, [sha256(n.encode()).hexdigest() for n in names])
    )
    yield Asked("forget: events", forgetting._EVENTS, (1, "user1001"))
    yield Asked("forget: ids", forgetting._IDS, ("user1001",))
    for statement in forgetting._STATEMENTS:
        whole = "once for each who is forgotten: an index would cost every row that is collected" * (
            "UPDATE" in statement
        )
        yield Asked(f"forget: {' '.join(statement.split()[:3])}", statement, ("user1001",), whole)
    yield Asked("idle user's events", user_record._EVENTS, (1, ["user1001", "user2001"], 1, 2**62))
    yield Asked("a log's number", user_record._NUMBERS, ("interactions", 1))
    yield Asked("mark: newest", record_mark._NEWEST, ("interactions", 1))
    yield Asked("mark: move", record_mark._MOVE, ("interactions", 1, 1, 1000000, 1000001))
    yield Asked("rebuild: marks", record_snapshot._MARKS, (), "one row a partition and log")
    yield Asked("rebuild: count", record_snapshot._COUNT, (), "the length of the progress bar, once")
    yield Asked("rebuild: events of a partition", record_snapshot._EVENTS, (1,), "a rebuild reads everything")
    yield Asked("rebuild: newest ids", record_snapshot._IDS, (1, 1 << 20), "a million are asked for")
    yield Asked("rebuild: known users", record_snapshot._KNOWN, (1, names))
    yield Asked("rebuild: posts", record_snapshot._POSTS, (), "a rebuild reads everything")
    yield Asked("rebuild: users", record_snapshot._USERS, (), "a rebuild reads everything")
    yield Asked("training: newest events", dataset.EVENTS, (499_999, "guest:"), "training reads the newest")
    yield Asked(
        "training: newest pages", shown_pages.PAGES, ((NOW - 30 * DAY).timestamp(),), "training reads the newest"
    )
    yield Asked("training: posts", dataset.POSTS, (), "training reads everything")
    yield Asked("export: a day of interactions", EXPORTED["interactions"].query, (now - 2 * DAY, now - DAY))
    yield Asked(
        "export: a day of 1997",
        EXPORTED["interactions"].query,
        (datetime(1997, 9, 21, tzinfo=UTC), datetime(1997, 9, 22, tzinfo=UTC)),
    )
    yield Asked(
        "export: an hour of impressions", EXPORTED["impressions"].query, (now - 2 * DAY, now - 2 * DAY + DAY / 24)
    )
    yield Asked("export: a day of trending", EXPORTED["trending"].query, (now - 2 * DAY, now - DAY))
    yield Asked(
        "retention: rest",
        partitions.OLD_EVENTS,
        (datetime(1990, 1, 1, tzinfo=UTC),),
    )
    yield Asked(
        "impression log: insert",
        impression_log._INSERT,
        ("page x", "user1", None, now, 0, [1], [0.5], None, "[]", None, "a", "{}", ""),
    )
    yield Asked(
        "trending log: upsert",
        trending_log._UPSERT,
        ("category1", "24h", now.replace(minute=0, second=0, microsecond=0), now, [1], [0.5]),
    )
    yield Asked("post log: upsert", catalogue_log._UPSERT_POST, (1, "t", "c", "a", now, True, [], "{}"))
    yield Asked("user log: upsert", catalogue_log._UPSERT_USER, ("user1", 1, None, "{}"))
    yield Asked("audit log: insert", audit._INSERT, ("a", "b", "c", "d"))
    yield Asked("collector: names", store._NAMES.format(where="WHERE id = ANY($1)"), (ids,))
    yield Asked("collector: remembered rows", f"{store._SELECT} WHERE kind = $1 AND id = ANY($2)", ("liked-posts", ids))
    yield Asked(
        "collector: misnamed rows",
        store._MISNAMED,
        ("liked-posts", -1, True, 1000),
        "compares each row's name, once a run",
    )
    yield Asked(
        "collector: count missing",
        f"{store._COUNTS} {store._STANDING}",
        (2, "liked-posts"),
        "counts a kind, once a run",
    )
    yield Asked(
        "collector: missing rows",
        f"{store._SELECT} WHERE kind = $1 AND username IS NOT NULL AND scan <> $2 ORDER BY id LIMIT $3",
        ("liked-posts", 2, 1000),
    )
    yield Asked("collector: posts", store._POSTS, (ids,))
    yield Asked("collector: users", store._USERS, (ids,))
    yield Asked(
        "collector: missing posts",
        store._MISSING_POSTS,
        (1, 1000),
        "20 MB at a million posts, once a run that misses some",
    )
    yield Asked("collector: forgotten names", store._FORGOTTEN, ([sha256(n.encode()).digest() for n in names],))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", []):
        yield from nodes(each)


def told(plan: dict[str, Any], parents: dict[str, str]) -> tuple[str, int]:
    """How each table is read, months together, and how many partitions were: without empty ones."""
    ways: dict[str, None] = {}
    months: set[str] = set()
    for node in nodes(plan):
        name = node.get("Index Name") or node.get("Relation Name")
        for index in node.get("Conflict Arbiter Indexes", []):
            ways[f"insert, conflicts by {index}"] = None
        pages = node["Shared Hit Blocks"] + node["Shared Read Blocks"]
        if name and "Scan" in node["Node Type"] and node["Actual Loops"] and pages:
            ways[f"{node['Node Type'].lower()} {parents.get(name, name)}"] = None
            if name in parents:
                months.add(re.sub(r".*_(p\d{6}|rest).*", r"\1", name))
    return "; ".join(ways) or "insert", len(months)


async def explain(connection: asyncpg.Connection, each: Asked) -> dict[str, Any]:
    back = connection.transaction()
    await back.start()
    try:
        rows = await connection.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {each.query}", *each.arguments, timeout=120
        )
        return json.loads(rows)[0]
    finally:
        await back.rollback()


async def show(url: str, rows: int, full: bool) -> dict[str, Any]:
    await migrate(url)
    connection = await asyncpg.connect(url, command_timeout=400)
    settings = Settings(_env_file=None, database_url=url)
    for back in range(23, -1, -1):
        await partitions.keep(connection, settings, partitions.Month.of(NOW).plus(-back).begin)
    for statement in _FILL:
        await connection.execute(statement.format(rows=rows, users=USERS, posts=POSTS))
    await connection.execute("VACUUM ANALYZE")
    used: set[str] = set()
    inherited = await connection.fetch(
        "SELECT inhrelid::regclass::text AS child, inhparent::regclass::text AS parent FROM pg_inherits"
    )
    parents = {row["child"]: row["parent"] for row in inherited}
    print("| query | plan | partitions | ms | pages | |\n|---|---|---|---|---|---|")
    for each in asked():
        found = await explain(connection, each)
        plan = found["Plan"]
        way, months = told(plan, parents)
        for node in nodes(plan):
            names = [*node.get("Conflict Arbiter Indexes", []), *([node["Index Name"]] if "Index Name" in node else [])]
            used |= {parents.get(name, name) for name in names}
        pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        cells = each.what, way, months or "", f"{found['Execution Time']:.1f}", f"{pages:,}", each.whole
        print(f"| {' | '.join(map(str, cells))} |")
        if full:
            print(json.dumps(found, indent=1))
    there = await connection.fetch(
        "SELECT indexrelid::regclass::text AS name FROM pg_index JOIN pg_class ON oid = indrelid "
        "WHERE relnamespace = 'public'::regnamespace AND NOT relispartition"
    )
    await connection.close()
    unused = {row["name"] for row in there} - used - SMALL
    return {"rows": rows, "indexes_not_used": sorted(unused)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state, port = Path(folder), free_port()
        state.chmod(0o755)
        with running(postgres.child(state, port), state / "log"):
            found = asyncio.run(show(postgres.address(port), options.rows, options.full))
    last_line(found)


if __name__ == "__main__":
    main()
