"""The users of a partition: who comes back after a long time, also while the record is away."""

import pytest

from online_models import user_history
from online_models.event_ids import SeenEventIds
from schemas import keys
from schemas.events import DEFAULT_WEIGHTS, TYPE_CODES
from schemas.generation import Generation
from schemas.marks import InteractionsMark
from schemas.user_state import HistoryEvent, UserState
from streams.commit import SET_EXPIRING
from streams.user_record import RecordAway
from streams.user_shard import UserShard

LIKE = TYPE_CODES["like"]


class FakeStore(dict):
    """Redis and committer in one."""

    async def mget(self, names):
        return [self.get(name) for name in names]

    async def commit(self, mark_key, expected, mark, commands):
        for command in commands:
            if command[0] == "SET":
                self[command[1]] = command[2]
            elif command[0] == SET_EXPIRING:
                self.update(zip(command[2::2], command[3::2], strict=True))
            elif command[0] in ("SADD", "SREM"):
                members = self.setdefault(command[1], set())
                (members.update if command[0] == "SADD" else members.difference_update)(command[2:])


class FakeRecord:
    """Knows `ada` from long ago, when it can be asked."""

    def __init__(self) -> None:
        self.away, self.asked = False, []
        self.events = [HistoryEvent(1, 7, LIKE, 1000)]

    def may_hold_more_than(self, generation):
        return not generation.complete

    async def states(self, partition, usernames, mark, *, whole):
        self.asked.append((sorted(usernames), whole))
        if self.away:
            raise RecordAway
        state = UserState()
        for event in self.events:
            user_history.learn_one(state, event, DEFAULT_WEIGHTS)
        return {"ada": state} if "ada" in usernames else {}


def shard(store: FakeStore, record: FakeRecord, complete: bool = False) -> UserShard:
    generation = Generation(id="g", reason="test", started_at=0.0, ended_at=1.0, complete=complete)
    ids, incomplete = SeenEventIds(0, [None]), set(store.get(keys.incomplete_users(0), ()))
    return UserShard(store, 0, "log", generation, b"", InteractionsMark("g", "log", 4), ids, incomplete, record)


async def test_a_user_that_redis_does_not_have_comes_from_the_record():
    record = FakeRecord()
    held = shard(FakeStore(), record)
    await held.load_users(["ada", "bob"])
    assert (sorted(held.users["ada"].seen), sorted(held.users["bob"].seen)) == ([7], [])
    await held.load_users(["ada", "bob"])
    assert record.asked == [(["ada", "bob"], False)]


async def test_nobody_is_asked_when_no_state_can_have_left_redis():
    record = FakeRecord()
    await shard(FakeStore(), record, complete=True).load_users(["ada"])
    assert record.asked == []


@pytest.mark.parametrize("reload", [False, True])
async def test_who_came_back_while_the_record_was_away_is_completed_later(reload: bool):
    store, record = FakeStore(), FakeRecord()
    held = shard(store, record)
    record.away = True
    await held.load_users(["ada"])
    event = HistoryEvent(2, 8, LIKE, 1000)
    user_history.learn_one(held.users["ada"], event, DEFAULT_WEIGHTS)
    await held.commit(store, 5, ["ada"], [1], 100)
    assert store[keys.incomplete_users(0)] == {"ada"}
    assert sorted(held.users["ada"].seen) == [8]
    if reload:
        held = shard(store, record)
    record.away = False
    record.events.append(event)
    await held.load_users(["ada"])
    assert record.asked[-1] == (["ada"], True)
    assert sorted(held.users["ada"].seen) == [7, 8]
    await held.commit(store, 6, ["ada"], [2], 100)
    assert store[keys.incomplete_users(0)] == set()


async def test_a_guest_is_kept_for_a_day_and_the_record_is_not_asked():
    class Seeing(FakeStore):
        async def commit(self, mark_key, expected, mark, commands):
            lasting.update({command[2]: command[1] for command in commands if command[0] == SET_EXPIRING})
            await super().commit(mark_key, expected, mark, commands)

    lasting: dict[str, int] = {}
    store, record = Seeing(), FakeRecord()
    users = shard(store, record)
    await users.load_users(["guest:b7c1", "ada"])
    assert record.asked == [(["ada"], False)]
    await users.commit(store, 5, ["guest:b7c1", "ada"], [], 90 * 86_400)
    assert lasting == {keys.user_state(0, "guest:b7c1"): 86_400, keys.user_state(0, "ada"): 90 * 86_400}
    await users.commit(store, 6, ["guest:b7c1"], [], 60)
    assert lasting[keys.user_state(0, "guest:b7c1")] == 60
