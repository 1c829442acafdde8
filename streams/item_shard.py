"""The posts of one partition as the worker holds them: counters, neighbours, trending, and the mark."""

from array import array
from collections.abc import Iterable
from itertools import islice
from typing import Any

from redis.asyncio import Redis

from online_models.co_visitation import CoVisitation
from online_models.decayed_counters import DecayedCounters, trending_score
from schemas import keys, marks, posts
from schemas.item_state import ItemState, Neighbours
from schemas.posts import Post
from schemas.trending import ALL, WINDOWS

from .commit import Command, Committer

MOST_ITEMS = 20_000
"""Posts kept between batches, a partition: 12 KB each with 100 neighbours."""
MOST_CATEGORIES = 256
TOP = 500
"""Posts kept in a trending set."""
MOST_IN_MSET = 2_000
"""Keys and values; Lua's unpack takes some 8,000."""
MOST_CHANGES = 4_096
"""Entries of the change stream; a mirror that is further behind loads everything again."""


class ItemShard:
    """Two estimators over the posts of a partition; loads what a batch touches, writes what it changed."""

    def __init__(self, redis: Redis, partition: int, stored_mark: bytes, categories: set[str]) -> None:
        self._redis = redis
        self._partition = partition
        self._stored_mark = stored_mark
        self._categories = categories
        self.mark = marks.decode_items_mark(stored_mark)
        self.counters = DecayedCounters()
        self.co_visitation = CoVisitation()
        self._rows: dict[int, Post | None] = {}
        self._left: list[tuple[int, str]] = []

    @classmethod
    async def load(cls, redis: Redis, partition: int) -> "ItemShard":
        stored: Any = await redis.get(keys.items_mark(partition)) or b""
        names: Any = await redis.smembers(keys.categories(partition))
        return cls(redis, partition, stored, {name.decode() for name in names})

    async def load_items(self, post_ids: Iterable[int]) -> None:
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
            self.co_visitation.rows[post_id] = Neighbours.decode(neighbours).weights
            self.co_visitation.strengths[post_id] = item.strength

    def change_post(self, post_id: int, post: Post | None) -> None:
        """Takes a new row of a post, or its deletion (None). Its counters stay: a post may come back."""
        item = self.counters.items[post_id]
        category = post.category if post else ""
        if item.known and item.category != category:
            self._left.append((post_id, item.category))
        if post is None:
            self._left.append((post_id, ALL))
        item.known, item.category = post is not None, category
        self._rows[post_id] = post

    async def commit(self, committer: Committer, touched: set[int], followed: set[int]) -> None:
        """Writes the posts whose counters (`touched`) or neighbours (`followed`) changed, and the new mark."""
        tag = self._partition
        commands: list[Command] = []
        for post_id, post in self._rows.items():
            commands += self._row_commands(post_id, post)
        items, rows = self.counters.items, self.co_visitation.rows
        for post_id in touched:
            items[post_id].strength = self.co_visitation.strengths.get(post_id, 0.0)
        values = [(post_id, keys.item_state(tag, post_id), items[post_id].encode()) for post_id in touched]
        values += [(post_id, keys.neighbours(tag, post_id), Neighbours(rows[post_id]).encode()) for post_id in followed]
        commands += self._set_commands(values)
        commands += self._trending_commands(touched)
        changes = {"rows": self._rows, "states": touched, "neighbours": followed}
        fields = [part for name, ids in changes.items() if ids for part in (name, array("q", ids).tobytes())]
        if fields:
            commands.append(("XADD", keys.item_changes(tag), "MAXLEN", "~", MOST_CHANGES, "*", *fields))
        mark = marks.encode(self.mark)
        await committer.commit(keys.items_mark(tag), self._stored_mark, mark, commands)
        self._stored_mark = mark
        self._rows, self._left = {}, []
        self._evict()

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
        if not category or (category not in self._categories and len(self._categories) >= MOST_CATEGORIES):
            return (ALL,)
        self._categories.add(category)
        return ALL, category

    def _set_commands(self, values: list[tuple[int, str, bytes]]) -> list[Command]:
        """Known posts in MSETs, as packing a SET of its own costs redis-py twice as much; the others with a TTL."""
        items = self.counters.items
        commands: list[Command] = [
            ("SET", key, value, "EX", keys.UNKNOWN_ITEM_TTL_SECONDS)
            for post_id, key, value in values
            if not items[post_id].known
        ]
        known: list[str | bytes] = []
        for post_id, key, value in values:
            if items[post_id].known:
                known += (key, value)
        commands += [("MSET", *known[at : at + MOST_IN_MSET]) for at in range(0, len(known), MOST_IN_MSET)]
        return commands

    def _evict(self) -> None:
        items = self.counters.items
        for post_id in list(islice(items, max(len(items) - MOST_ITEMS, 0))):
            del items[post_id]
            self.co_visitation.rows.pop(post_id, None)
            self.co_visitation.strengths.pop(post_id, None)
