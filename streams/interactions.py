"""The interactions agent, stage 1: what an event changes for its user, and what it tells the posts and the learner.

Order of effects: signals, forwarded events and dead letters are sent and acknowledged; then one transaction holds the
users' states, the event ids and the mark; then Kafka gets its acknowledgement. Whatever is repeated after a crash
changes nothing: this stage drops it by its offset, stage 2 by the source offset that a signal carries. The learner may
get it twice, which does no harm.
"""

import msgspec

from online_models import user_history
from online_models.event_ids import event_hash
from schemas import topics
from schemas.topics import INTERACTIONS, owner

from .learning_writer import LearningWriter, past_of
from .partition_agent import PartitionAgent
from .producing import Outgoing, dead_letter, forwarded_from, send_in_order
from .reading import ReadEvent, forgotten_user, read_events
from .record import Record
from .services import LearnServices
from .touch_writer import MOST_EVENTS as MOST_TOUCHES
from .touch_writer import TouchWriter, touch_messages
from .user_shard import UserShard

MOST_EVENTS = 1_000
"""Events in a transaction: about 20 ms of work, and no more, between two turns of the event loop."""


class InteractionsAgent(PartitionAgent[UserShard, LearnServices]):
    """Applies events to their users, and tells the owners of their posts."""

    async def _load(self, partition: int) -> UserShard:
        services = self._services
        return await UserShard.load(services.redis, partition, services.log_ids[INTERACTIONS], services.user_record)

    async def _apply(self, shard: UserShard, records: list[Record]) -> None:
        part: list[ReadEvent] = []
        outgoing: list[Outgoing] = []
        for record in records:
            part += self._read(record, shard.built, outgoing)
            if (username := forgotten_user(record)) is not None:
                if (home := owner(username, self._services.partitions)) != record.partition:
                    self._services.progress.counters["forwarded"] += 1
                    outgoing.append(_forward_forgetting(record, username, home))
                elif record.offset > shard.built:
                    await self._apply_part(shard, record.offset, part, outgoing, records[0].at, username)
                    part, outgoing = [], []
            if len(part) >= MOST_EVENTS:
                await self._apply_part(shard, record.offset, part, outgoing, records[0].at)
                part, outgoing = [], []
        if records[-1].offset > shard.applied:
            await self._apply_part(shard, records[-1].offset, part, outgoing, records[0].at)

    def _read(self, record: Record, built: int, outgoing: list[Outgoing]) -> list[ReadEvent]:
        """The events of a message that belong here; the others, and the bad ones, are left in `outgoing`."""
        events, counters = [], self._services.progress.counters
        for entry in read_events(record):
            if not isinstance(entry, ReadEvent):
                counters["dead_letters"] += 1
                outgoing.append(dead_letter(record, *entry))
            elif (home := owner(entry.interaction.username, self._services.partitions)) != record.partition:
                counters["forwarded"] += 1
                outgoing.append(_forward(record, entry, home))
            elif record.offset > built:
                events.append(entry)
        return events

    async def _apply_part(
        self, shard: UserShard, offset: int, part: list[ReadEvent], outgoing: list[Outgoing], produced_at: float,
        forgotten: str | None = None,
    ) -> None:  # fmt: skip
        """All that is read up to `offset`: learnt, told, committed; then `forgotten` is a stranger. produced_at: of the
        oldest message."""
        services = self._services
        hashes = [event_hash(event.interaction.username, event.event_id) for event in part]
        fresh: dict[int, ReadEvent] = {}
        for hashed, seen, event in zip(hashes, shard.ids.seen(hashes), part, strict=True):
            if not seen:
                fresh.setdefault(hashed, event)
        services.progress.counters["repeats"] += len(part) - len(fresh)
        usernames = {event.interaction.username for event in fresh.values()}
        await shard.load_users(usernames)
        writer, weights = TouchWriter(services.partitions), services.settings.interaction_weights
        learning = LearningWriter()
        source = shard.generation, shard.log_id, INTERACTIONS, shard.partition
        told = [*fresh.values()]
        for start in range(0, len(told), MOST_TOUCHES):
            for event in told[start : start + MOST_TOUCHES]:
                username, happened = event.interaction.username, event.history_event
                state = shard.users[username]
                past = past_of(state, happened.post_id)
                effect = user_history.learn_one(state, happened, weights)
                if effect.delta:
                    learning.add(username, event.at, happened, effect, past)
                    writer.add(event.offset, event.entry, happened.post_id, event.at, happened.type_code, effect)
            outgoing += touch_messages(writer, source, produced_at)
        outgoing += learning.messages()
        await send_in_order(services.producer, outgoing)
        await shard.commit(services.committer, offset, usernames, list(fresh), services.settings.user_ttl, forgotten)
        services.progress.counters["events"] += len(fresh)


def _forward(record: Record, event: ReadEvent, home: int) -> Outgoing:
    """An event that a stranger's partitioner put on the wrong partition, to the one that owns its user.

    It keeps its id, its time and the time it was produced; the header says that it was read before.
    """
    named = msgspec.structs.replace(event.interaction, event_id=event.event_id)
    key, value = event.interaction.username.encode(), msgspec.json.encode(named)
    return Outgoing(topics.INTERACTIONS, home, key, value, at=record.at, headers=forwarded_from(record))


def _forward_forgetting(record: Record, username: str, home: int) -> Outgoing:
    headers = forwarded_from(record)
    return Outgoing(topics.INTERACTIONS, home, username.encode(), None, at=record.at, headers=headers)
