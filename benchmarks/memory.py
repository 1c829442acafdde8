"""Bytes of Redis that users and posts take, against the goal: 0.8 GiB for 1 M users × 50 events and 100 K posts.

    python benchmarks/memory.py [--users 50000 100000 200000] [--events 50]

Measured at several sizes, a post for every ten users, and drawn on to the goal's: a line through the sizes (fixed part
and bytes a user), and how far it is from each of them. `--users 1000000` measures the goal's own size.

Without Kafka: nothing of it stays in Redis, and 50 M events through it would take hours to end in the same values. What
decides the values is the real code: every event of every user goes through user_history.learn_one and the state's
encoding, and is counted for its post; rows go through decode_post; event ids through SeenEventIds; keys are the real
ones. A sample is: 30 events a post for CoVisitation, at least as many as fill the change streams. The least popular
post gets ten of those on average, four fill a row, so rows have the lengths that all events would give them. The sample
also fills the change streams to their full length, an entry for STREAM_EVENTS events, as when a backlog is applied.

Users watch short videos: a dozen at a time 20 to 60 seconds apart, then days apart; seven in ten are views with a
measured fraction. The tenth of the posts touched most gets 46 % of the events. Rows have the shape of the external API.
Profiles and model vectors are not in it.
"""

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
import redis.asyncio
from redis import Redis
from system import last_line, running

from online_models.co_visitation import BACKWARD, DECAY, CoVisitation, growths
from online_models.decayed_counters import DecayedCounters, trending_score
from online_models.event_ids import BLOCK_IDS, BLOCKS, SeenEventIds
from online_models.user_history import Effect, learn_one
from reelstream import redis_memory
from reelstream.child import free_port
from reelstream.embedded import valkey
from schemas import keys, marks, posts
from schemas.events import DEFAULT_WEIGHTS, INTERACTION_TYPES, TYPE_CODES
from schemas.item_state import Neighbours
from schemas.topics import owner, post_owner
from schemas.trending import ALL, WINDOWS
from schemas.user_state import HistoryEvent, UserState
from streams.interactions import MOST_EVENTS as STREAM_EVENTS
from streams.item_shard import TOP, kept_changes
from streams.user_shard import id_commands

GOAL = 0.8 * 2**30
GOAL_USERS, USERS_A_POST = 1_000_000, 10
STREAM_ENTRIES = 1_000
"""More than fit into a change stream at this size of theirs."""
PARTITIONS = 4
CHUNK = 2_000
"""Users generated at once."""
NEWEST_MS = 1_795_000_000_000
USER_TTL_SECONDS = 90 * 86_400
TYPES = ("view",) * 14 + ("like", "like", "share", "bookmark", "comment", "exit")
CATEGORIES = ("Vible", "Super Feed", "Bloom Scroll", "E/ACC", "InstaRama", "Flic", "SolTok", "Pumptok", "OvaDrive",
              "The Igloo", "Gratitube")  # fmt: skip


def histories(first: int, events: int, count: int) -> Iterator[tuple[str, Iterator[tuple[int, ...]]]]:
    """Users `first` to `first` + CHUNK, each with its events as (at_ms, post_id, type_code, value_milli)."""
    rng, shape = np.random.default_rng(first), (CHUNK, events)
    gaps = rng.integers(20_000, 60_000, shape)
    pause = np.arange(events) % 12 == 0
    gaps[:, pause] = rng.integers(3_600_000, 10 * 86_400_000, (CHUNK, int(pause.sum())))
    ats = NEWEST_MS - rng.integers(0, 30 * 86_400_000, (CHUNK, 1)) - np.cumsum(gaps[:, ::-1], axis=1)[:, ::-1]
    post_ids = (count * rng.random(shape) ** 3).astype(np.int64) + 1
    codes = np.array([TYPE_CODES[name] for name in TYPES])[rng.integers(0, len(TYPES), shape)]
    values = np.where(codes == TYPE_CODES["view"], rng.integers(30, 1_400, shape), 1_000)
    for number, columns in enumerate(zip(ats, post_ids, codes, values, strict=True), first):
        yield f"user{number:07d}", zip(*(column.tolist() for column in columns), strict=True)


def learnt(first: int, events: int, count: int) -> Iterator[tuple[str, UserState, list[tuple[HistoryEvent, Effect]]]]:
    for username, happened in histories(first, events, count):
        state = UserState()
        effects = []
        for fields in happened:
            event = HistoryEvent(*fields)
            effects.append((event, learn_one(state, event, DEFAULT_WEIGHTS)))
        yield username, state, effects


def write_users(port: int, first: int, last: int, events: int, count: int) -> np.ndarray:
    """Learns, encodes and writes users; returns how often each post was touched, by type: (types, count + 1)."""
    client, touched = Redis(port=port), np.zeros((len(INTERACTION_TYPES), count + 1), np.int64)
    for start in range(first, last, CHUNK):
        pipeline = client.pipeline(transaction=False)
        flat: list[int] = []
        for username, state, effects in learnt(start, events, count):
            key = keys.user_state(owner(username, PARTITIONS), username)
            pipeline.set(key, state.encode(), ex=USER_TTL_SECONDS)
            flat += [event.type_code * (count + 1) + event.post_id for event, _ in effects]
        touched += np.bincount(flat, minlength=touched.size).reshape(touched.shape)
        pipeline.execute()
    return touched


def write_posts(port: int, partition: int, users: int, events: int, count: int, touched: np.ndarray) -> None:
    """Rows, counters, neighbours, trending and changes of one partition of the posts."""
    client, co_visitation, counters = Redis(port=port), CoVisitation(), DecayedCounters()
    home = np.array([post_owner(post_id, PARTITIONS) == partition for post_id in range(count + 1)])
    ours = np.flatnonzero(home[1:]) + 1
    pipeline = client.pipeline(transaction=False)
    sampled = 0
    for start in range(0, users, CHUNK):
        # Event by event across the users: a batch of the log holds a few events of many users.
        by_user = [effects for _, _, effects in learnt(start, events, count)]
        happened = [pair for at_once in zip(*by_user, strict=True) for pair in at_once]
        for first in range(0, len(happened), STREAM_EVENTS):
            batch = happened[first : first + STREAM_EVENTS]
            touched_now = np.unique([event.post_id for event, _ in batch])
            changed = {
                "states": touched_now[home[touched_now]],
                "neighbours": learn_neighbours(co_visitation, batch, home),
            }
            packed = {name: ids.astype("<i8").tobytes() for name, ids in changed.items() if len(ids)}
            kept = kept_changes(packed.values())
            pipeline.xadd(keys.item_changes(partition), packed, maxlen=kept, approximate=True)
        pipeline.execute()
        sampled += len(happened)
        if sampled >= max(30 * count, STREAM_ENTRIES * STREAM_EVENTS):
            break
    for start in range(0, len(ours), CHUNK):
        for post_id in ours[start : start + CHUNK].tolist():
            row = posts.decode_post(json.dumps(upstream_row(post_id)).encode())
            for code in np.flatnonzero(touched[:, post_id]).tolist():
                counters.learn_one(post_id, code, int(touched[code, post_id]), 3.0, NEWEST_MS / 1000)
            if post_id in counters.items:
                item = counters.items[post_id]
                item.strength = co_visitation.strengths.get(post_id, 0.0)
                item.known, item.category = True, row.category
                pipeline.set(keys.item_state(partition, post_id), item.encode())
                for number, window in enumerate(WINDOWS):
                    for category in (ALL, row.category):
                        score = trending_score(item, number)
                        pipeline.zadd(keys.trending(partition, window, category), {str(post_id): score})
            if near := co_visitation.row(post_id):
                pipeline.set(keys.neighbours(partition, post_id), Neighbours(near).encode())
            pipeline.set(keys.post_row(partition, post_id), posts.encode(row))
            pipeline.sadd(keys.post_ids(partition), post_id)
            pipeline.sadd(keys.categories(partition), row.category)
        for window in WINDOWS:
            for category in (ALL, *CATEGORIES):
                pipeline.zremrangebyrank(keys.trending(partition, window, category), 0, -TOP - 1)
        pipeline.execute()
    pipeline.set(keys.items_mark(partition), marks.encode(marks.ItemsMark(log="log", offset=1)))
    pipeline.execute()


def learn_neighbours(model: CoVisitation, batch: list[tuple[HistoryEvent, Effect]], home: np.ndarray) -> np.ndarray:
    """Teaches the pairs of posts that a batch tells this partition, as stage 2 does; returns the rows that changed."""
    told = [(event, effect) for event, effect in batch if effect.context]
    if not told:
        return np.empty(0, np.int64)
    lengths = [len(effect.context) for _, effect in told]
    before = np.array([post for _, effect in told for post in effect.context])
    after = np.repeat([event.post_id for event, _ in told], lengths)
    times = np.array([event.at_ms / 1000 for event, _ in told])
    gains = np.array([effect.gain for _, effect in told]) * growths(times)
    weights = np.repeat(gains, lengths) * DECAY ** np.concatenate([np.arange(length) for length in lengths])
    rows, near = np.concatenate([before, after]), np.concatenate([after, before])
    mine = home[rows]
    model.learn_pairs(rows[mine], near[mine], np.concatenate([weights, BACKWARD * weights])[mine])
    for post_id, gain in zip((event.post_id for event, _ in told), gains.tolist(), strict=True):
        model.strengths[post_id] = model.strengths.get(post_id, 0.0) + gain
    return np.unique(rows[mine])


def write_event_ids(port: int, partition: int) -> None:
    """The whole window as the agents fill it, STREAM_EVENTS ids at once."""
    client, ids, rng = Redis(port=port), SeenEventIds(0, []), random.Random(partition)
    pipeline = client.pipeline(transaction=False)
    for _ in range(BLOCKS * BLOCK_IDS // STREAM_EVENTS):
        for command in id_commands(partition, ids, [rng.getrandbits(63) for _ in range(STREAM_EVENTS)]):
            pipeline.execute_command(*command)
    mark = marks.InteractionsMark(log="log", offset=1, block=ids.block)
    pipeline.set(keys.interactions_mark(partition), marks.encode(mark))
    pipeline.execute()


def upstream_row(post_id: int) -> dict[str, object]:
    """A row as the external API has them: most have no topic and no tags, and a caption for a title."""
    rng = random.Random(post_id)
    media = f"https://video-cdn.socialverseapp.com/author{post_id % 900}_{rng.getrandbits(64):016x}"
    return {
        "id": post_id, "category": {"id": 13, "name": rng.choice(CATEGORIES), "count": 127, "description": "Short",
        "image_url": "https://socialverse-assets.s3.us-east-1.amazonaws.com/categories/flic.png"}, "topic": [],
        "slug": f"{rng.getrandbits(160):040x}", "title": "a walk in the rain #mood #rain"[: rng.randrange(31)],
        "identifier": f"{rng.getrandbits(40):010x}", "comment_count": 0, "upvote_count": 9, "view_count": 245,
        "exit_count": 133, "rating_count": 0, "average_rating": 98, "share_count": 4, "bookmark_count": 1,
        "video_link": f"{media}.mp4", "thumbnail_url": f"{media}.jpg", "gif_thumbnail_url": f"{media}.gif",
        "contract_address": "", "chain_id": "", "chart_url": "", "baseToken": {"address": "", "name": "", "symbol": "",
        "image_url": ""}, "is_locked": False, "is_available_in_public_feed": True, "created_at": NEWEST_MS - post_id,
        "first_name": "Ada", "last_name": "Lovelace", "username": f"author{post_id % 900}", "user_type": "hirer",
        "has_evm_wallet": False, "has_solana_wallet": False, "upvoted": False, "bookmarked": False, "following": False,
        "picture_url": f"https://assets.socialverseapp.com/profile/author{post_id % 900}.jpg", "post_summary": [],
        "tags": [], "source_matrix": [],
    }  # fmt: skip


def fill(port: int, users: int, events: int, count: int) -> None:
    """Writes everything, in as many processes as there are cores."""
    shares = [*range(0, users, max(users // 20 // CHUNK, 1) * CHUNK), users]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        parts = pool.map(write_users, repeat(port), shares, shares[1:], repeat(events), repeat(count))
        touched = np.zeros((len(INTERACTION_TYPES), count + 1), np.int64)
        for number, part in enumerate(parts, 1):
            touched += part
            print(f"\r{number} of {len(shares) - 1} shares of users", end="", flush=True)
        print()
        partitions = range(PARTITIONS)
        pages = [pool.submit(write_posts, port, each, users, events, count, touched) for each in partitions]
        pages += [pool.submit(write_event_ids, port, each) for each in partitions]
        for page in pages:
            page.result()


async def weigh(port: int, count: int) -> tuple[redis_memory.RedisMemory, list[int]]:
    """What Redis holds, and the lengths of two thousand rows of neighbours."""
    client = redis.asyncio.Redis(port=port)
    found = await redis_memory.measure(client, PARTITIONS)
    lengths = []
    for post_id in range(1, count + 1, max(count // 2_000, 1)):
        stored = await client.get(keys.neighbours(post_owner(post_id, PARTITIONS), post_id))
        lengths.append(len(Neighbours.decode(stored).weights))
    await client.aclose()
    return found, sorted(lengths)


def measure(users: int, events: int, count: int) -> dict[str, object]:
    """Bytes of one size, on a Redis of its own."""
    port, started = free_port(), time.perf_counter()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        child = valkey.child(Path(folder), port)
        # The last of an option holds. The disk is not what is measured here.
        child = replace(child, command=[*child.command, "--appendonly", "no"])
        with running(child, Path(folder) / "log"):
            empty = Redis(port=port).info("memory")["used_memory"]
            fill(port, users, events, count)
            found, lengths = asyncio.run(weigh(port, count))
    used = found.used - empty
    for kind, weight in found.kinds.items():
        print(
            f"{kind:<15}{weight.keys:>12,} keys{weight.bytes / 2**20:>10.1f} MiB",
            f"{weight.bytes / weight.keys:>10.0f} bytes each",
        )
    rest = used - sum(weight.bytes for weight in found.kinds.values())
    print(f"of no kind{rest / 2**20:>32.1f} MiB")
    print(f"used_memory    {found.keys:>12,} keys{used / 2**20:>10.1f} MiB", flush=True)
    return {
        "users": users, "events_each": events, "posts": count, "used_bytes": used,
        "neighbours_a_row_p1_p50": [lengths[len(lengths) // 100], lengths[len(lengths) // 2]],
        "kinds": {kind: {"keys": weight.keys, "bytes": weight.bytes} for kind, weight in found.kinds.items()},
        "seconds": round(time.perf_counter() - started),
    }  # fmt: skip


def line_through(sizes: list[dict[str, object]]) -> dict[str, float]:
    """Fixed bytes and bytes a user by least squares, what that makes at the goal's size, and how far
    off it the farthest size is, as a share of that."""
    users, used = (np.array([float(size[name]) for size in sizes]) for name in ("users", "used_bytes"))
    slope, fixed = np.polyfit(users, used, 1)
    reckoned = fixed + slope * GOAL_USERS
    return {
        "fixed_bytes": round(fixed), "bytes_a_user": round(slope, 1), "at_goal_bytes": round(reckoned),
        "ratio_to_goal": round(reckoned / GOAL, 3),
        "off_the_line": round(np.abs((fixed + slope * users) / used - 1).max(), 4),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--users", type=int, nargs="+", default=[50_000, 100_000, 200_000], help=f"in steps of {CHUNK:,}"
    )
    parser.add_argument("--events", type=int, default=50, help="of each user")
    arguments = parser.parse_args()
    sizes = []
    for wanted in arguments.users:
        users = max(wanted // CHUNK, 1) * CHUNK
        sizes.append(measure(users, arguments.events, users // USERS_A_POST))
    last = sizes[-1]
    reckoned = (
        line_through(sizes)
        if len(sizes) > 1
        else {"ratio_to_goal": round(last["used_bytes"] / (GOAL * last["users"] / GOAL_USERS), 3)}
    )
    last_line({**reckoned, "goal_bytes": round(GOAL), "sizes": sizes})


if __name__ == "__main__":
    main()
