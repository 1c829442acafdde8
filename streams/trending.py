"""The trending publisher: a ranked snapshot of each category to the topic `trending`, each time its order changes.

The owner of partition 0 of `item-signals` publishes for all: it merges the sorted sets that each partition keeps.
"""

import asyncio
import time
from typing import Any

from schemas import keys, topics, trending
from schemas.trending import ALL, DEFAULT_WINDOW, WINDOWS, TrendingPost, TrendingSnapshot

from .producing import Outgoing, send_in_order
from .services import LearnServices

SHOWN = 50


class TrendingPublisher:
    """Remembers the last order of each category, to tell what moved."""

    def __init__(self, services: LearnServices) -> None:
        self._services = services
        self._last: dict[str, list[int]] = {}

    async def publish(self) -> int:
        """Publishes what has changed since the last call; returns the number of snapshots sent."""
        redis, partitions = self._services.redis, range(self._services.partitions)
        named: Any = await asyncio.gather(*(redis.smembers(keys.categories(tag)) for tag in partitions))
        categories = [ALL, *sorted({name.decode() for names in named for name in names})]
        snapshots = [
            snapshot for category in categories if (snapshot := await self._snapshot(category, time.time())) is not None
        ]
        await send_in_order(
            self._services.producer,
            [Outgoing(topics.TRENDING, None, snap.category.encode(), trending.encode(snap)) for snap in snapshots],
        )
        for snapshot in snapshots:
            self._last[snapshot.category] = [post.post_id for post in snapshot.posts]
        return len(snapshots)

    async def _snapshot(self, category: str, now: float) -> TrendingSnapshot | None:
        names = [keys.trending(tag, DEFAULT_WINDOW, category) for tag in range(self._services.partitions)]
        parts: Any = await asyncio.gather(
            *(self._services.redis.zrange(name, 0, SHOWN - 1, desc=True, withscores=True) for name in names)
        )
        top = sorted((pair for part in parts for pair in part), key=lambda pair: (-pair[1], int(pair[0])))[:SHOWN]
        order = [int(post_id) for post_id, _ in top]
        before = self._last.get(category, [])
        if order == before:
            return None
        places = {post_id: place for place, post_id in enumerate(before)}
        half_life = WINDOWS[DEFAULT_WINDOW]
        return TrendingSnapshot(
            category=category,
            window=DEFAULT_WINDOW,
            at=now,
            posts=[
                TrendingPost(
                    post_id=post_id,
                    rank=place + 1,
                    score=2.0 ** (score - now / half_life),
                    moved=places[post_id] - place if post_id in places else None,
                )
                for place, (post_id, (_, score)) in enumerate(zip(order, top, strict=True))
            ],
        )
