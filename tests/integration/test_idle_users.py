"""Users who are idle leave Redis and come back from the record with their next event."""

from collections.abc import Iterator

import pytest
from live_system import PARTITIONS, System, client, event, eventually, running_system

from schemas import keys
from schemas.topics import owner

BASE = 9_800_000


@pytest.fixture(scope="module")
def system(own_kafka: str, valkey: str, postgres: str) -> Iterator[System]:
    two_seconds = str(2 / 86_400)
    with running_system(own_kafka, valkey, postgres, 8, USER_IDLE_DAYS=two_seconds) as system:
        yield system


async def test_an_idle_user_leaves_redis_and_comes_back_with_the_next_event(system: System):
    async with client(system) as here:
        for kind in ("like", "share"):
            await here.send(event("idle", BASE, kind), key="idle")
        key = keys.user_state(owner("idle", PARTITIONS), "idle")
        async for attempt in eventually():
            with attempt:
                assert (await here.item(BASE)).counts_by_type() == {"like": 1, "share": 1}
        async for attempt in eventually():
            with attempt:
                assert not await here.redis.exists(key)
        await here.send(event("idle", BASE, "like", 0.0), key="idle")
        async for attempt in eventually():
            with attempt:
                assert (await here.item(BASE)).counts_by_type() == {"like": 0, "share": 1}
        state = await here.user("idle")
        assert [past.interaction_type for past in state.history] == ["share"]
        assert state.events == 3
