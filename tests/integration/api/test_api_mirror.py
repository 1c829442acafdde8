"""The mirror against a real Valkey: it follows, and notices when it can't have seen everything."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.catalogue import Catalogue
from api.metrics import Metrics
from api.mirror import REBUILDING, Mirror
from api.redis import RedisBytes, connection
from api.serving import cancel
from schemas import generation, keys, topics
from schemas.generation import Generation

PARTITIONS = 4


@pytest.fixture
def own_url(valkey: str) -> str:
    return valkey.rsplit("/", 1)[0] + "/6"


@pytest.fixture
def writer(worker: Any, own_url: str) -> Any:
    """A worker that writes to a database of its own, empty at first."""
    writer = type(worker)(own_url)
    writer.redis.flushdb()
    return writer


@pytest.fixture
async def redis(own_url: str) -> AsyncIterator[RedisBytes]:
    opened = connection(own_url, 5.0)
    yield opened
    await opened.aclose()


async def run_until(mirror: Mirror, until: Any, *post_ids: int) -> None:
    """Runs the mirror until it knows exactly these posts, and stops it there."""

    async def known() -> bool:
        posts = [post.id for post in mirror.catalogue.posts if post is not None]
        return sorted(posts) == list(post_ids) and mirror.problem is None

    running = asyncio.create_task(mirror.run())
    await until(known)
    await cancel([running])


async def test_a_mirror_that_was_away_catches_up_without_a_reload(redis: RedisBytes, writer: Any, until: Any) -> None:
    mirror = Mirror(redis, PARTITIONS, Metrics())
    writer.post(1)
    await run_until(mirror, until, 1)
    before = mirror.catalogue
    writer.post(2)
    writer.counts(2, 5.0)
    writer.neighbours(2, {1: 3.0})
    writer.delete(1)
    await run_until(mirror, until, 2)
    assert mirror.catalogue is before
    slot = before.slots[2]
    assert before.decayed[slot].tolist() == [5.0] * 3
    assert before.neighbours.of(slot)[0][0] == before.slots[1]


async def test_posts_come_in_pieces_and_what_can_not_be_read_is_left_out_alone(
    redis: RedisBytes, writer: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("SCANNED", 3), ("CHUNK", 4), ("AT_ONCE", 3)):
        monkeypatch.setattr(f"api.mirror.{name}", size)
    good = [post_id for post_id in range(1, 41) if post_id not in (7, 20)]
    for post_id in range(1, 41):
        writer.post(post_id)
        writer.counts(post_id, float(post_id))
        writer.neighbours(post_id, {post_id % 40 + 1: 3.0})
    damaged, gone = topics.owner("7", PARTITIONS), topics.owner("20", PARTITIONS)
    for key in (keys.post_row, keys.item_state, keys.neighbours):
        writer.redis.set(key(damaged, 7), b"damaged")
    writer.redis.delete(keys.post_row(gone, 20))
    mirror = Mirror(redis, PARTITIONS, Metrics())
    await run_until(mirror, until, *good)
    catalogue = mirror.catalogue
    assert catalogue.size == len(catalogue.slots) == 40
    for post_id, slot in catalogue.slots.items():
        near = catalogue.ids[catalogue.neighbours.of(slot)[0]].tolist()
        assert (catalogue.decayed[slot, 0], near) == ((post_id, [post_id % 40 + 1]) if post_id != 7 else (0.0, []))


async def test_a_catalogue_is_prepared_for_once_it_has_its_slots_and_before_it_serves(
    redis: RedisBytes, writer: Any, until: Any
) -> None:
    for post_id in (1, 2, 3):
        writer.post(post_id)
    mirror = Mirror(redis, PARTITIONS, Metrics())
    found: list[tuple[Any, set[int], bool]] = []

    async def prepare(catalogue: Catalogue) -> None:
        await asyncio.sleep(0.05)
        found.append((catalogue, {*catalogue.slots}, mirror.catalogue is catalogue))

    mirror.prepare = prepare
    await run_until(mirror, until, 1, 2, 3)
    assert found == [(mirror.catalogue, {1, 2, 3}, False)]


async def test_posts_that_somebody_met_come_first(redis: RedisBytes, writer: Any, until: Any) -> None:
    for post_id in range(1, 9):
        writer.post(post_id)
    for post_id in (4, 7):
        writer.counts(post_id, 5.0)
        writer.neighbours(post_id, {1: 3.0})
    mirror = Mirror(redis, PARTITIONS, Metrics())
    await run_until(mirror, until, *range(1, 9))
    catalogue = mirror.catalogue
    assert {*catalogue.ids[:2].tolist()} == {4, 7}
    assert catalogue.decayed[:3, 0].tolist() == [5.0, 5.0, 0.0]
    assert catalogue.ids[catalogue.neighbours.of(0)[0]].tolist() == [1]


async def test_entries_that_were_trimmed_unread_cause_a_reload(redis: RedisBytes, writer: Any, until: Any) -> None:
    mirror = Mirror(redis, PARTITIONS, Metrics())
    writer.post(1)
    await run_until(mirror, until, 1)
    before = mirror.catalogue
    writer.post(2)
    writer.delete(1)
    for partition in range(PARTITIONS):
        writer.redis.xtrim(keys.item_changes(partition), maxlen=0, approximate=False)
    await run_until(mirror, until, 2)
    assert mirror.catalogue is not before


async def test_a_redis_that_was_emptied_and_filled_again_causes_a_reload(
    redis: RedisBytes, writer: Any, until: Any
) -> None:
    mirror = Mirror(redis, PARTITIONS, Metrics())
    writer.post(1)
    await run_until(mirror, until, 1)
    writer.redis.flushdb()
    writer.post(3)
    await run_until(mirror, until, 3)


async def test_a_value_of_another_format_costs_nothing_but_itself(redis: RedisBytes, writer: Any, until: Any) -> None:
    mirror = Mirror(redis, PARTITIONS, Metrics())
    writer.post(1)
    writer.post(2)
    for partition in range(PARTITIONS):
        writer.redis.set(keys.item_state(partition, 1), b"\x96\x63")
    await run_until(mirror, until, 1, 2)


async def test_a_mirror_keeps_its_posts_while_the_state_is_rebuilt_and_then_reloads(
    redis: RedisBytes, writer: Any, until: Any
) -> None:
    def declare(name: str, ended_at: float) -> None:
        state = Generation(id=name, reason="test", started_at=1.0, ended_at=ended_at)
        writer.redis.set(keys.GENERATION, generation.encode(state))

    mirror = Mirror(redis, PARTITIONS, Metrics())
    declare("first", 2.0)
    writer.post(1)
    await run_until(mirror, until, 1)
    writer.redis.flushdb()
    running = asyncio.create_task(mirror.run())

    async def waits() -> bool:
        return mirror.problem == REBUILDING

    await until(waits)
    declare("second", 0.0)
    writer.post(2)
    await asyncio.sleep(1.5)
    assert mirror.catalogue.has_row(1)
    assert mirror.degraded
    declare("second", 3.0)
    running.cancel()
    await run_until(mirror, until, 2)
