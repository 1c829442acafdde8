"""The items agent, stage 2: counters, trending and neighbours of the posts of a partition.

A signal carries the place of its event in the log it was read from. The highest place applied is kept for each source
partition, in the transaction that applied it, so that what stage 1 sends again after a crash changes nothing.
"""

from schemas import signals
from schemas.errors import ContractError
from schemas.marks import Applied
from schemas.signals import SignalBatch, Touches
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
        for record in records:
            try:
                batch = signals.decode(record.value or b"")
            except ContractError as error:
                services.progress.counters["dead_letters"] += 1
                await send_in_order(services.producer, [dead_letter(record, 0, error)])
                continue
            if batch.generation == shard.generation:  # another is of a state that is no more, and is told again
                await _learn(shard, batch)
        await shard.commit(services.committer, records[-1].offset)


async def _learn(shard: ItemShard, batch: SignalBatch) -> None:
    """Learns what is not applied yet, and moves the mark of its source past it."""
    source = f"{batch.topic}-{batch.partition}"
    applied = shard.sources.get(source)
    if applied is None or applied.log != batch.log:
        applied = Applied(batch.log, -1, -1)
    place = applied.offset, applied.index
    if batch.touches is not None:
        first, last = _places(batch.touches)
        if last > place:
            await shard.learn_touches(batch.touches if first > place else batch.touches.after(*place))
            shard.sources[source] = Applied(batch.log, *last)
    posts = [post for post in batch.posts if (post.offset, post.index) > place]
    if posts:
        await shard.learn_posts(posts)
        shard.sources[source] = Applied(batch.log, posts[-1].offset, posts[-1].index)


def _places(touches: Touches) -> tuple[tuple[int, int], tuple[int, int]]:
    """Of the first and of the last event."""
    first, last = zip(touches.offset[[0, -1]].tolist(), touches.entry[[0, -1]].tolist(), strict=True)
    return first, last
