"""What takes Redis' memory: keys and bytes of each kind, from a bounded sample, so that a big Redis does not feel it.

Kinds of which there are few keys (event ids, trending, change streams, marks, models …) are asked for by name. Of all
others SCAN sees at most MOST_SCANNED keys, which it hands out in the order of their hashes, so by chance: how many of
each kind there are follows from their share of what it saw, and is exact when it saw all. Bytes are the average of
MEMORY USAGE over at most MOST_ASKED keys of a kind, times the number of keys. With a million users: off by 0.2 to 3 %.
What MEMORY USAGE leaves out (hash tables, buffers of clients, fragmentation) is the rest up to `used`.
"""

from collections import defaultdict
from typing import Any

import msgspec
import redis.asyncio

from api.models import MODELS
from online_models.event_ids import stored_blocks
from schemas import factors, keys, marks, models
from schemas.marks import InteractionsMark
from schemas.trending import ALL, WINDOWS

MOST_SCANNED = 100_000
SCAN_COUNT = 1_000
"""Keys a SCAN looks at: half a millisecond in which Redis does nothing else."""
MOST_ASKED = 1_000
_STREAM = ":changes"

_SAMPLED = {"user": "users", "profile": "profiles", "item": "item states", "neighbours": "neighbours",
            "post": "post rows", "own": "learnt users"}  # fmt: skip
_NAMED = frozenset({
    "mark", "posts-mark", "users-mark", "generation", "rebuild", "incomplete", "ids", "posts", "changes", "trending",
    "categories", "workers", "worker", "current", "v", "vectors", "weights", "snapshot",
})  # fmt: skip


class Kind(msgspec.Struct):
    """How many keys of a kind there are, and the bytes they take with their values."""

    keys: int
    bytes: int


class RedisMemory(msgspec.Struct):
    """used: bytes that the whole server has allocated. keys: in our database. exact: every key was counted.

    kinds: by name, the largest first; `others` are keys that are not reelstream's.
    """

    used: int
    keys: int
    exact: bool
    kinds: dict[str, Kind]


async def measure(client: redis.asyncio.Redis, partitions: int) -> RedisMemory:
    """At most 100 SCANs and some thousand MEMORY USAGE, in pipelines. Raises RedisError."""
    total = await client.dbsize()
    named = await _named(client, partitions)
    counts: dict[str, int] = defaultdict(int)
    sample: dict[str, list[bytes]] = defaultdict(list)
    scanned: set[bytes] = set()
    cursor, exact = 0, False
    while len(scanned) < MOST_SCANNED and not exact:
        page: Any = await client.scan(cursor, count=SCAN_COUNT)
        cursor, found = page
        for key in set(found) - scanned:
            if (kind := _kind(key)) is not None:
                counts[kind] += 1
                if len(sample[kind]) < MOST_ASKED:
                    sample[kind].append(key)
        scanned.update(found)
        exact = cursor == 0
    many = sum(counts.values())
    there = total - sum(len(names) for names in named.values())
    kinds = {}
    for kind, count in counts.items():
        kinds[kind] = await _weigh(client, sample[kind], count if exact else round(there * count / many))
    for kind, names in named.items():
        kinds[kind] = await _weigh(client, names[:: len(names) // MOST_ASKED + 1], len(names))
    used = (await client.info("memory"))["used_memory"]
    largest = sorted(kinds.items(), key=lambda pair: -pair[1].bytes)
    return RedisMemory(used, total, exact, {kind: found for kind, found in largest if found.keys})


def _kind(key: bytes) -> str | None:
    """The kind of a key by its name; None for what `_named` counts."""
    if not key.startswith(keys.PREFIX.encode()):
        return "others"
    name = key.decode(errors="replace")
    name = name.removeprefix(keys.PREFIX)
    part = (name.partition("}:")[2] if name.startswith("{") else name).partition(":")[0]
    return None if part in _NAMED else _SAMPLED.get(part, part)


async def _named(client: redis.asyncio.Redis, partitions: int) -> dict[str, list[str]]:
    """Keys of the kinds of which there are few, those that exist."""
    names: dict[str, list[str]] = defaultdict(list)
    for partition in range(partitions):
        stored: Any = await client.get(keys.interactions_mark(partition))
        mark = marks.decode(stored, InteractionsMark)
        names["event ids"] += [keys.event_ids(partition, block) for block in stored_blocks(mark.block)]
        names["incomplete users"].append(keys.incomplete_users(partition))
        names["change streams"].append(keys.item_changes(partition))
        names["post ids"].append(keys.post_ids(partition))
        categories: Any = await client.smembers(keys.categories(partition))
        ranked = [ALL, *(category.decode() for category in categories)]
        names["trending"].append(keys.categories(partition))
        names["trending"] += [keys.trending(partition, window, name) for window in WINDOWS for name in ranked]
    names["marks"] = [keys.GENERATION, *marks.all_keys(partitions)]
    for model in MODELS:
        if payload := await client.get(keys.model_current(model)):
            version = models.decode_version(payload)
            count = version.chunks + version.graph_chunks
            chunks = [keys.model_chunk(model, version.version, chunk) for chunk in range(count)]
            names["models"] += [keys.model_current(model), *chunks]
    pointer: Any = await client.get(keys.LEARNER_SNAPSHOT)
    snapshot = factors.decode_snapshot(pointer)
    names["learnt posts"] = [keys.LEARNER_VECTORS, keys.LEARNER_WEIGHTS, keys.LEARNER_CHANGES, keys.LEARNER_MARK]
    if snapshot is not None:
        chunks = [keys.learner_snapshot(snapshot.version, chunk) for chunk in range(snapshot.chunks)]
        names["learner snapshot"] = [keys.LEARNER_SNAPSHOT, *chunks]
    beating: Any = await client.zrange(keys.WORKERS, 0, -1)
    names["heartbeats"] += [keys.WORKERS, *(keys.worker(member.decode()) for member in beating)]
    there: dict[str, list[str]] = {}
    for kind, asked in names.items():
        pipeline = client.pipeline(transaction=False)
        for name in asked:
            pipeline.exists(name)
        there[kind] = [name for name, exists in zip(asked, await pipeline.execute(), strict=True) if exists]
    return there


async def _weigh(client: redis.asyncio.Redis, sample: list[Any], count: int) -> Kind:
    """`count` keys like those of the sample. A key that went meanwhile is left out of the average."""
    pipeline = client.pipeline(transaction=False)
    for key in sample:
        # Of a stream Redis weighs its first five nodes unless told otherwise, and gave half of what there was.
        pipeline.memory_usage(key, samples=0 if str(key).endswith(_STREAM) else None)
    weights = [weight for weight in await pipeline.execute() if weight]
    return Kind(count, round(count * sum(weights) / len(weights)) if weights else 0)
