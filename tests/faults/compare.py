"""Compares Redis and PostgreSQL with the model: each difference is a line that names what differs and how."""

import math
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime

import asyncpg
import msgspec
from redis.asyncio import Redis

from online_models.co_visitation import KEEP, SLACK
from online_models.decayed_counters import HALF_LIVES
from schemas import keys
from schemas import posts as post_rows
from schemas.item_state import ItemState, Neighbours
from schemas.posts import Post
from schemas.topics import owner
from schemas.trending import ALL, WINDOWS
from schemas.user_state import UserState

from .model import Expected, ExpectedPost
from .system import PARTITIONS

TOLERANCE = 1e-6
SINGLE = 1e-5
"""Neighbours are kept in single precision, and rounded each time a row is read and written again."""
TOP = 20
OVERLAP = 0.99
"""Of the weight of the top neighbours: rows are pruned in the order in which partitions were read, which the log does
not tell."""
_ROWS = """SELECT username, event_id, post_id, interaction_type, interaction_value, occurred_at, recommendation_id,
session_id, source, log_partition, log_offset, log_index FROM interactions"""
_POSTS = "SELECT id, title, category, author, servable FROM posts"


async def differences(redis: Redis, record: asyncpg.Connection, expected: Expected) -> list[str]:
    """Empty when everything is as the log says."""
    found: list[str] = []
    found += [line async for line in _users(redis, expected)]
    states = {post_id: ItemState.decode(await redis.get(_item(post_id))) for post_id in expected.posts}
    for post_id, post in expected.posts.items():
        found += _post(post_id, states[post_id], post, expected.co_visitation.strengths.get(post_id, 0.0))
    found += await _catalogue(redis, expected)
    found += await _trending(redis, expected)
    found += await _neighbours(redis, expected)
    found += await _record(record, expected)
    return found


async def _users(redis: Redis, expected: Expected) -> AsyncIterator[str]:
    names = {keys.user_state(owner(name, PARTITIONS), name): name for name in expected.users}
    patterns = [keys.user_state(partition, "*") for partition in range(PARTITIONS)]
    stored = {key.decode() for pattern in patterns for key in await redis.keys(pattern)}
    for key in stored - set(names):
        yield f"{key} is there, and the log has no such user"
    for key, name in names.items():
        state, user = UserState.decode(await redis.get(key)), expected.users[name]
        pairs = (
            ("events", state.events, user.events), ("history", list(state.history), user.history),
            ("seen", sorted(state.seen), sorted(user.seen)), ("reactions", state.reactions, user.standing),
            ("excluded", sorted(state.excluded), sorted(user.excluded)),
        )  # fmt: skip
        for what, is_, should in pairs:
            if is_ != should:
                yield f"user {name!r}: {what}: {_unlike(is_, should)}"


def _post(post_id: int, state: ItemState, post: ExpectedPost, strength: float) -> Iterator[str]:
    if state.counts != dict(post.counts):
        yield f"post {post_id}: counts {dict(sorted(state.counts.items()))}, log {dict(sorted(post.counts.items()))}"
    if state.known != (post.row is not None):
        yield f"post {post_id}: known is {state.known}, the log says {post.row is not None}"
    if post.row and state.category != post.row.category:
        yield f"post {post_id}: category {state.category!r}, log {post.row.category!r}"
    if abs(state.at - post.at) > 1e-3:
        yield f"post {post_id}: newest event at {state.at}, log {post.at}"
    scales = post.decayed(absolute=True)
    for half, is_, should, scale in zip(HALF_LIVES, state.decayed, post.decayed(), scales, strict=True):
        if abs(is_ - should) > TOLERANCE * scale:
            yield f"post {post_id}: decayed sum of {half:.0f} s is {is_!r}, log {should!r}"
    if not math.isclose(state.strength, strength, rel_tol=TOLERANCE):
        yield f"post {post_id}: strength {state.strength!r}, log {strength!r}"


async def _catalogue(redis: Redis, expected: Expected) -> list[str]:
    found = []
    known = {post_id: post.row for post_id, post in expected.posts.items() if post.row is not None}
    members = {int(each) for partition in range(PARTITIONS) for each in await redis.smembers(keys.post_ids(partition))}
    if members != set(known):
        found.append(f"the set of posts: {_unlike(sorted(members), sorted(known))}")
    for post_id in expected.posts:
        stored = await redis.get(keys.post_row(_owner(post_id), post_id))
        row, should = post_rows.decode(stored) if stored else None, known.get(post_id)
        if row != should and not (row and should and _plain(row) == _plain(should)):
            found.append(f"post {post_id}: row {row}, log {should}")
    return found


async def _trending(redis: Redis, expected: Expected) -> list[str]:
    """Known posts with a sum are ranked, in `all` and in their category and nowhere else."""
    should: dict[tuple[str, str], dict[int, float | None]] = {}
    for post_id, post in expected.posts.items():
        if post.row is None:
            continue
        for window, half, total, scale in zip(WINDOWS, HALF_LIVES, post.decayed(), post.decayed(True), strict=True):
            # Next to nothing, or what rounding leaves of a difference, has no logarithm to compare.
            score = math.log2(total) + post.at / half if total > max(1e-3 * scale, 1e-6) else None
            for category in {ALL, post.row.category or ALL}:
                should.setdefault((window, category), {})[post_id] = score
    patterns = [keys.trending(partition, "*", "*") for partition in range(PARTITIONS)]
    stored: dict[tuple[str, str], dict[int, float]] = {}
    for name in [name.decode() for pattern in patterns for name in await redis.keys(pattern)]:
        window, category = name.split(":")[-2:]
        members = await redis.zrange(name, 0, -1, withscores=True)
        stored.setdefault((window, category), {}).update({int(post_id): score for post_id, score in members})
    found = []
    for named in sorted(set(should) | set(stored)):
        is_, scores = stored.get(named, {}), should.get(named, {})
        if set(is_) != set(scores):
            found.append(f"trending {named}: {_unlike(sorted(is_), sorted(scores))}")
        found += [
            f"trending {named}: post {post_id} has {is_[post_id]!r}, log {score!r}"
            for post_id, score in scores.items()
            if score is not None and post_id in is_ and abs(is_[post_id] - score) > 1e-5
        ]
    return found


async def _neighbours(redis: Redis, expected: Expected) -> list[str]:
    """No weight is above that of all evidence together; a row never pruned has it all; the top is the log's."""
    same, total, found = 0.0, 0.0, []
    for post_id, evidence in expected.evidence.items():
        stored = Neighbours.decode(await redis.get(keys.neighbours(_owner(post_id), post_id))).weights
        above = [other for other, weight in stored.items() if weight > evidence.get(other, 0.0) * (1 + SINGLE)]
        if above:
            found.append(f"post {post_id}: neighbours {above[:5]} have more weight than the log gives them")
        whole = len(evidence) <= KEEP + SLACK
        below = [other for other, weight in evidence.items() if stored.get(other, 0.0) < weight * (1 - SINGLE)]
        if whole and below:
            found.append(f"post {post_id}: neighbours {below[:5]} have less weight than the log gives them")
        row = expected.co_visitation.row(post_id)
        top = sorted(row, key=row.__getitem__, reverse=True)[:TOP]
        theirs = set(sorted(stored, key=stored.__getitem__, reverse=True)[:TOP])
        same += sum(row[other] for other in top if other in theirs)
        total += sum(row[other] for other in top)
    if same < OVERLAP * total:
        found.append(f"neighbours: {same / total:.4f} of the weight of the strongest {TOP} is the log's")
    return found


async def _record(record: asyncpg.Connection, expected: Expected) -> list[str]:
    stored = {(row["username"], row["event_id"]): tuple(row)[2:] for row in await record.fetch(_ROWS)}
    should = {
        name: (
            entry.event.post_id, entry.event.interaction_type, entry.value, datetime.fromtimestamp(entry.at, UTC),
            entry.event.recommendation_id, entry.event.session_id, entry.event.source, entry.partition, entry.offset,
            entry.index,
        )
        for name, entry in expected.rows.items()
    }  # fmt: skip
    found = [f"PostgreSQL lacks {name}: {should[name]}" for name in should.keys() - stored.keys()]
    found += [f"PostgreSQL has {name}, the log doesn't: {stored[name]}" for name in stored.keys() - should.keys()]
    found += [
        f"PostgreSQL has {name} as {stored[name]}, log {should[name]}"
        for name in stored.keys() & should.keys()
        if stored[name] != should[name]
    ]
    posts = {row["id"]: tuple(row)[1:] for row in await record.fetch(_POSTS)}
    rows = {post_id: post.row for post_id, post in expected.posts.items() if post.row is not None}
    known = {post_id: (row.title, row.category, row.author, row.servable) for post_id, row in rows.items()}
    if posts != known:
        unlike = sorted(post_id for post_id in posts.keys() | known.keys() if posts.get(post_id) != known.get(post_id))
        found.append(f"PostgreSQL's posts differ: {unlike}")
    return found


def _owner(post_id: int) -> int:
    return owner(str(post_id), PARTITIONS)


def _item(post_id: int) -> str:
    return keys.item_state(_owner(post_id), post_id)


def _plain(row: Post) -> dict[str, object]:
    """With the item as an object: a row that came back from PostgreSQL has its fields in another order."""
    return {**msgspec.structs.asdict(row), "item": msgspec.json.decode(row.item)}


def _unlike(is_: object, should: object) -> str:
    """Only what differs of two collections."""
    if not isinstance(is_, list | dict) or not isinstance(should, list | dict):
        return f"{is_}, log {should}"
    mine, theirs = list(_items(is_)), list(_items(should))
    more = [each for each in mine if each not in theirs]
    less = [each for each in theirs if each not in mine]
    if not more and not less:
        return f"another order or number: {len(mine)} and {len(theirs)}"
    return f"{len(mine)} and {len(theirs)}; not in the log {more[:5]}, only in the log {less[:5]}"


def _items(collection: list[object] | dict[object, object]) -> Iterable[object]:
    return collection.items() if isinstance(collection, dict) else collection
