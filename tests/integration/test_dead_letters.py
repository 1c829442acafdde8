"""Poison among good messages, on real brokers; what is resent counts once; PostgreSQL takes what survives reading."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from hypothesis import HealthCheck, Phase, given, settings
from live_system import PARTITIONS, Client, System, client, event, eventually, running_on
from poison import each_field_spoilt, values

from schemas import dead_letters, keys, topics
from schemas.dead_letters import DeadLetter
from schemas.migrate import migrate
from schemas.settings import Settings
from schemas.topics import IMPRESSIONS, INTERACTIONS, POSTS, USERS, owner
from streams.catalogue_log import CatalogueLogAgent
from streams.event_log import EventLogAgent
from streams.impression_log import ImpressionLogAgent
from streams.log_reader import LogReader
from streams.progress import Progress
from streams.record import Record

BASE = 9_500_000
"""Posts of this module: the brokers are shared with other tests."""
NOISE = random.Random(5)
BIG = 900_000
POISON = [
    b"", b"null", b"[[[", b"\xff\xfe", NOISE.randbytes(BIG), b"[" * BIG, b'{"a":' * (BIG // 5), b'"' * BIG,
    b"[" + b"1," * (BIG // 2) + b"1]",
    b'{"username":"ada","id":-1,"post_id":1' + b"0" * 1000 + b',"interaction_type":"like"}',
    b'{"username":"\\ud800","id":1e400}', b'{"username":"a\\u0000b","id":"x"}', b'{"username":NaN}',
    b'{"username":"ada","id":-1,"post_id":7,"interaction_type":"' + b" " * BIG + b'"}',
    b'{"username":"' + NOISE.randbytes(BIG // 2).hex().encode() + b'","id":0}',
    b'{"username":"","id":9223372036854775808,"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
]  # fmt: skip

BAD_KEYS = [b"a\0b", b"\xff", b"9" * 4000, b""]


@pytest.fixture(scope="module", params=["kafka", "tansu"])
def system(request: pytest.FixtureRequest, valkey: str, postgres: str) -> Iterator[System]:
    with running_on(request, valkey, postgres, kafka=13, tansu=12) as system:
        yield system


async def letters_of(system: System) -> dict[str, DeadLetter]:
    """All there are, by name."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=system.environment["KAFKA_BOOTSTRAP_SERVERS"], auto_offset_reset="earliest"
    )
    await consumer.start()
    consumer.assign([TopicPartition(topics.DEAD_LETTERS, partition) for partition in range(PARTITIONS)])
    found: dict[str, DeadLetter] = {}
    while batch := await consumer.getmany(timeout_ms=1000):
        for messages in batch.values():
            found |= {letter.name: letter for letter in (dead_letters.decode(each.value) for each in messages)}
    await consumer.stop()
    return found


def reelstream(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reelstream", "dead-letters", *arguments],
        env={**os.environ, **system.environment}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


async def test_no_poison_stops_the_stream(system: System):
    async with client(system) as here:
        places = []
        for number, poison in enumerate(POISON):
            for topic, good, key in (
                (INTERACTIONS, event(f"sound-{number}", BASE + number), f"sound-{number}"),
                (POSTS, {"id": BASE + number, "title": "sound"}, str(BASE + number)),
                (USERS, {"username": f"sound-{number}", "role": "U"}, f"sound-{number}"),
            ):
                home = owner(key, PARTITIONS)
                sent = await here.producer.send_and_wait(topic, poison, key=key.encode(), partition=home)
                places.append(f"{topic}-{sent.partition}-{sent.offset}-0")
                if topic != INTERACTIONS:
                    sent = await here.producer.send_and_wait(topic, None, key=BAD_KEYS[number % 4], partition=home)
                    places.append(f"{topic}-{sent.partition}-{sent.offset}-0")
                await here.producer.send_and_wait(topic, json.dumps(good).encode(), key=key.encode(), partition=home)
        for number in range(len(POISON)):
            await is_applied(here, f"sound-{number}", BASE + number)
        async for attempt in eventually():
            with attempt:
                letters = await letters_of(system)
                assert set(places) <= set(letters)
        assert all(letters[place].reason for place in places)
        assert {letters[place].size for place in places if letters[place].cut} >= {BIG}
        listed = reelstream(system, "list", "--topic", USERS, "--limit", "1000", "--json")
        named = {json.loads(line)["name"] for line in listed.stdout.splitlines()}
        assert {place for place in places if place.startswith(USERS)} <= named


async def is_applied(here: Client, username: str, post_id: int) -> None:
    async for attempt in eventually():
        with attempt:
            assert (await here.user(username)).events == 1
            assert (await here.item(post_id)).counts_by_type() == {"like": 1}
            assert await here.redis.exists(keys.post_row(owner(str(post_id), PARTITIONS), post_id))
            assert await here.redis.exists(keys.user_profile(owner(username, PARTITIONS), username))
            assert await here.record.fetchval("SELECT title FROM posts WHERE id = $1", post_id) == "sound"
            assert await here.record.fetchval("SELECT role FROM users WHERE username = $1", username) == "U"
            assert await here.record.fetchval("SELECT count(*) FROM interactions WHERE username = $1", username) == 1


async def write_letter(here: Client, payload: object, **place: object) -> str:
    """A letter whose fault is mended: what refused it then takes it now."""
    letter = DeadLetter.of(
        json.dumps(payload).encode(), reason="test_dead_letters", field="", produced_at=1_795_161_600.5,
        **{"topic": INTERACTIONS, "partition": 1, "offset": BASE, "index": 0} | place,
    )  # fmt: skip
    await here.producer.send_and_wait(topics.DEAD_LETTERS, dead_letters.encode(letter), key=letter.topic.encode())
    return letter.name


def bare(username: str, post_id: int) -> dict[str, object]:
    """Without an id and a time of its own."""
    return {"username": username, "post_id": post_id, "interaction_type": "like"}


async def counts(here: Client, post_id: int) -> int:
    """Likes of a post, once everything that was sent is applied: an event of a stranger comes after it."""
    username = f"last-{time.time_ns()}"
    for partition in range(PARTITIONS):
        late = next(f"{username}-{n}" for n in range(1000) if owner(f"{username}-{n}", PARTITIONS) == partition)
        await here.send(event(late, BASE + 990, "share"), key=late, partition=partition)
        async for attempt in eventually():
            with attempt:
                assert (await here.user(late)).events == 1
                assert await here.record.fetchval("SELECT count(*) FROM interactions WHERE username = $1", late) == 1
    return (await here.item(post_id)).counts_by_type().get("like", 0)


async def test_a_resent_event_counts_once_and_keeps_its_id_and_its_time(system: System):
    async with client(system) as here:
        name = await write_letter(here, bare("resent", BASE + 100))
        for _ in range(2):
            ran = await asyncio.to_thread(reelstream, system, "resend", name)
            assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "sent 1 to interactions"), ran
            async for attempt in eventually():
                with attempt:
                    assert (await here.item(BASE + 100)).counts_by_type() == {"like": 1}
        assert await counts(here, BASE + 100) == 1
        [row] = await here.record.fetch("SELECT * FROM interactions WHERE username = 'resent'")
        assert row["event_id"] == f"interactions-1-{BASE}"
        assert row["occurred_at"].timestamp() == 1_795_161_600.5


async def test_a_resent_entry_counts_once_beside_its_neighbours_that_were_applied(system: System):
    users = [f"neighbour-{number}" for number in range(3)]
    post_id = BASE + 101
    async with client(system) as here:
        sound = [bare(username, post_id) for username in users]
        partition, offset = await here.send([sound[0], {**sound[1], "post_id": "x"}, sound[2]], partition=0)
        assert await counts(here, post_id) == 2
        place = {"partition": partition, "offset": offset}
        entry = await write_letter(here, sound[1], index=1, of_array=True, **place)
        ran = await asyncio.to_thread(reelstream, system, "resend", entry)
        assert ran.returncode == 0, ran
        assert await counts(here, post_id) == 3
        # The whole array too, as a reader that refused all of it would have left it.
        whole = await write_letter(here, sound, **place)
        for name in (entry, whole):
            ran = await asyncio.to_thread(reelstream, system, "resend", name, "--reason", "TEST_dead")
            assert ran.returncode == 0, ran
        assert await counts(here, post_id) == 3
        rows = await here.record.fetch("SELECT event_id FROM interactions WHERE post_id = $1", post_id)
        assert {row["event_id"] for row in rows} == {f"interactions-{partition}-{offset}-{n}" for n in range(3)}


async def test_posts_and_users_are_resent_and_what_is_still_refused_is_told(system: System):
    async with client(system) as here:
        names = [
            await write_letter(here, {"id": BASE + 102, "title": "resent"}, topic=POSTS, offset=BASE + 1),
            await write_letter(here, {"username": "resent-user", "role": "R"}, topic=USERS, offset=BASE + 2),
            await write_letter(here, {"id": "x"}, topic=POSTS, offset=BASE + 3),
            await write_letter(here, "?", topic="item-signals", offset=BASE + 4),
        ]
        ran = await asyncio.to_thread(reelstream, system, "resend", *names)
        assert ran.returncode == 1
        assert f"refused {names[2]}: id: Expected `int`, got `str`" in ran.stdout
        assert f"refused {names[3]}: item-signals is written by reelstream alone" in ran.stdout
        assert ran.stdout.splitlines()[-2:] == [
            "4 letters: sending 1 to posts, 1 to users; still refused 2", "sent 1 to posts, 1 to users",
        ]  # fmt: skip
        async for attempt in eventually():
            with attempt:
                assert await here.record.fetchval("SELECT title FROM posts WHERE id = $1", BASE + 102) == "resent"
                assert await here.record.fetchval("SELECT role FROM users WHERE username = 'resent-user'") == "R"


async def test_a_letter_is_listed_and_shown_by_its_name(system: System):
    async with client(system) as here:
        name = await write_letter(here, {"text": "\x1b[2J" + "x" * 1000 + " the end"}, offset=BASE + 5)
        await write_letter(here, {"other": 1}, topic=USERS, offset=BASE + 6)
        later = "2999-01-01"
        assert name in reelstream(system, "list", "--topic", INTERACTIONS, "--until", later).stdout
        assert name not in reelstream(system, "list", "--topic", USERS).stdout
        assert reelstream(system, "list", "--since", later).stdout == "no dead letters\n"
        shown = reelstream(system, "show", name).stdout
        assert f"topic interactions, partition 1, offset {BASE + 5}, entry 0" in shown
        assert "the end" in shown
        assert "\x1b" not in shown
        unknown = reelstream(system, "show", "interactions-1-1-1")
        assert unknown.returncode == 1
        assert "reelstream: No dead letter is named interactions-1-1-1" in unknown.stderr
        assert "Say which letters" in reelstream(system, "resend").stderr


async def test_postgresql_takes_whatever_survives_reading(postgres: str):
    """Thousands of rows with something nasty in each field, through the agents that write the record."""
    connection = await asyncpg.connect(postgres)
    await connection.execute("CREATE DATABASE survivors")
    await connection.close()
    url = f"{postgres.rsplit('/', 1)[0]}/survivors"
    await migrate(url)
    async with asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
        services = SimpleNamespace(
            pool=pool, partitions=1, progress=Progress(), log_reader=LogReader(Settings()),
            log_ids=dict.fromkeys((INTERACTIONS, POSTS, USERS, IMPRESSIONS), "a log"),
        )  # fmt: skip
        for topic, agent in (
            (INTERACTIONS, EventLogAgent(services)), (POSTS, CatalogueLogAgent(services, POSTS)),
            (USERS, CatalogueLogAgent(services, USERS)), (IMPRESSIONS, ImpressionLogAgent(services)),
        ):  # fmt: skip
            records = [
                Record(topic, 0, offset, 1_795_381_200.0, b"k", told(topic, value, offset))
                for offset, value in enumerate([*each_field_spoilt(topic), *some(topic)])
            ]
            for start in range(0, len(records), 500):
                await agent.apply(0, records[start : start + 500])
            assert await pool.fetchval(f"SELECT count(*) FROM {topic}") > 500


def told(topic: str, value: bytes, offset: int) -> bytes:
    """The message with a key of its own, where it is a sound row otherwise: or each would replace the one before."""
    spoilt = {INTERACTIONS: (b'"event_id":"e"', b'"event_id":"e%d"'), POSTS: (b'"id":7,', b'"id":%d,'),
              USERS: (b'"username":"ada"', b'"username":"ada%d"'),
              IMPRESSIONS: (b'"recommendation_id":"r"', b'"recommendation_id":"r%d"')}[topic]  # fmt: skip
    return value.replace(spoilt[0], spoilt[1] % (offset + 1))


def some(topic: str) -> list[bytes]:
    made: list[bytes] = []
    if topic == IMPRESSIONS:  # of strangers' messages it has few: the API writes them
        return made

    @settings(max_examples=700, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(values(topic))
    def collect(value: bytes) -> None:
        made.append(value)

    collect()
    return made
