"""One batch model through the whole seam: rows in PostgreSQL in, a version in Redis, on disk and on Kafka out."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from recorded import record_likes
from redis.asyncio import Redis

from batch_models import dataset, publish, refresh, registry, snapshots, training_requests
from online_models.deep_towers import DeepTowers
from schemas import keys, topics
from schemas.errors import ReelstreamError
from schemas.events import TYPE_CODES
from schemas.migrate import migrate
from schemas.models import ModelVersion, decode_version, unpack_vectors
from schemas.settings import Settings

EVENTS = 1600


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[str]:
    """An empty database of this test's own."""
    connection = await asyncpg.connect(postgres)
    name = f"train_{os.getpid()}_{random.randrange(10**9)}"
    await connection.execute(f"CREATE DATABASE {name}")
    url = f"{postgres.rsplit('/', 1)[0]}/{name}"
    try:
        await migrate(url)
        yield url
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


@pytest.fixture
async def settings(database: str, valkey: str, tansu: str, tmp_path: Path) -> AsyncIterator[Settings]:
    address = f"{valkey.rsplit('/', 1)[0]}/11"
    yield Settings(
        _env_file=None, database_url=database, redis_url=address, kafka_bootstrap_servers=tansu,
        kafka_idempotence=False, model_path=tmp_path / "models",
    )  # fmt: skip
    async with Redis.from_url(address) as redis:
        for model in refresh.MODELS:
            async for key in redis.scan_iter(match=keys.model_chunk(model, "*", 0).replace(":0", ":*")):
                await redis.delete(key)
            await redis.delete(keys.model_current(model))


async def record(url: str, *, tastes: bool, events: int = EVENTS) -> None:
    """Eighty users in four groups; with tastes each likes the twenty posts of its group, else all the low ids."""
    draw, start = random.Random(5), datetime(2026, 11, 1, tzinfo=UTC)
    rows = []
    for number in range(events):
        user = draw.randrange(80)
        post = 1 + (user % 4) * 20 + draw.randrange(20) if tastes else 1 + int(80 * draw.random() ** 3)
        at = start + timedelta(minutes=number)
        rows.append((f"e{number}", f"u{user}", post, "like", 1.0, at, 0, number, 0))
    connection = await asyncpg.connect(url)
    try:
        await record_likes(connection, rows, range(1, 91))
    finally:
        await connection.close()


async def announced(bootstrap: str, version: str) -> ModelVersion:
    """The message on `models` that announces the version, however many came before."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partition = TopicPartition(topics.MODELS, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        async for message in consumer:
            if (message.key or b"").startswith(b"train:"):
                continue  # a request
            found = decode_version(message.value)
            if found.version == version:
                assert message.key == b"svd"
                return found
    finally:
        await consumer.stop()
    raise AssertionError("the topic ended")


async def test_rows_in_the_record_become_a_version_in_redis_on_disk_and_on_kafka(settings: Settings) -> None:
    await record(settings.require("DATABASE_URL"), tastes=True)
    version = await refresh.refresh(settings, "svd")

    async with Redis.from_url(settings.require("REDIS_URL")) as redis:
        current = await redis.get(keys.model_current("svd"))
        assert decode_version(current) == version
        chunks = [await redis.get(keys.model_chunk("svd", version.version, n)) for n in range(version.chunks)]
    ids, vectors = unpack_vectors(chunks, version.dim)
    assert ids.tolist() == list(range(1, 81))
    same_group, other_group = vectors[0] @ vectors[1:20].T, vectors[0] @ vectors[20:].T
    assert same_group.mean() > 10 * np.abs(other_group).mean()

    folder = settings.model_path / "svd" / version.version
    stored = np.load(folder / "vectors.npz", allow_pickle=False)
    assert np.array_equal(stored["vectors"], vectors)
    card = json.loads((folder / "card.json").read_text())
    assert card["events"] == EVENTS
    assert card["version"]["metrics"]["recall@10"] > card["version"]["metrics"]["popularity_recall@10"]
    assert card["split_at"] < card["last_event_at"]
    assert len(card["data_digest"]) == 64
    assert card["size"] == (folder / "vectors.npz").stat().st_size

    assert await announced(settings.require("KAFKA_BOOTSTRAP_SERVERS"), version.version) == version


async def test_a_model_with_a_graph_goes_the_same_way_whole(settings: Settings) -> None:
    await record(settings.require("DATABASE_URL"), tastes=True)
    version = await refresh.refresh(settings, "deep")
    assert version.metrics["ndcg@10"] > version.metrics["popularity_ndcg@10"]

    async with Redis.from_url(settings.require("REDIS_URL")) as redis:
        assert decode_version(await redis.get(keys.model_current("deep"))) == version
        stored = [
            await redis.get(keys.model_chunk("deep", version.version, number))
            for number in range(version.chunks + version.graph_chunks)
        ]
        await redis.delete(keys.model_current("deep"))
        assert await publish.restore(settings, "deep")
        assert decode_version(await redis.get(keys.model_current("deep"))) == version
        await redis.delete(keys.model_current("deep"))
    ids, vectors = unpack_vectors(stored[: version.chunks], version.dim)
    assert ids.tolist() == list(range(1, 81))
    graph = b"".join(stored[version.chunks :])
    assert (settings.model_path / "deep" / version.version / "model.onnx").read_bytes() == graph

    four = np.full((1, 4), 1)
    posts, likes = np.arange(20, 24)[None], TYPE_CODES["like"] * four  # posts 21 to 24, by row
    user = DeepTowers(graph).users(posts, likes, four.astype(np.float32), 10 * four, four == 1)[0]
    best = ids[np.argsort(-(vectors @ user))[:10]]
    assert ((best > 20) & (best <= 40)).mean() > 0.8


async def test_a_snapshot_holds_what_rows_say_and_does_without_those_that_say_nothing(database: str) -> None:
    await record(database, tastes=True, events=20)
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("""UPDATE posts SET row = '{"id": 3, "title": "Tea"}' WHERE id = 3""")
        user = """
            INSERT INTO users (username, row)
            SELECT username, jsonb_build_object('username', username, 'role', 'A') FROM interactions LIMIT 1
        """
        await connection.execute(user)
        found = await dataset.snapshot(connection, 100)
    finally:
        await connection.close()
    assert found.post_ids[found.content.posts.described].tolist() == [3]
    assert np.count_nonzero(found.content.users) == 1


async def test_the_version_before_stays_readable_for_a_while_and_then_expires(settings: Settings) -> None:
    await record(settings.require("DATABASE_URL"), tastes=True)
    first, second = [await refresh.refresh(settings, "svd") for _ in range(2)]
    async with Redis.from_url(settings.require("REDIS_URL")) as redis:
        assert 0 < await redis.ttl(keys.model_chunk("svd", first.version, 0)) <= 3600
        assert await redis.ttl(keys.model_chunk("svd", second.version, 0)) == -1
        assert decode_version(await redis.get(keys.model_current("svd"))).version == second.version


@pytest.mark.parametrize("case", ["no better than popularity", "too little"])
async def test_a_refused_model_changes_nothing(settings: Settings, case: str) -> None:
    many = case == "no better than popularity"
    await record(settings.require("DATABASE_URL"), tastes=False, events=EVENTS if many else 40)
    with pytest.raises(refresh.Refused, match="is refused" if many else "40 interactions, 500 are needed"):
        await refresh.refresh(settings, "svd")
    async with Redis.from_url(settings.require("REDIS_URL")) as redis:
        assert await redis.get(keys.model_current("svd")) is None
    assert registry.models(settings.model_path) == []


async def test_a_training_is_repeated_from_its_snapshot_and_learns_from_the_newest_alone(settings: Settings) -> None:
    await record(settings.require("DATABASE_URL"), tastes=True)
    few = settings.model_copy(update={"training_events": 1_000})
    first = await refresh.refresh(few, "svd")
    (folder,) = snapshots.saved(settings.model_path)
    assert len(snapshots.load(folder)) == 1_000
    card = registry.card(settings.model_path, "svd", first.version)
    assert (card.events, card.data_digest) == (1_000, snapshots.load(folder).digest())
    again = await refresh.refresh(settings, "svd", folder)
    assert again.digest == first.digest
    assert registry.card(settings.model_path, "svd", again.version).data_digest == card.data_digest


async def test_what_guests_did_is_not_trained_on(settings: Settings) -> None:
    await record(settings.require("DATABASE_URL"), tastes=True)
    connection = await asyncpg.connect(settings.require("DATABASE_URL"))
    try:
        before = await dataset.snapshot(connection, 10**6)
        guest = "UPDATE interactions SET username = 'guest:' || username WHERE username = $1"
        name = await connection.fetchval("SELECT min(username) FROM interactions")
        changed = int((await connection.execute(guest, name)).split()[1])
        after = await dataset.snapshot(connection, 10**6)
    finally:
        await connection.close()
    assert changed > 0
    assert (len(after), after.user_count) == (len(before) - changed, before.user_count - 1)


async def test_two_trainings_never_run_at_once(settings: Settings) -> None:
    await record(settings.require("DATABASE_URL"), tastes=True)
    other = await asyncpg.connect(settings.require("DATABASE_URL"))
    try:
        await other.execute("SELECT pg_advisory_lock($1)", refresh.LOCK)
        with pytest.raises(refresh.NotNow, match="Another training is running"):
            await refresh.refresh(settings, "svd")
    finally:
        await other.close()
    await refresh.refresh(settings, "svd")


PROGRAM = """
import sys
from batch_models.refresh import run
from schemas.errors import ReelstreamError
from schemas.events import TYPE_CODES
from schemas.settings import Settings
try:
    run(Settings(_env_file=None), ["svd"], float(sys.argv[1]) if len(sys.argv) > 1 else None)
except ReelstreamError as error:
    sys.exit(f"said: {error}")
"""


def environment(settings: Settings, **changes: str) -> dict[str, str]:
    return {
        **os.environ, "DATABASE_URL": settings.require("DATABASE_URL"), "REDIS_URL": settings.require("REDIS_URL"),
        "KAFKA_BOOTSTRAP_SERVERS": settings.require("KAFKA_BOOTSTRAP_SERVERS"), "KAFKA_IDEMPOTENCE": "false",
        "MODEL_PATH": str(settings.model_path), "PYTHONUNBUFFERED": "1", **changes,
    }  # fmt: skip


def test_the_loop_publishes_goes_on_and_ends_at_sigterm(settings: Settings) -> None:
    asyncio.run(record(settings.require("DATABASE_URL"), tastes=True))
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "0.001"], env=environment(settings), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        rounds = (line for line in iter(process.stdout.readline, "") if "svd is published: recall@10" in line)
        assert next(rounds) != next(rounds)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM


async def tell(bootstrap: str, *values: bytes) -> None:
    """Requests, or what is none, on the topic `models`."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for number, value in enumerate(values):
            await producer.send_and_wait(topics.MODELS, value, key=f"train:{number}".encode())
    finally:
        await producer.stop()


def test_a_message_asks_for_a_training_and_does_so_once(settings: Settings) -> None:
    asyncio.run(record(settings.require("DATABASE_URL"), tastes=True))
    bootstrap = settings.require("KAFKA_BOOTSTRAP_SERVERS")
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "60"], env=environment(settings), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            next(line for line in iter(process.stdout.readline, "") if "svd is published: recall@10" in line)
            asyncio.run(tell(bootstrap, b'{"train": "svd"}', b"{", b'{"train": "svd"}', b'{"train": "nothing"}'))
            heard = []
            for line in iter(process.stdout.readline, ""):
                heard.append(line)
                if "svd is published: recall@10" in line:
                    break
            assert any("not trained here" in line and "nothing" in line for line in heard)
        finally:
            process.kill()
    assert asyncio.run(training_requests.wait(settings, ["svd"], 3.0)) == []


def test_a_service_that_is_away_is_a_sentence_once_and_a_line_in_the_loop(
    settings: Settings, free_port: Callable[[], int]
) -> None:  # fmt: skip
    away = environment(settings, DATABASE_URL=f"postgresql://postgres@127.0.0.1:{free_port()}/postgres")
    once = subprocess.run([sys.executable, "-c", PROGRAM], env=away, capture_output=True, text=True)
    assert once.returncode == 1
    assert "said: svd could not be refreshed, as a service does not answer" in once.stderr
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "0.0001"], env=away, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        process.kill()
    assert all("refresh failed, the next one comes" in line for line in lines)


def test_a_database_without_tables_says_what_to_run(postgres: str, settings: Settings) -> None:
    bare = environment(settings, DATABASE_URL=f"{postgres.rsplit('/', 1)[0]}/template1")
    once = subprocess.run([sys.executable, "-c", PROGRAM], env=bare, capture_output=True, text=True)
    assert "Run `reelstream migrate` first" in once.stderr


async def test_a_redis_that_was_emptied_gets_the_saved_version_back(settings: Settings, database: str):
    await record(database, tastes=True)
    version = await refresh.refresh(settings, "svd")
    async with Redis.from_url(settings.require("REDIS_URL")) as redis:
        before = await redis.get(keys.model_chunk("svd", version.version, 0))
        assert not await publish.restore(settings, "svd")
        await redis.delete(keys.model_current("svd"), keys.model_chunk("svd", version.version, 0))
        assert await publish.restore(settings, "svd")
        assert decode_version(await redis.get(keys.model_current("svd"))) == version
        assert await redis.get(keys.model_chunk("svd", version.version, 0)) == before
        await redis.delete(keys.model_current("svd"))
    saved = settings.model_path / "svd" / version.version / "vectors.npz"
    flipped = bytearray(saved.read_bytes())
    flipped[100] ^= 1
    saved.write_bytes(flipped)
    with pytest.raises(ReelstreamError, match="is damaged"):
        await publish.restore(settings, "svd")


async def test_a_rolled_back_version_serves_again_and_stays_when_redis_is_emptied(settings: Settings) -> None:
    await record(settings.require("DATABASE_URL"), tastes=True)
    first, second = [await refresh.refresh(settings, "svd") for _ in range(2)]
    assert await publish.rollback(settings, "svd", None) == (first, second.version)
    assert await announced(settings.require("KAFKA_BOOTSTRAP_SERVERS"), first.version) == first
    async with Redis.from_url(settings.require("REDIS_URL")) as redis:
        for _ in range(2):
            assert decode_version(await redis.get(keys.model_current("svd"))) == first
            assert await redis.ttl(keys.model_chunk("svd", first.version, 0)) == -1
            await redis.delete(keys.model_current("svd"), keys.model_chunk("svd", first.version, 0))
            assert await publish.restore(settings, "svd")
        assert 0 < await redis.ttl(keys.model_chunk("svd", second.version, 0)) <= 3600
    await publish.rollback(settings, "svd", first.version)  # the one that serves already
    async with Redis.from_url(settings.require("REDIS_URL")) as redis:
        assert await redis.ttl(keys.model_chunk("svd", first.version, 0)) == -1
    with pytest.raises(ReelstreamError, match="svd has no version before"):
        await publish.rollback(settings, "svd", None)
