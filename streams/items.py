"""The items agent, stage 2: counters, trending and neighbours of the posts of a partition.

A signal carries the place of its event in the log it was read from. The highest place applied is kept for each source
partition, in the transaction that applied it, so that what stage 1 sends again after a crash changes nothing.
"""

import asyncio

import msgspec

from schemas import signals
from schemas.errors import ContractError
from schemas.marks import Applied
from schemas.signals import Follow, PostChanged, Signal, Touch
from schemas.topics import ITEM_SIGNALS

from .batches import Record
from .item_shard import ItemShard
from .producing import dead_letter, send_in_order
from .services import LearnServices

SIGNALS_AT_ONCE = 1_000
"""Between two turns of the event loop: about 10 ms."""


class ItemsAgent:
    """Applies batches of one partition at a time; one writer a partition."""

    def __init__(self, services: LearnServices) -> None:
        self._services = services
        self._shards: dict[int, ItemShard] = {}

    def forget(self, partition: int) -> None:
        self._shards.pop(partition, None)

    async def apply(self, partition: int, records: list[Record]) -> None:
        services = self._services
        shard = self._shards.get(partition)
        if shard is None:
            shard = self._shards[partition] = await ItemShard.load(services.redis, partition)
        told: list[Signal] = []
        for record in records:
            try:
                told += self._fresh(shard, record)
            except msgspec.MsgspecError as error:
                services.progress.counters["dead_letters"] += 1
                letter = dead_letter(record, 0, ContractError(f"not an item signal: {error}"))
                await send_in_order(services.producer, [letter])
        touched, followed = _changed_by(told)
        await shard.load_items(touched | followed)
        for start in range(0, len(told), SIGNALS_AT_ONCE):
            _learn(shard, told[start : start + SIGNALS_AT_ONCE])
            await asyncio.sleep(0)
        if records[-1].offset > shard.mark.offset or shard.mark.log != services.log_ids[ITEM_SIGNALS]:
            shard.mark.log, shard.mark.offset = services.log_ids[ITEM_SIGNALS], records[-1].offset
            await shard.commit(services.committer, touched, followed)
        services.progress.done(records)

    def _fresh(self, shard: ItemShard, record: Record) -> list[Signal]:
        """The signals of a message that are not applied yet; moves the mark of their source past them."""
        mark = shard.mark
        if mark.log == self._services.log_ids[ITEM_SIGNALS] and record.offset <= mark.offset:
            return []
        batch = signals.decode(record.value or b"")
        source = f"{batch.topic}-{batch.partition}"
        applied = mark.sources.get(source)
        fresh = batch.signals
        if applied is not None and applied.log == batch.log and fresh[0].offset <= applied.offset:
            place = applied.offset, applied.index
            fresh = [signal for signal in fresh if (signal.offset, signal.index) > place]
        if fresh:
            mark.sources[source] = Applied(batch.log, fresh[-1].offset, fresh[-1].index)
        return fresh


def _changed_by(told: list[Signal]) -> tuple[set[int], set[int]]:
    """The posts whose counters change, and those whose neighbours do."""
    touched: set[int] = set()
    followed: set[int] = set()
    for signal in told:
        if isinstance(signal, Follow):
            followed.update(signal.rows)
        else:
            touched.add(signal.post_id)
            if isinstance(signal, Touch) and signal.context:
                followed.add(signal.post_id)
    return touched, followed


def _learn(shard: ItemShard, told: list[Signal]) -> None:
    """Teaches the estimators."""
    counters, co_visitation = shard.counters, shard.co_visitation
    for signal in told:
        if isinstance(signal, Follow):
            co_visitation.learn_follow(signal.post_id, signal.rows, signal.ranks, signal.gain, signal.at)
        elif isinstance(signal, Touch):
            counters.learn_one(signal.post_id, signal.type_code, signal.delta, signal.weight, signal.at)
            if signal.gain > 0:
                co_visitation.learn_touch(signal.post_id, signal.context, signal.gain, signal.at)
        elif isinstance(signal, PostChanged):
            shard.change_post(signal.post_id, signal.post)
