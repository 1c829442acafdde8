"""The interactions agent, stage 1: what an event changes for its user, and what it tells the posts.

Order of effects: signals, forwarded events and dead letters are sent and acknowledged; then one transaction holds the
users' states, the event ids and the mark; then Kafka gets its acknowledgement. Whatever is repeated after a crash
changes nothing: this stage drops it by its offset, stage 2 by the source offset that a signal carries.
"""

import msgspec

from online_models import user_history
from online_models.event_ids import event_hash
from schemas import topics
from schemas.signals import Touch
from schemas.topics import INTERACTIONS, owner

from .batches import Record
from .producing import Outgoing, dead_letter, send_in_order
from .reading import ReadEvent, read_events
from .services import LearnServices
from .signal_writer import SignalWriter
from .user_shard import UserShard

MOST_EVENTS = 500
"""Events in a transaction: about 30 ms of work, and no more, between two turns of the event loop."""


class InteractionsAgent:
    """Applies batches of one partition at a time; one writer a partition."""

    def __init__(self, services: LearnServices) -> None:
        self._services = services
        self._shards: dict[int, UserShard] = {}

    def forget(self, partition: int) -> None:
        self._shards.pop(partition, None)

    async def apply(self, partition: int, records: list[Record]) -> None:
        shard = self._shards.get(partition)
        if shard is None:
            shard = self._shards[partition] = await UserShard.load(self._services.redis, partition)
        applied = shard.applied(self._services.log_ids[INTERACTIONS])
        part: list[tuple[Record, list[ReadEvent]]] = []
        outgoing: list[Outgoing] = []
        count = 0
        for record in records:
            if record.offset <= applied:
                continue
            events = self._read(record, outgoing)
            part.append((record, events))
            count += len(events)
            if count >= MOST_EVENTS:
                await self._apply_part(partition, shard, part, outgoing)
                part, outgoing, count = [], [], 0
        if part:
            await self._apply_part(partition, shard, part, outgoing)
        self._services.progress.done(records)

    def _read(self, record: Record, outgoing: list[Outgoing]) -> list[ReadEvent]:
        """The events of a message that belong here; the others, and the bad ones, are left in `outgoing`."""
        events, counters = [], self._services.progress.counters
        for entry in read_events(record):
            if not isinstance(entry, ReadEvent):
                counters["dead_letters"] += 1
                outgoing.append(dead_letter(record, *entry))
            elif (home := owner(entry.interaction.username, self._services.partitions)) != record.partition:
                counters["forwarded"] += 1
                outgoing.append(_forward(record, entry, home))
            else:
                events.append(entry)
        return events

    async def _apply_part(
        self,
        partition: int,
        shard: UserShard,
        part: list[tuple[Record, list[ReadEvent]]],
        outgoing: list[Outgoing],
    ) -> None:
        services = self._services
        log_id, weights = services.log_ids[INTERACTIONS], services.settings.interaction_weights
        fresh: dict[int, tuple[Record, ReadEvent]] = {}
        for record, events in part:
            for event in events:
                hashed = event_hash(event.event_id)
                if hashed in fresh or shard.ids.seen(hashed):
                    services.progress.counters["repeats"] += 1
                else:
                    fresh[hashed] = record, event
        usernames = {event.interaction.username for _, event in fresh.values()}
        await shard.load_users(usernames)
        writer = SignalWriter(log_id, INTERACTIONS, partition, services.partitions)
        for record, event in fresh.values():
            past = event.history_event
            effect = user_history.learn_one(shard.users[event.interaction.username], past, weights)
            if effect.delta:
                touch = Touch(event.offset, event.entry, past.post_id, event.at, past.type_code, *effect)
                writer.add_touch(touch, record.at)
        await send_in_order(services.producer, [*outgoing, *writer.finish()])
        await shard.commit(services.committer, log_id, part[-1][0].offset, usernames, list(fresh))
        services.progress.counters["events"] += len(fresh)


def _forward(record: Record, event: ReadEvent, home: int) -> Outgoing:
    """An event that a stranger's partitioner put on the wrong partition, to the one that owns its user.

    It keeps its id, its time and the time it was produced; the header says that it was read before.
    """
    named = msgspec.structs.replace(event.interaction, event_id=event.event_id)
    return Outgoing(
        topics.INTERACTIONS,
        home,
        event.interaction.username.encode(),
        msgspec.json.encode(named),
        at=record.at,
        headers=(("forwarded-from", f"{record.topic}-{record.partition}-{record.offset}".encode()),),
    )
