"""Agents without a broker: what a batch makes them send and write."""

import json
import time

import numpy as np
import pytest

from online_models.user_history import Effect
from schemas import dead_letters, generation, impressions, keys, learning, marks, signals, topics
from schemas.errors import ContractError
from schemas.forgetting import FORGET
from schemas.settings import Settings
from schemas.topics import owner
from schemas.user_state import UserState
from streams.batches import Conflict
from streams.commit import SET_EXPIRING
from streams.generations import NoState
from streams.impressions import MOST_BYTES as MOST_PAGE_BYTES
from streams.impressions import ImpressionsAgent
from streams.interactions import InteractionsAgent
from streams.posts import PostsAgent
from streams.progress import Progress
from streams.record import Record, kept_headers
from streams.touch_writer import MOST_EVENTS, TouchWriter, touch_messages


class FakeRedis(dict):
    async def get(self, key):
        return super().get(key)

    async def smembers(self, key):
        return super().get(key, set())

    async def mget(self, names):
        return [super(FakeRedis, self).get(name) for name in names]


class FakeServices:
    """Records what is sent and committed, in order; the commit compares marks as the script in Redis does."""

    def __init__(self) -> None:
        self.settings, self.partitions, self.progress = Settings(_env_file=None), 4, Progress()
        self.log_ids = {topics.INTERACTIONS: "log", topics.POSTS: "log"}
        self.redis = FakeRedis(
            {key: marks.encode(kind(GENERATION)) for key, kind in marks.all_keys(self.partitions).items()}
        )
        self.redis[keys.GENERATION] = generation.encode(
            generation.Generation(id=GENERATION, reason="test", started_at=0.0, ended_at=1.0)
        )
        self.user_record = None
        self.log: dict[int, Record] = {}
        self.log_reader = self
        self.steps: list[str] = []
        self.sent: list[tuple] = []
        self.times: list[tuple[str, int | None]] = []
        self.producer = self.committer = self

    async def gap(self, place, applied, before):
        missing = [self.log[offset] for offset in range(applied + 1, before) if offset in self.log]
        if missing:
            yield missing

    async def send_and_wait(self, topic, value, *, key, partition, timestamp_ms, headers):
        self.steps.append("sent")
        self.sent.append((topic, partition, value, dict(headers)))
        self.times.append((topic, timestamp_ms))

    async def commit(self, mark_key, expected, mark, commands):
        if (self.redis.get_now(mark_key) or b"") != expected:
            raise Conflict(mark_key)
        self.steps.append("committed")
        for command in commands:
            if command[0] == "SET":
                self.redis[command[1]] = command[2]
            elif command[0] == SET_EXPIRING:
                self.redis.update(zip(command[2::2], command[3::2], strict=True))
            elif command[0] == "DEL":
                self.redis.pop(command[1], None)
            elif command[0] == "APPEND":
                self.redis[command[1]] = self.redis.get_now(command[1], b"") + command[2]
        self.redis[mark_key] = mark


FakeRedis.get_now = dict.get
GENERATION = "first"
USER = "ada"
HOME = owner(USER, 4)


def record(offset: int, *events: dict, partition: int = HOME, at: float = 1e9) -> Record:
    value = [{"username": USER, "post_id": 1, "interaction_type": "like", **event} for event in events]
    return Record(
        "interactions", partition, offset, at, b"k", json.dumps(value if len(value) > 1 else value[0]).encode()
    )


def mark_of(services: FakeServices, partition: int = HOME) -> marks.InteractionsMark:
    return marks.decode(services.redis.get_now(keys.interactions_mark(partition)), marks.InteractionsMark)


def state(services: FakeServices) -> UserState:
    return UserState.decode(services.redis.get_now(keys.user_state(HOME, USER)))


async def test_signals_are_acknowledged_before_the_transaction():
    services = FakeServices()
    await InteractionsAgent(services).apply(HOME, [record(0, {"post_id": 1}), record(1, {"post_id": 2})])
    assert services.steps[-1] == "committed"
    assert "sent" in services.steps[:-1]
    told = [signals.decode(value).touches for topic, _, value, _ in services.sent if topic == topics.ITEM_SIGNALS]
    assert sorted(post for touches in told for post in touches.post_id[touches.touched].tolist()) == [1, 2]
    pairs = [zip(*(column.tolist() for column in touches.pairs()), strict=True) for touches in told]
    assert sorted(pair for each in pairs for pair in each) == [(1, 2), (2, 1)]


async def test_a_redelivered_message_changes_nothing_and_tells_nothing():
    services = FakeServices()
    agent = InteractionsAgent(services)
    await agent.apply(HOME, [record(0, {}), record(1, {"post_id": 2})])
    before, sent = dict(services.redis), len(services.sent)
    agent.forget(HOME)
    await agent.apply(HOME, [record(0, {}), record(1, {"post_id": 2})])
    assert (dict(services.redis), len(services.sent)) == (before, sent)


async def test_the_same_event_id_counts_once_in_one_batch_and_in_later_ones():
    services = FakeServices()
    agent = InteractionsAgent(services)
    await agent.apply(HOME, [record(0, {"event_id": "a"}, {"event_id": "a"}), record(1, {"event_id": "a"})])
    agent.forget(HOME)
    await agent.apply(HOME, [record(2, {"event_id": "a"})])
    assert state(services).events == 1
    assert services.progress.counters["repeats"] == 3


async def test_an_emptied_log_starts_a_new_identity_and_its_low_offsets_count():
    services = FakeServices()
    agent = InteractionsAgent(services)
    await agent.apply(HOME, [record(5, {})])
    services.log_ids = {topics.INTERACTIONS: "another log"}
    agent.forget(HOME)
    await agent.apply(HOME, [record(0, {"event_id": "new"})])
    assert state(services).events == 2


async def test_what_the_state_has_lost_is_read_again_from_the_log():
    """Redis came back older than it was: the group's offset is past what the mark says."""
    services = FakeServices()
    services.log = {offset: record(offset, {"post_id": offset + 1}) for offset in range(9)}
    agent = InteractionsAgent(services)
    await agent.apply(HOME, [services.log[0]])
    older = dict(services.redis)
    await agent.apply(HOME, [services.log[offset] for offset in range(1, 5)])
    services.redis.clear()
    services.redis.update(older)
    with pytest.raises(Conflict):
        await agent.apply(HOME, [services.log[8]])
    agent.forget(HOME)
    await agent.apply(HOME, [services.log[8]])
    assert list(state(services).seen) == list(range(1, 10))
    assert mark_of(services).offset == 8


@pytest.mark.parametrize("lost", [keys.GENERATION, keys.interactions_mark(HOME)])
async def test_nothing_is_applied_to_a_state_that_is_gone(lost: str):
    services = FakeServices()
    agent = InteractionsAgent(services)
    await agent.apply(HOME, [record(0, {})])
    del services.redis[lost]
    agent.forget(HOME)
    before = dict(services.redis)
    with pytest.raises(NoState):
        await agent.apply(HOME, [record(1, {})])
    assert dict(services.redis) == before


async def test_the_same_event_id_of_two_users_names_two_events():
    services = FakeServices()
    other = next(f"user {n}" for n in range(99) if owner(f"user {n}", 4) == HOME)
    await InteractionsAgent(services).apply(HOME, [record(0, {"event_id": "1"}, {"event_id": "1", "username": other})])
    assert services.progress.counters["events"] == 2


async def test_an_event_on_the_wrong_partition_goes_to_its_owner_with_its_name():
    services = FakeServices()
    wrong = (HOME + 1) % 4
    await InteractionsAgent(services).apply(wrong, [record(9, {}, {"event_id": "b"}, partition=wrong)])
    forwarded = [(partition, json.loads(value)["event_id"]) for topic, partition, value, _ in services.sent]
    assert forwarded == [(HOME, f"interactions-{wrong}-9-0"), (HOME, "b")]
    assert services.sent[0][3] == {"forwarded-from": f"interactions-{wrong}-9".encode()}
    assert state(services).events == 0
    assert mark_of(services, wrong).offset == 9


def forgetting(offset: int, partition: int = HOME) -> Record:
    return Record("interactions", partition, offset, 1e9, USER.encode(), None, ((FORGET, b"1"),))


async def test_a_forgotten_user_is_a_stranger_from_that_place_in_the_log_on():
    services = FakeServices()
    agent = InteractionsAgent(services)
    await agent.apply(HOME, [record(0, {"post_id": 1}), forgetting(1)])
    assert services.redis.get_now(keys.user_state(HOME, USER)) is None
    assert mark_of(services).offset == 1
    await agent.apply(HOME, [record(2, {"post_id": 2}), forgetting(3), record(4, {"post_id": 3})])
    assert state(services).events == 1
    assert state(services).seen == {3}
    before = dict(services.redis)
    agent.forget(HOME)
    await agent.apply(HOME, [record(2, {"post_id": 2}), forgetting(3), record(4, {"post_id": 3})])
    assert dict(services.redis) == before


async def test_forgetting_on_a_wrong_partition_is_sent_on_to_the_owner():
    services = FakeServices()
    wrong = (HOME + 1) % 4
    await InteractionsAgent(services).apply(wrong, [forgetting(0, wrong)])
    ((topic, partition, value, headers),) = services.sent
    assert (topic, partition, value) == ("interactions", HOME, None)
    assert headers.keys() == {FORGET, "forwarded-from"}


async def test_a_null_value_without_the_header_forgets_nobody():
    services = FakeServices()
    agent = InteractionsAgent(services)
    await agent.apply(HOME, [record(0, {}), forgetting(1)._replace(headers=())])
    assert state(services).events == 1
    assert [topic for topic, *_ in services.sent].count(topics.DEAD_LETTERS) == 1


async def test_headers_of_a_message_go_along_to_its_owner_and_to_the_dead_letters():
    services = FakeServices()
    wrong = (HOME + 1) % 4
    kept = kept_headers([("traceparent", b"00-1"), ("schema-version", b"1"), ("cookie", b"no")])
    batch = [record(9, {"event_id": "b"}, {"post_id": "x"}, partition=wrong)._replace(headers=kept)]
    await InteractionsAgent(services).apply(wrong, batch)
    for _, _, _, headers in services.sent:
        assert {name: headers[name] for name in headers if name != "forwarded-from"} == {
            "traceparent": b"00-1", "schema-version": b"1",
        }  # fmt: skip
    assert len(services.sent) == 2


async def test_bad_entries_become_dead_letters_and_the_rest_counts():
    services = FakeServices()
    far = {"occurred_at": "2100-01-01T00:00:00Z"}
    batch = [record(0, {}, {"post_id": "x"}, far), Record("interactions", HOME, 1, 1e9, None, b"\xff\xfe")]
    await InteractionsAgent(services).apply(HOME, batch)
    letters = [json.loads(value) for topic, _, value, _ in services.sent if topic == topics.DEAD_LETTERS]
    assert [(letter["offset"], letter["index"], letter["field"]) for letter in letters] == [
        (0, 1, "post_id"), (0, 2, "occurred_at"), (1, 0, ""),
    ]  # fmt: skip
    assert letters[2]["encoding"] == "base64"
    assert state(services).events == 1


async def test_a_zombie_writes_nothing():
    """Two workers believe they own the partition; the one that was paused finds the mark moved."""
    services = FakeServices()
    zombie, heir = InteractionsAgent(services), InteractionsAgent(services)
    await zombie.apply(HOME, [record(0, {})])
    await heir.apply(HOME, [record(1, {"post_id": 2})])
    before = dict(services.redis)
    with pytest.raises(Conflict):
        await zombie.apply(HOME, [record(1, {"post_id": 2})])
    assert dict(services.redis) == before
    zombie.forget(HOME)
    await zombie.apply(HOME, [record(1, {"post_id": 2})])
    assert dict(services.redis) == before


def test_signals_past_a_place_are_those_of_later_events():
    writer = TouchWriter(1)
    for number in range(6):
        effect = Effect(1, 1.0, 1.0, list(range(100, 100 + number)))
        writer.add(number // 2, number % 2, number + 1, 0.0, 1, effect)
    ((_, touches),) = writer.split()
    later = touches.after(1, 0)
    assert later.post_id.tolist() == [4, 5, 6]
    assert later.post_id[later.touched].tolist() == [4, 5, 6]
    assert sorted(later.post_id[later.event].tolist()) == [4] * 6 + [5] * 8 + [6] * 10
    (message,) = touch_messages(_filled(3), ("g", "l", "t", 0), 1.0)
    assert touches.after(2, 1).post_id.tolist() == []
    assert signals.decode(message.value).touches.post_id.tolist() == [1, 2, 3]


def _filled(events: int) -> TouchWriter:
    writer = TouchWriter(1)
    for offset in range(events):
        writer.add(offset, 0, offset + 1, 0.0, 1, Effect(1, 1.0, 1.0, list(range(2**40, 2**40 + 15))))
    return writer


def test_a_full_message_fits_a_broker():
    (message,) = touch_messages(_filled(MOST_EVENTS), ("g" * 32, "l" * 32, "interactions", 0), 1.0)
    assert len(message.value) < 1_000_000


async def test_posts_are_told_to_their_owners_and_a_null_deletes():
    services = FakeServices()
    batch = [
        Record("posts", 0, 0, 1.0, b"1", b'[{"id": 1}, {"id": "x"}]'),
        Record("posts", 0, 1, 1.0, b"1", None),
        Record("posts", 0, 2, 1.0, b"not a number", None),
    ]
    await PostsAgent(services).apply(0, batch)
    told = [
        (partition, signals.decode(value).posts)
        for topic, partition, value, _ in services.sent
        if topic == topics.ITEM_SIGNALS
    ]
    assert [(partition, [(s.post_id, s.post is None) for s in batch]) for partition, batch in told] == [
        (owner("1", 4), [(1, False), (1, True)])
    ]
    assert services.progress.counters["dead_letters"] == 2


async def test_signals_have_the_time_of_their_message_and_are_never_so_old_that_a_broker_deletes_them():
    """Kafka deletes by the time of messages, applied or not: that of an event may lie years back."""
    services, now = FakeServices(), time.time()
    old = {"occurred_at": "2001-09-09T01:46:40Z"}
    await InteractionsAgent(services).apply(HOME, [record(0, old, at=now - 60.0), record(1, old, at=now)])
    await InteractionsAgent(services).apply(HOME, [record(2, {"post_id": 3}, at=1e9)])
    times = [at / 1000 for topic, at in services.times if topic == topics.ITEM_SIGNALS]
    assert times[0] == pytest.approx(now - 60.0, abs=1.0)
    assert times[-1] == pytest.approx(now - 3_600.0, abs=10.0)


async def test_stage_1_tells_the_learner_what_it_applied_before_the_transaction():
    services = FakeServices()
    await InteractionsAgent(services).apply(HOME, [record(0, {"post_id": 5}, {"post_id": 6}), record(1, {})])
    (told,) = [(partition, value) for topic, partition, value, _ in services.sent if topic == topics.LEARNING]
    events = learning.decode(told[1]).events
    assert told[0] == 0
    assert (events.post_id.tolist(), events.context.tolist()) == ([5, 6, 1], [5, 5, 6])
    assert services.steps[-1] == "committed"


async def test_rows_of_posts_and_deletions_go_to_the_learner_without_their_json():
    services = FakeServices()
    rows = [{"id": 3, "title": "Run"}, {"id": 4}]
    await PostsAgent(services).apply(
        0, [Record("posts", 0, 0, 1.0, b"3", json.dumps(rows).encode()), Record("posts", 0, 1, 1.0, b"3", None)]
    )
    told = [learning.decode(value) for topic, _, value, _ in services.sent if topic == topics.LEARNING]
    of_3 = [post for message in told for post_id, post in message.posts if post_id == 3]
    assert [post and (post.title, post.item) for post in of_3] == [("Run", b""), None]


@pytest.mark.parametrize(
    "spoilt",
    [{"at": [1e12]}, {"rank": [99]}, {"post_id": [0]}, {"event": [7]}, {"gain": [float("nan")]}, {"other": [1, 2, 3]}],
)
def test_signals_that_stage_1_would_not_write_are_refused(spoilt: dict[str, list[float]]):
    writer = TouchWriter(1)
    writer.add(0, 0, 1, 1.7e9, 1, Effect(1, 1.0, 1.0, [5]))
    ((_, touches),) = writer.split()
    sound = signals.SignalBatch("g", "l", "interactions", 0, touches, [])
    assert signals.decode(signals.encode(sound)).touches is not None
    columns = {name: np.array(values) for name, values in spoilt.items()}
    bad = signals.encode(sound._replace(touches=touches._replace(**columns)))
    for payload in (bad, bad[:-1], b"", b"\x94\xa1\xff\xa1a\x00\x90", b"\x91" * 100_000):
        with pytest.raises(ContractError, match="not an item signal"):
            signals.decode(payload)


def served(offset: int, *posts: int, algorithm: str = "svd") -> Record:
    page = impressions.Impression(
        recommendation_id=f"r{offset}", username=USER, session_id=None, served_at=1e9, algorithm_used=algorithm,
        model_versions={}, position=0, posts=[*posts], scores=[0.5 for _ in posts], sources=[["svd"] for _ in posts],
    )  # fmt: skip
    return Record(topics.IMPRESSIONS, 1, offset, 1e9, USER.encode(), impressions.encode(page))


async def test_pages_are_told_to_the_learner_and_bad_ones_are_dead_letters():
    services = FakeServices()
    bad = Record(topics.IMPRESSIONS, 1, 2, 1e9, None, b'{"posts": "none"}')
    await ImpressionsAgent(services).apply(1, [served(0, 7, 8), served(1), bad, served(3, 9)])
    told = [learning.decode(value) for topic, _, value, _ in services.sent if topic == topics.LEARNING]
    assert [[page.posts for page in message.shown] for message in told] == [[[7, 8], [9]]]
    assert told[0].shown[0].user == learning.user_hash(USER)
    (letter,) = [dead_letters.decode(value) for topic, _, value, _ in services.sent if topic == topics.DEAD_LETTERS]
    assert letter.name == "impressions-1-2-0"
    assert services.progress.counters["dead_letters"] == 1
    assert services.progress.applied[topics.IMPRESSIONS, 1] == 4


async def test_many_pages_go_in_messages_that_a_broker_takes():
    services = FakeServices()
    wide = "a" * (MOST_PAGE_BYTES // 3)
    await ImpressionsAgent(services).apply(1, [served(offset, 7, algorithm=wide) for offset in range(5)])
    assert [len(learning.decode(value).shown) for _, _, value, _ in services.sent] == [2, 2, 1]
