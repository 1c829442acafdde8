"""Events a second into PostgreSQL, by the statement of the event-log agent, beside a plain COPY.

    python benchmarks/record.py [--events 400000] [--batch 2000] [--months 24]

The table is migrated, has partitions for so many past months, and all three indexes. Batches are what the agent makes
of arrays that it read; decoding is in `agent`, not in `insert`. The yardstick is COPY of the same rows into a table
without a key or an index, in the same run. A tenth of the events are repeated, half of those with another time.
"""

import argparse
import asyncio
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import msgspec
import numpy as np
from system import last_line, running

from reelstream.child import free_port
from reelstream.embedded import postgres
from schemas import partitions
from schemas.database import create_pool
from schemas.migrate import migrate
from schemas.settings import Settings
from schemas.topics import INTERACTIONS, owner
from streams.event_log import EventLogAgent
from streams.log_reader import LogReader
from streams.progress import Progress
from streams.record import Record
from streams.services import RECORD_PLANNER

IN_ARRAY = 50
PARTITIONS = 1
_PLAIN = """
CREATE TABLE plain AS SELECT username, event_id, post_id, interaction_type, interaction_value, occurred_at,
  recommendation_id, session_id, source, log_number, log_partition, log_offset, log_index FROM interactions
"""


def messages(events: int, now: datetime, months: int) -> list[Record]:
    """Arrays of IN_ARRAY; nine events of ten are of this month, the others of any of the months before."""
    random = np.random.default_rng(1)
    made: list[Record] = []
    rows: list[dict[str, Any]] = []
    for number in range(events):
        again = number > 100 and random.random() < 0.1
        if again:
            row = dict(rows[int(random.integers(len(rows)))])
            if random.random() < 0.5:
                row["occurred_at"] = (now - timedelta(seconds=int(random.integers(86_400)))).isoformat()
        else:
            old = random.random() < 0.1
            back = int(random.integers(months * 28 * 86_400 if old else 86_400))
            row = {
                "event_id": str(random.bytes(16).hex()), "username": f"user{int(random.zipf(1.3)) % 100_000}",
                "post_id": int(random.integers(1, 20_000)), "interaction_type": "view",
                "interaction_value": round(float(random.random()), 3), "source": "api",
                "occurred_at": (now - timedelta(seconds=back)).isoformat(),
            }  # fmt: skip
        rows.append(row)
    encode = msgspec.json.Encoder().encode
    for start in range(0, events, IN_ARRAY):
        array = rows[start : start + IN_ARRAY]
        key = array[0]["username"].encode()
        assert all(owner(row["username"], PARTITIONS) == 0 for row in array)
        made.append(Record(INTERACTIONS, 0, start // IN_ARRAY, now.timestamp(), key, encode(array)))
    return made


async def fill_by_agent(pool: asyncpg.Pool, records: list[Record], batch: int) -> float:
    """Seconds that the agent takes for the messages, as the worker hands them over: so many events a batch."""
    services: Any = SimpleNamespace(
        pool=pool, partitions=PARTITIONS, progress=Progress(), log_ids={INTERACTIONS: "a log"},
        log_reader=LogReader(Settings()),
    )  # fmt: skip
    agent, arrays = EventLogAgent(services), max(batch // IN_ARRAY, 1)
    started = time.perf_counter()
    for start in range(0, len(records), arrays):
        await agent.apply(0, records[start : start + arrays])
    return time.perf_counter() - started


async def copy_plain(pool: asyncpg.Pool, batch: int) -> tuple[float, int]:
    """Seconds for COPY of the recorded rows into a table without an index, in batches, and how many rows."""
    async with pool.acquire() as connection:
        await connection.execute(f"{_PLAIN} WITH NO DATA")
        rows = await connection.fetch(f"SELECT * FROM ({_PLAIN.split(' AS ', 1)[1]}) AS r", timeout=600)
        tuples = [tuple(row) for row in rows]
        started = time.perf_counter()
        for start in range(0, len(tuples), batch):
            async with connection.transaction():
                await connection.copy_records_to_table("plain", records=tuples[start : start + batch])
        return time.perf_counter() - started, len(tuples)


async def measure(url: str, events: int, batch: int, months: int) -> dict[str, Any]:
    await migrate(url)
    settings, now = Settings(_env_file=None, database_url=url), datetime.now(UTC)
    async with await create_pool(settings, **RECORD_PLANNER) as pool:
        async with pool.acquire() as connection:
            for back in range(months, -1, -1):
                await partitions.keep(connection, settings, (partitions.Month.of(now).plus(-back)).begin)
        records = messages(events, now, max(months, 1))
        first = await fill_by_agent(pool, records[: len(records) // 2], batch)
        second = await fill_by_agent(pool, records[len(records) // 2 :], batch)
        plain, rows = await copy_plain(pool, batch)
        ids = await pool.fetchval("SELECT count(*) FROM (SELECT DISTINCT username, event_id FROM interactions) AS i")
        assert ids == rows, f"{rows} rows for {ids} event ids"
        kept = await pool.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'interactions'::regclass")
    agent = events / (first + second)
    return {
        "events": events, "rows": rows, "partitions": kept, "batch": batch,
        "events_per_second": round(agent), "of_the_second_half": round(events / 2 / second),
        "copy_rows_per_second": round(rows / plain), "ratio": round(agent / (rows / plain), 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--batch", type=int, default=2_000)
    parser.add_argument("--months", type=int, default=24)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state, port = Path(folder), free_port()
        state.chmod(0o755)
        with running(postgres.child(state, port), state / "log"):
            found = asyncio.run(measure(postgres.address(port), asked.events, asked.batch, asked.months))
    last_line(found)


if __name__ == "__main__":
    main()
