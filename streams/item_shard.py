"""The posts of one partition as the worker holds them: counters, neighbours, trending, and the mark."""

import asyncio
from array import array
from collections.abc import Iterable
from itertools import islice
from typing import Any

from redis.asyncio import Redis

from online_models.co_visitation import RANK_WEIGHTS, CoVisitation, growths
from online_models.decayed_counters import DecayedCounters, trending_score
from schemas import keys, marks, posts
from schemas.item_state import ItemState, Neighbours
from schemas.marks import ItemsMark
from schemas.posts import Post
from schemas.signals import PostChanged, Touches
from schemas.trending import ALL, WINDOWS

from . import neighbour_values
from .commit import SET_EXPIRING, Command, Committer
from .generations import current_mark

MOST_ITEMS = 20_000
"""Posts kept between batches, a partition: 2.8 KB each."""
MOST_CATEGORIES = 256
TOP = 500
"""Posts kept in a trending set."""
MOST_IN_MSET = 2_000
"""Keys and values; Lua's unpack takes some 8,000."""
MOST_CHANGES = 4_096
"""Entries of the change stream; a mirror that is further behind loads everything again."""
CHANGES_BYTES = 2 << 20
"""Of the change stream, roughly: under load an entry names thousands of posts, and 4,096 of those took 50 MB."""
LEAST_CHANGES = 16


class ItemShard:
    """Two estimators over the posts of a partition; loads what it is told about, writes what that changed.

    sources: `topic-partition` → the last event applied of it; whoever applies moves it, `commit` writes it.
    announce: whether mirrors are told what changed.
    """

    def __init__(
        self, redis: Redis, partition: int, log_id: str, stored_mark: bytes, mark: ItemsMark, categories: set[str],
        *, announce: bool = True,
    ) -> None:  # fmt: skip
        self._redis = redis
        self._partition = partition
        self._log_id = log_id
        self._stored_mark = stored_mark
        self._mark = mark
        self._categories = categories
        self._announce = announce
        self.sources = dict(mark.sources)
        self.counters = DecayedCounters()
        self.co_visitation = CoVisitation()
        self._touched: set[int] = set()
        self._rows: dict[int, Post | None] = {}
        self._left: list[tuple[int, str]] = []

    @classmethod
    async def load(cls, redis: Redis, partition: int, log_id: str) -> "ItemShard":
        stored, mark = await current_mark(redis, keys.items_mark(partition), ItemsMark)
        names: Any = await redis.smembers(keys.categories(partition))
        return cls(redis, partition, log_id, stored, mark, {name.decode() for name in names})

    @property
    def applied(self) -> int | None:
        """The offset of the last message applied; None when the state was just built: nothing older belongs to it."""
        return self._mark.applied(self._log_id) if self._mark.log else None

    @property
    def generation(self) -> str:
        return self._mark.generation

    async def learn_touches(self, touches: Touches) -> None:
        """Teaches the estimators; `commit` writes what that changed."""
        rows, neighbours = touches.pairs()
        touched = set(touches.post_id[touches.touched].tolist())
        await self._load_items({*touched, *self.co_visitation.rows.strangers(rows)})
        gains = touches.gain * growths(touches.at)
        self.co_visitation.learn_pairs(rows, neighbours, gains[touches.event] * RANK_WEIGHTS[touches.rank])
        strengths = self.co_visitation.strengths
        learn_one = self.counters.learn_one
        columns = (touches.post_id, touches.at, gains)
        for post_id, at, gain, code, delta, weight in zip(
            *(column[touches.touched].tolist() for column in columns),
            touches.type_code.tolist(), touches.delta.tolist(), touches.weight.tolist(), strict=True,
        ):  # fmt: skip
            learn_one(post_id, code, delta, weight, at)
            strengths[post_id] = strengths.get(post_id, 0.0) + gain
        self._touched |= touched
        await asyncio.sleep(0)

    async def learn_posts(self, changed: list[PostChanged]) -> None:
        """Takes new rows and deletions; `commit` writes them."""
        await self._load_items([each.post_id for each in changed])
        for each in changed:
            self._change_post(each.post_id, each.post)
            self._touched.add(each.post_id)

    async def _load_items(self, post_ids: Iterable[int]) -> None:
        missing = [post_id for post_id in post_ids if post_id not in self.counters.items]
        if not missing:
            return
        tag = self._partition
        stored: Any = await self._redis.mget(
            [keys.item_state(tag, post_id) for post_id in missing]
            + [keys.neighbours(tag, post_id) for post_id in missing]
        )
        for post_id, state, neighbours in zip(missing, stored, stored[len(missing) :], strict=False):
            self.counters.items[post_id] = item = ItemState.decode(state)
            self.co_visitation.load(post_id, *Neighbours.columns(neighbours))
            self.co_visitation.strengths[post_id] = item.strength

    def _change_post(self, post_id: int, post: Post | None) -> None:
        """Takes a new row of a post, or its deletion (None). Its counters stay: a post may come back."""
        item = self.counters.items[post_id]
        category = post.category if post else ""
        if item.known and item.category != category:
            self._left.append((post_id, item.category))
        if post is None:
            self._left.append((post_id, ALL))
        item.known, item.category = post is not None, category
        self._rows[post_id] = post

    async def commit(self, committer: Committer, offset: int) -> None:
        """Writes what changed and the new mark. Raises Conflict."""
        moved = ItemsMark(self.generation, self._log_id, offset, self.sources)
        payload = marks.encode(moved)
        await committer.commit(keys.items_mark(self._partition), self._stored_mark, payload, self._commands())
        self._stored_mark, self._mark = payload, moved
        self._touched, self._rows, self._left = set(), {}, []
        self.co_visitation.rows.changed[:] = False
        self._evict()

    def _commands(self) -> list[Command]:
        tag, touched, followed = self._partition, self._touched, self.co_visitation.rows.changed_posts()
        commands: list[Command] = []
        for post_id, post in self._rows.items():
            commands += self._row_commands(post_id, post)
        items = self.counters.items
        for post_id in touched:
            items[post_id].strength = self.co_visitation.strengths.get(post_id, 0.0)
        values = [(post_id, keys.item_state(tag, post_id), items[post_id].encode()) for post_id in touched]
        values += [
            (post_id, keys.neighbours(tag, post_id), value)
            for post_id, value in zip(followed, neighbour_values.encode(self.co_visitation.rows, followed), strict=True)
        ]
        commands += self._set_commands(values)
        commands += self._trending_commands(touched)
        if self._announce and (self._rows or touched or followed):
            commands.append(self._change_command(followed))
        return commands

    def _change_command(self, followed: list[int]) -> Command:
        """Tells the mirrors which posts changed; the stream keeps fewer entries the larger they are."""
        changes = {"rows": self._rows, "states": self._touched, "neighbours": followed}
        packed = {name: array("q", ids).tobytes() for name, ids in changes.items() if ids}
        fields = [part for name, ids in packed.items() for part in (name, ids)]
        return ("XADD", keys.item_changes(self._partition), "MAXLEN", "~", kept_changes(packed.values()), "*", *fields)

    def _row_commands(self, post_id: int, post: Post | None) -> list[Command]:
        tag = self._partition
        if post is None:
            return [
                ("DEL", keys.post_row(tag, post_id)),
                ("SREM", keys.post_ids(tag), post_id),
                ("EXPIRE", keys.neighbours(tag, post_id), keys.UNKNOWN_ITEM_TTL_SECONDS),
            ]
        return [
            ("SET", keys.post_row(tag, post_id), posts.encode(post)),
            ("SADD", keys.post_ids(tag), post_id),
            ("PERSIST", keys.neighbours(tag, post_id)),
        ]

    def _trending_commands(self, touched: set[int]) -> list[Command]:
        """Only posts that can be shown are ranked: known ones."""
        tag = self._partition
        commands: list[Command] = []
        ranked: set[str] = set()
        for post_id, category in self._left:
            commands += [("ZREM", keys.trending(tag, window, category or ALL), post_id) for window in WINDOWS]
        for post_id in touched:
            item = self.counters.items[post_id]
            if not item.known:
                continue
            for number, window in enumerate(WINDOWS):
                score = trending_score(item, number)
                for category in self._ranked_in(item.category):
                    ranked.add(category)
                    commands.append(("ZADD", keys.trending(tag, window, category), score, post_id))
        for category in ranked:
            commands += [("ZREMRANGEBYRANK", keys.trending(tag, window, category), 0, -TOP - 1) for window in WINDOWS]
            if category != ALL:
                commands.append(("SADD", keys.categories(tag), category))
        return commands

    def _ranked_in(self, category: str) -> tuple[str, ...]:
        if category in ("", ALL) or (category not in self._categories and len(self._categories) >= MOST_CATEGORIES):
            return (ALL,)
        self._categories.add(category)
        return ALL, category

    def _set_commands(self, values: list[tuple[int, str, bytes]]) -> list[Command]:
        """Known posts in MSETs; the others with a TTL."""
        items = self.counters.items
        known: list[str | bytes] = []
        unknown: list[str | bytes] = []
        for post_id, key, value in values:
            (known if items[post_id].known else unknown).extend((key, value))
        commands: list[Command] = [
            ("MSET", *known[at : at + MOST_IN_MSET]) for at in range(0, len(known), MOST_IN_MSET)
        ]
        if unknown:
            commands.append((SET_EXPIRING, keys.UNKNOWN_ITEM_TTL_SECONDS, *unknown))
        return commands

    def _evict(self) -> None:
        items = self.counters.items
        for post_id in list(islice(items, max(len(items) - MOST_ITEMS, 0))):
            del items[post_id]
            self.co_visitation.forget(post_id)


def kept_changes(packed: Iterable[bytes]) -> int:
    """How many entries the change stream keeps when one with these fields is added."""
    fitting = CHANGES_BYTES // sum(map(len, packed))
    return min(max(fitting, LEAST_CHANGES), MOST_CHANGES)
