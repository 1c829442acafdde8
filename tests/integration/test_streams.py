"""Both stages and the record, on Apache Kafka and on the embedded broker: what Redis and PostgreSQL hold afterwards
equals what the log says."""

import asyncio
import json
import os
import random
import shutil
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from live_system import PARTITIONS, Client, System, client, event, eventually, running_on

from schemas import dead_letters, keys, topics, trending
from schemas.events import NEGATIVE_TYPES
from schemas.topics import owner
from tests.conftest import KAFKA

BASE = 9_000_000
"""Posts of this module: the brokers are shared with other tests."""
EARLY = BASE + 302


@pytest.fixture(scope="module", params=["kafka", "tansu"])
def system(request: pytest.FixtureRequest, valkey: str, postgres: str) -> Iterator[System]:
    with running_on(request, valkey, postgres, kafka=15, tansu=14) as system:
        yield system


def load(rng: random.Random, users: list[str], posts: range, count: int) -> list[dict[str, object]]:
    """Events of every kind, with take-backs of what stands, late times and repeated ids."""
    standing: list[dict[str, object]] = []
    events: list[dict[str, object]] = []
    for second in range(count):
        roll = rng.random()
        if roll < 0.1 and standing:
            taken = standing.pop(rng.randrange(len(standing)))
            events.append(event(taken["username"], taken["post_id"], taken["interaction_type"], 0.0))
        elif roll < 0.2 and events:
            events.append(rng.choice(events))
            continue
        else:
            kind = rng.choice(["view", "like", "share", "bookmark", "rating", "not_interested", "exit"])
            value = {"view": rng.random(), "rating": float(rng.randrange(101))}.get(kind, 1.0)
            events.append(event(rng.choice(users), rng.choice(posts), kind, value))
            if kind not in ("view", "rating"):
                standing.append(events[-1])
        at = 1_795_000_000 + second - (rng.randrange(10_000) if rng.random() < 0.1 else 0)
        events[-1]["occurred_at"] = datetime.fromtimestamp(at, UTC).isoformat()
    return events


async def publish(here: Client, rng: random.Random, events: list[dict[str, object]]) -> None:
    """Sends them as different clients would: by owner, by CRC32, without a key, alone and in mixed arrays.

    Whatever the way, the events of one user keep their order only when they go the same way: so each user has a way.
    """
    at = 0
    while at < len(events):
        username = str(events[at]["username"])
        way = zlib.crc32(username.encode()) % 3
        if way == 0:
            await here.send(events[at], key=username)
            at += 1
            continue
        run = [events[at]]
        at += 1
        while way == 1 and at < len(events) and len(run) < 20:
            if zlib.crc32(str(events[at]["username"]).encode()) % 3 != 1:
                break
            run.append(events[at])
            at += 1
        # A foreign partitioner, always to the same wrong place: forwarded copies keep their order too.
        await here.send(
            run if len(run) > 1 else run[0], partition=zlib.crc32(username.encode()) % PARTITIONS if way == 2 else 0
        )


def expected(events: list[dict[str, object]]):
    """The model of the log: one entry an event id, take-backs subtracted."""
    unique = list({each["event_id"]: each for each in events}.values())
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    seen: dict[str, set[int]] = defaultdict(set)
    excluded: dict[tuple[str, int], int] = Counter()
    history: dict[str, Counter[tuple[int, str]]] = defaultdict(Counter)
    for each in unique:
        username, post_id, kind = each["username"], each["post_id"], each["interaction_type"]
        back = each["interaction_value"] == 0 and kind not in ("view", "rating")
        counts[post_id][kind] += -1 if back else 1
        history[username][post_id, kind] += -1 if back else 1
        if kind in NEGATIVE_TYPES:
            excluded[username, post_id] += -1 if back else 1
        elif not back:
            seen[username].add(post_id)
    return unique, counts, seen, {pair for pair, count in excluded.items() if count > 0}, history


async def assert_equal_to_the_log(here: Client, events: list[dict[str, object]]) -> None:
    unique, counts, seen, excluded, history = expected(events)
    async for attempt in eventually():
        with attempt:
            for post_id, count in counts.items():
                assert Counter((await here.item(post_id)).counts_by_type()) == count
    for username in {str(each["username"]) for each in unique}:
        state = await here.user(username)
        assert set(state.seen) == seen[username]
        assert {(username, post_id) for post_id in state.excluded} == {p for p in excluded if p[0] == username}
        remembered = Counter((past.post_id, past.interaction_type) for past in state.history)
        assert remembered == +history[username]
    ids = [each["event_id"] for each in unique]
    async for attempt in eventually():
        with attempt:
            rows = await here.record.fetch("SELECT event_id FROM interactions WHERE event_id = ANY($1::text[])", ids)
            assert len(rows) == len(ids)


async def test_counts_histories_and_rows_equal_the_log(system: System):
    rng = random.Random(7)
    users = [f"log-{number}" for number in range(25)]
    events = load(rng, users, range(BASE + 100, BASE + 140), 1500)
    async with client(system) as here:
        await publish(here, rng, events)
        await assert_equal_to_the_log(here, events)


async def test_a_worker_killed_in_the_middle_loses_nothing_and_counts_nothing_twice(system: System):
    rng = random.Random(8)
    users = [f"killed-{number}" for number in range(25)]
    events = load(rng, users, range(BASE + 200, BASE + 240), 1200)
    async with client(system) as here:
        publishing = asyncio.create_task(publish(here, rng, events))
        for role in ("learn", "record", "learn"):
            await asyncio.sleep(0.5)
            system.kill(role)
            system.start(role)
        await publishing
        await assert_equal_to_the_log(here, events)


async def test_an_event_without_an_id_or_a_time_counts_and_is_named_after_its_place(system: System):
    async with client(system) as here:
        partition, offset = await here.send(
            {"username": "bare", "post_id": BASE + 300, "interaction_type": "view"}, "bare"
        )
        async for attempt in eventually():
            with attempt:
                row = await here.record.fetchrow("SELECT * FROM interactions WHERE username = 'bare'")
                assert row is not None
        assert row["event_id"] == f"interactions-{partition}-{offset}"
        assert (row["log_partition"], row["log_offset"]) == (partition, offset)


async def test_bad_messages_become_dead_letters_with_reason_and_place_and_the_stream_goes_on(system: System):
    async with client(system) as here:
        bad = [await here.send(payload, partition=0) for payload in (b"\xff\xfe", b'{"username": "x"}', b"[[[", b"")]
        await here.send(event("after-bad", BASE + 301), key="after-bad")
        async for attempt in eventually():
            with attempt:
                assert (await here.user("after-bad")).events == 1
        consumer = AIOKafkaConsumer(
            bootstrap_servers=system.environment["KAFKA_BOOTSTRAP_SERVERS"], auto_offset_reset="earliest"
        )
        await consumer.start()
        consumer.assign([TopicPartition(topics.DEAD_LETTERS, partition) for partition in range(PARTITIONS)])
        letters = {}
        async for attempt in eventually():
            with attempt:
                for messages in (await consumer.getmany(timeout_ms=500)).values():
                    decoded = [dead_letters.decode(message.value) for message in messages]
                    letters |= {(each.partition, each.offset): each for each in decoded}
                assert set(bad) <= set(letters)
        await consumer.stop()
        assert letters[bad[0]].encoding == "base64"
        assert letters[bad[1]].field == "post_id"
        assert all(letters[place].reason for place in bad)


async def test_a_post_is_told_from_its_first_touch_and_shown_from_its_row_on(system: System):
    async with client(system) as here:
        await here.send(event("early", EARLY), key="early")
        async for attempt in eventually():
            with attempt:
                assert (await here.item(EARLY)).counts_by_type() == {"like": 1}
        assert not (await here.item(EARLY)).known
        row = json.dumps({"id": EARLY, "title": "late row", "category": "Flic"}).encode()
        await here.producer.send_and_wait(topics.POSTS, row, key=str(EARLY).encode())
        tag = owner(str(EARLY), PARTITIONS)
        async for attempt in eventually():
            with attempt:
                assert await here.redis.sismember(keys.post_ids(tag), str(EARLY))
                assert await here.redis.zscore(keys.trending(tag, "24h", "Flic"), str(EARLY)) is not None
        assert (await here.item(EARLY)).known
        await here.producer.send_and_wait(topics.POSTS, None, key=str(EARLY).encode())
        async for attempt in eventually():
            with attempt:
                assert not await here.redis.exists(keys.post_row(tag, EARLY))
                assert await here.redis.zscore(keys.trending(tag, "24h", "Flic"), str(EARLY)) is None
        assert (await here.item(EARLY)).counts_by_type() == {"like": 1}


async def test_posts_liked_together_become_neighbours_across_partitions(system: System):
    async with client(system) as here:
        for number in range(5):
            await here.send(
                [event(f"pair-{number}", BASE + 310), event(f"pair-{number}", BASE + 311)], key=f"pair-{number}"
            )
        async for attempt in eventually():
            with attempt:
                forward, backward = await here.neighbours(BASE + 310), await here.neighbours(BASE + 311)
                assert BASE + 311 in forward
                assert forward[BASE + 311] == pytest.approx(2 * backward[BASE + 310])


EXAMPLES = Path(__file__).parents[2] / "docs" / "contract" / "examples"
TRACE = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


def example(name: str, username: str) -> list[str]:
    """The command that runs an example; skips where its client is not there."""
    file = str(EXAMPLES / name)
    if name.endswith(".py"):
        return [sys.executable, file, username]
    if name.endswith(".sh"):
        if shutil.which("kcat") is None:
            pytest.skip("no kcat: tests/packages.sh installs it")
        return ["sh", file, username]
    if not (KAFKA.parent / "lib").is_dir() or shutil.which("java") is None:
        pytest.skip("no Java or no Kafka client beside the checkout")
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    return ["java", "-XX:TieredStopAtLevel=1", quiet, "-cp", f"{KAFKA.parent}/lib/*", file, username]


async def test_every_example_of_the_contract_publishes_an_event_that_counts(system: System):
    """All clients at once; the headers lie on the log as they were sent. The embedded broker takes aiokafka alone."""
    embedded = system.environment.get("KAFKA_IDEMPOTENCE") == "false"
    names = sorted(file.name for file in EXAMPLES.iterdir() if file.suffix == ".py" or not embedded)
    assert len(names) == (1 if embedded else 3)
    users = {name: f"example-{name.split('.')[0]}-{'tansu' if embedded else 'kafka'}" for name in names}
    running = [
        await asyncio.create_subprocess_exec(*example(name, user), env={**os.environ, **system.environment})
        for name, user in users.items()
    ]
    assert [await process.wait() for process in running] == [0] * len(names)
    async with (
        client(system) as here,
        AIOKafkaConsumer(
            bootstrap_servers=system.environment["KAFKA_BOOTSTRAP_SERVERS"], auto_offset_reset="earliest"
        ) as consumer,
    ):
        for user in users.values():
            async for attempt in eventually():
                with attempt:
                    history = (await here.user(user)).history
                    assert [(past.post_id, past.interaction_type) for past in history] == [(98, "like")]
        consumer.assign([TopicPartition(topics.INTERACTIONS, partition) for partition in range(PARTITIONS)])
        found: dict[str, list[tuple[int, dict[str, bytes]]]] = defaultdict(list)
        while found.keys() < set(users.values()):
            for tp, messages in (await consumer.getmany(timeout_ms=500)).items():
                for each in messages:
                    if (name := (each.key or b"").decode(errors="replace")) in users.values():
                        found[name].append((tp.partition, dict(each.headers)))
        for user, copies in found.items():
            # What a client put elsewhere is there twice: where it was put, and where its owner reads it.
            assert owner(user, PARTITIONS) in {partition for partition, _ in copies}
            for _, headers in copies:
                assert dict([TRACE, ("content-type", b"application/json"), ("schema-version", b"1")]).items() <= (
                    headers.items()
                )


async def test_trending_is_published_when_its_order_changes(system: System):
    async with client(system) as here:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=system.environment["KAFKA_BOOTSTRAP_SERVERS"], auto_offset_reset="earliest"
        )
        await consumer.start()
        consumer.assign([TopicPartition(topics.TRENDING, partition) for partition in range(PARTITIONS)])
        rows = json.dumps([{"id": post_id, "category": "Rising"} for post_id in (BASE + 320, BASE + 321)]).encode()
        await here.producer.send_and_wait(topics.POSTS, rows, key=b"9000320")
        for winner in (BASE + 320, BASE + 321):
            await here.send([event(f"crowd-{winner}-{n}", winner) for n in range(winner - BASE - 315)], key="crowd")
            async for attempt in eventually():
                with attempt:
                    found = [
                        snapshot.posts
                        for messages in (await consumer.getmany(timeout_ms=500)).values()
                        for snapshot in (trending.decode(message.value) for message in messages)
                        if snapshot.category == "Rising"
                    ]
                    assert any(posts and posts[0].post_id == winner for posts in found)
        await consumer.stop()
