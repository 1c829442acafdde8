"""Replay: a small data set through a real broker, as other processes will read it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from reelstream.datasets.folder import Folder, write
from reelstream.replay import Selection, Summary, replay
from schemas import topics
from schemas.errors import ContractError, ReelstreamError, ServiceUnavailable
from schemas.events import Interaction, decode_message
from schemas.posts import decode_posts
from schemas.settings import Settings
from schemas.topics import EVENTS_A_MESSAGE, owner
from schemas.users import decode_users

EVENTS, USERS, PARTITIONS = 600, 12, 4
FIRST = datetime(2020, 5, 1, tzinfo=UTC)


@pytest.fixture(params=["tansu", pytest.param("kafka", marks=pytest.mark.timeout(300))])
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings(
        _env_file=None,
        kafka_bootstrap_servers=request.getfixturevalue(request.param),
        kafka_partitions=PARTITIONS,
        kafka_idempotence=request.param == "kafka",
    )


class DataSet:
    """A small data set whose users nobody else has: tests share the brokers."""

    def __init__(self, path: Path) -> None:
        self.mark = uuid4().hex[:8]
        self.path = path
        self.events = [
            {
                "username": f"{self.mark}-u{number * 7 % USERS}", "post_id": 1 + number % 9, "interaction_type": "like",
                "occurred_at": FIRST + timedelta(minutes=number), "event_id": f"{self.mark}-{number}",
            }
            for number in range(EVENTS)
        ]  # fmt: skip
        posts: list[dict[str, Any]] = [
            {"id": number, "title": self.mark, "created_at": "2020-04-30T00:00:00Z", "extra": number}
            for number in range(1, 10)
        ]
        users = [{"username": f"{self.mark}-u{number}"} for number in range(USERS)]
        write(path, interactions=self.events, posts=posts, users=users)

    def ids(self, start: int = 0, stop: int = EVENTS) -> list[str]:
        return [f"{self.mark}-{number}" for number in range(start, stop)]


@pytest.fixture
def data_set(tmp_path: Path) -> DataSet:
    return DataSet(tmp_path / "set")


async def send(data_set: DataSet, settings: Settings, rate: float | None = None, **selection: int) -> Summary:
    return await replay(
        Folder(data_set.path), settings, Selection(**selection), rate=rate, progress=lambda kind, done, total: None
    )


async def messages(settings: Settings, topic: str) -> AsyncIterator[ConsumerRecord]:
    """Everything on a topic, and then whatever comes."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        async for message in consumer:
            yield message
    finally:
        await consumer.stop()


def readable(decode: Callable[[bytes], list[Any]], message: ConsumerRecord) -> list[Any]:
    """What a message has; other tests share the broker, and send what can't be read."""
    try:
        return [row for row in decode(message.value or b"") if not isinstance(row, ContractError)]
    except ContractError:
        return []


async def received(data_set: DataSet, settings: Settings, count: int) -> list[tuple[ConsumerRecord, list[Interaction]]]:
    """Messages with the data set's events, until there are `count` events."""
    found: list[tuple[ConsumerRecord, list[Interaction]]] = []
    async for message in messages(settings, topics.INTERACTIONS):
        events = readable(decode_message, message)
        if events and (events[0].event_id or "").startswith(data_set.mark):
            found.append((message, events))
            if sum(len(events) for _, events in found) >= count:
                break
    return found


def events_of(found: Iterable[tuple[ConsumerRecord, list[Interaction]]]) -> list[Interaction]:
    return [event for _, events in found for event in events]


async def test_events_arrive_as_arrays_on_the_partition_of_their_user_in_order(
    settings: Settings, data_set: DataSet
) -> None:  # fmt: skip
    summary = await send(data_set, settings)
    assert (summary.events, summary.posts, summary.users, summary.faults) == (EVENTS, 9, USERS, [])
    found = await received(data_set, settings, EVENTS)
    assert sorted(event.event_id or "" for event in events_of(found)) == sorted(data_set.ids())
    by_user: defaultdict[str, list[int]] = defaultdict(list)
    sizes: defaultdict[int, list[int]] = defaultdict(list)
    for message, events in found:
        assert {owner(event.username, PARTITIONS) for event in events} == {message.partition}
        assert message.key == events[0].username.encode()
        sizes[message.partition].append(len(events))
        for event in events:
            by_user[event.username].append(int((event.event_id or "").split("-")[1]))
    assert all(numbers == sorted(numbers) for numbers in by_user.values())
    assert all(size == EVENTS_A_MESSAGE for of_partition in sizes.values() for size in of_partition[:-1])


async def test_rows_travel_one_by_one_under_their_own_key_as_they_came(settings: Settings, data_set: DataSet) -> None:
    before = datetime.now(UTC)
    await send(data_set, settings, limit=0)
    posts: dict[bytes, bytes] = {}
    async for message in messages(settings, topics.POSTS):
        if message.value and data_set.mark.encode() in message.value:
            assert message.partition == owner(message.key.decode(), PARTITIONS)
            posts[message.key] = message.value
            if len(posts) == 9:
                break
    assert json.loads(posts[b"3"])["extra"] == 3
    # Made a day before the first event, so as long before the last as in the data set.
    age = before.timestamp() - decode_posts(posts[b"3"])[0].created_at  # type: ignore[union-attr]
    assert age == pytest.approx(timedelta(days=1, minutes=EVENTS - 1).total_seconds(), abs=60)
    users = set()
    async for message in messages(settings, topics.USERS):
        if any(user.username.startswith(data_set.mark) for user in readable(decode_users, message)):
            users.add(message.key)
            if len(users) == USERS:
                break


async def test_the_data_end_now_and_a_second_replay_has_the_same_event_ids(
    settings: Settings, data_set: DataSet
) -> None:  # fmt: skip
    before = datetime.now(UTC)
    await send(data_set, settings)
    after = datetime.now(UTC)
    first = {event.event_id: event.occurred_at for event in events_of(await received(data_set, settings, EVENTS))}
    last = first[f"{data_set.mark}-{EVENTS - 1}"]
    assert last is not None
    assert before <= last <= after
    assert last - (first[f"{data_set.mark}-0"] or last) == timedelta(minutes=EVENTS - 1)
    await send(data_set, settings)
    both = [event.event_id for event in events_of(await received(data_set, settings, 2 * EVENTS))]
    assert sorted(both) == sorted(data_set.ids() * 2)


async def test_what_is_held_back_comes_as_the_tail_one_by_one_stamped_as_it_is_sent(
    settings: Settings, data_set: DataSet
) -> None:  # fmt: skip
    started = datetime.now(UTC)
    summary = await send(data_set, settings, hold_back=5)
    assert summary.events == EVENTS - 5
    assert all((event.occurred_at or started) < started for event in events_of(
        await received(data_set, settings, EVENTS - 5)
    ))  # fmt: skip
    started = datetime.now(UTC)
    summary = await send(data_set, settings, rate=200, tail=5)
    assert (summary.events, summary.posts, summary.users) == (5, 0, 0)
    found = [
        (message, events)
        for message, events in await received(data_set, settings, EVENTS)
        if events[0].event_id in data_set.ids(EVENTS - 5)
    ]
    assert [len(events) for _, events in found] == [1] * 5
    assert all(started <= (event.occurred_at or FIRST) <= datetime.now(UTC) for event in events_of(found))


async def test_a_limit_sends_the_first_events_and_a_rate_spreads_them(settings: Settings, data_set: DataSet) -> None:
    summary = await send(data_set, settings, rate=400, limit=40)
    assert summary.events == 40
    found = await received(data_set, settings, 40)
    assert sorted(event.event_id or "" for event in events_of(found)) == sorted(data_set.ids(0, 40))
    assert len({message.timestamp for message, _ in found}) > 1


async def test_a_cancelled_replay_keeps_what_it_sent(settings: Settings, data_set: DataSet) -> None:
    task = asyncio.create_task(send(data_set, settings, rate=50))
    await received(data_set, settings, 1)
    task.cancel()
    summary = await task
    assert summary.stopped
    assert 0 < summary.events < EVENTS
    assert len(events_of(await received(data_set, settings, summary.events))) == summary.events


def test_the_tail_goes_without_a_limit() -> None:
    with pytest.raises(ReelstreamError, match="goes without --limit"):
        Selection(tail=3, limit=5)


@pytest.mark.parametrize(
    ("selection", "bounds"),
    [
        (Selection(), (0, 10)),
        (Selection(limit=3), (0, 3)),
        (Selection(hold_back=3), (0, 7)),
        (Selection(limit=9, hold_back=3), (0, 7)),
        (Selection(hold_back=30), (0, 5)),
        (Selection(tail=3), (7, 10)),
        (Selection(tail=30), (5, 10)),
    ],
)
def test_a_selection_is_a_range_of_the_events(selection: Selection, bounds: tuple[int, int]) -> None:
    assert selection.bounds(10) == bounds


async def test_without_a_broker_the_reader_is_told(data_set: DataSet, free_port: Callable[[], int]) -> None:
    away = Settings(_env_file=None, kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        await send(data_set, away)


PROGRAM = "import typer; from reelstream.commands.replay import replay; typer.run(replay)"


def command(tansu: str, tmp_path: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    environment = {
        **os.environ, "KAFKA_BOOTSTRAP_SERVERS": tansu, "KAFKA_IDEMPOTENCE": "false", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    return [sys.executable, "-c", PROGRAM, *arguments, "--data", str(tmp_path / "state")], environment


def test_the_command_reports_bad_rows_skips_them_and_fails_at_the_end(tansu: str, tmp_path: Path) -> None:
    good = {"username": uuid4().hex, "post_id": 1, "interaction_type": "like", "occurred_at": "2026-01-01T00:00:00Z"}
    (tmp_path / "interactions.jsonl").write_text(f"{json.dumps(good)}\n{json.dumps({**good, 'post_id': 'x'})}\n")
    (tmp_path / "posts.jsonl").write_text('{"id": 1}\n{"id": 0}\n')
    arguments, environment = command(tansu, tmp_path, str(tmp_path))
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "skipped interactions.jsonl:2: post_id" in done.stderr
    assert "skipped posts.jsonl:2: id" in done.stderr
    assert "1 events, 1 posts, 0 users in " in done.stdout


@contextmanager
def _interruptible() -> Iterator[None]:
    """Children hear SIGINT, which a suite that runs under nohup ignores, and they would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_stops_cleanly_when_told(tansu: str, tmp_path: Path, data_set: DataSet, number: int) -> None:
    arguments, environment = command(tansu, tmp_path, str(data_set.path), "--rate", "5")
    with _interruptible(), subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "events" in process.stdout.readline()
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(30) == 130
    assert "stopped: " in rest
