"""The posts of a partition in memory: bounded, and what left them goes on from what Redis has."""

import pytest

from online_models.user_history import Effect
from schemas import keys
from schemas.item_state import ItemState
from schemas.marks import ItemsMark
from schemas.signals import Touches
from streams.commit import SET_EXPIRING
from streams.item_shard import MOST_ITEMS, ItemShard
from streams.touch_writer import TouchWriter

AT = 1_795_000_000.0


class FakeRedis(dict):
    """Values, and the commits that write them."""

    async def mget(self, names):
        return [self.get(name) for name in names]

    async def commit(self, mark_key, expected, mark, commands):
        for name, *arguments in commands:
            if name == SET_EXPIRING:
                self.update(zip(arguments[1::2], arguments[2::2], strict=True))
            elif name == "MSET":
                self.update(zip(arguments[::2], arguments[1::2], strict=True))


def touches(pairs: list[tuple[int, int]]) -> Touches:
    """A like of each first post after one of each second."""
    writer = TouchWriter(1)
    for offset, (post_id, before) in enumerate(pairs):
        writer.add(offset, 0, post_id, AT, 1, Effect(1, 3.0, 3.0, [before]))
    ((_, told),) = writer.split()
    return told


async def test_posts_beyond_the_bound_leave_memory_and_go_on_from_what_redis_has():
    redis, last = FakeRedis(), MOST_ITEMS + 10
    shard = ItemShard(redis, 0, "log", b"", ItemsMark(), set())
    await shard.learn_touches(touches([(post_id, last) for post_id in range(1, last)]))
    await shard.commit(redis, 0)
    held = shard.counters.items.keys()
    assert len(held) == MOST_ITEMS
    assert held == shard.co_visitation.rows.places.rows.keys() >= shard.co_visitation.strengths.keys()
    gone = next(post_id for post_id in range(1, last) if post_id not in held)
    strength = ItemState.decode(redis[keys.item_state(0, gone)]).strength
    assert strength > 0
    await shard.learn_touches(touches([(gone, last)]))
    await shard.commit(redis, 1)
    again = ItemState.decode(redis[keys.item_state(0, gone)])
    assert (again.counts, again.strength) == ({1: 2}, pytest.approx(2 * strength))
    assert shard.co_visitation.row(gone) == {last: pytest.approx(strength)}
