"""The items agent, stage 2: counters, trending and neighbours of the posts of a partition.

A signal carries the place of its event in the log it was read from. The highest place applied is kept for each source
partition, in the transaction that applied it, so that what stage 1 sends again after a crash changes nothing.
"""

import msgspec

from schemas import signals
from schemas.errors import ContractError
from schemas.marks import Applied
from schemas.signals import Signal
from schemas.topics import ITEM_SIGNALS

from .item_shard import ItemShard
from .partition_agent import PartitionAgent
from .producing import dead_letter, send_in_order
from .record import Record
from .services import LearnServices


class ItemsAgent(PartitionAgent[ItemShard, LearnServices]):
    """Applies signals to their posts."""

    async def _load(self, partition: int) -> ItemShard:
        services = self._services
        return await ItemShard.load(services.redis, partition, services.log_ids[ITEM_SIGNALS])

    async def _apply(self, shard: ItemShard, records: list[Record]) -> None:
        services = self._services
        told: list[Signal] = []
        for record in records:
            try:
                told += _fresh(shard, record)
            except msgspec.MsgspecError as error:
                services.progress.counters["dead_letters"] += 1
                letter = dead_letter(record, 0, ContractError(f"not an item signal: {error}"))
                await send_in_order(services.producer, [letter])
        await shard.learn(told)
        await shard.commit(services.committer, records[-1].offset)


def _fresh(shard: ItemShard, record: Record) -> list[Signal]:
    """The signals of a message that are not applied yet; moves the mark of their source past them."""
    batch = signals.decode(record.value or b"")
    if batch.generation != shard.generation:
        return []  # of a state that is no more: whoever builds on the present one tells it again
    source = f"{batch.topic}-{batch.partition}"
    applied = shard.sources.get(source)
    fresh = batch.signals
    if applied is not None and applied.log == batch.log and fresh[0].offset <= applied.offset:
        place = applied.offset, applied.index
        fresh = [signal for signal in fresh if (signal.offset, signal.index) > place]
    if fresh:
        shard.sources[source] = Applied(batch.log, fresh[-1].offset, fresh[-1].index)
    return fresh
