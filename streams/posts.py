"""The posts agent: rows of posts, checked, and told to the owners of the posts and to the learner.

Its only state is a mark, so that a rebuild goes on where the record ends; stage 2 drops what is told twice by the
place of the row in the log.
"""

from collections.abc import Iterator

from schemas import keys, learning, signals, topics
from schemas.errors import ContractError
from schemas.learning import LearningMessage
from schemas.posts import Post, decode_posts, deleted_post
from schemas.signals import PostChanged, SignalBatch
from schemas.topics import POSTS, post_owner

from .partition_agent import PartitionAgent
from .producing import Outgoing, dead_letter, send_in_order, signals_at
from .record import Record
from .rows_shard import RowsShard
from .services import LearnServices

MOST_BYTES = 500_000
"""Of rows in a message. Brokers take 1 MB by default."""


class PostsAgent(PartitionAgent[RowsShard, LearnServices]):
    """A null value deletes the post that the key names."""

    async def _load(self, partition: int) -> RowsShard:
        services = self._services
        return await RowsShard.load(services.redis, partition, keys.posts_mark(partition), services.log_ids[POSTS])

    async def _apply(self, shard: RowsShard, records: list[Record]) -> None:
        services = self._services
        told: dict[int, list[PostChanged]] = {}
        refused: list[Outgoing] = []
        for record in records:
            for index, row in enumerate(read_rows(record)):
                if isinstance(row, ContractError):
                    services.progress.counters["dead_letters"] += 1
                    refused.append(dead_letter(record, index, row))
                else:
                    target = post_owner(row[0], services.partitions)
                    told.setdefault(target, []).append(PostChanged(record.offset, index, *row))
        source = shard.generation, shard.log_id, POSTS, shard.partition
        parts = [(target, part) for target, changed in told.items() for part in _messages(changed)]
        messages = [
            Outgoing(
                topics.ITEM_SIGNALS,
                target,
                None,
                signals.encode(SignalBatch(*source, None, part)),
                signals_at(records[0].at),
            )
            for target, part in parts
        ]
        for _, part in parts:
            rows = [(each.post_id, each.post) for each in part]
            messages.append(Outgoing(topics.LEARNING, 0, None, learning.encode(LearningMessage(None, rows))))
        await send_in_order(services.producer, [*refused, *messages])
        await shard.commit(services.committer, records[-1].offset, [])


def _messages(changed: list[PostChanged]) -> Iterator[list[PostChanged]]:
    """Parts of at most MOST_BYTES, or of one row."""
    part: list[PostChanged] = []
    size = 0
    for each in changed:
        size += len(each.post.item) if each.post else 0
        if part and size > MOST_BYTES:
            yield part
            part, size = [], len(each.post.item) if each.post else 0
        part.append(each)
    yield part


def read_rows(record: Record) -> list[tuple[int, Post | None] | ContractError]:
    """Id and post of each row of a message of `posts`; None for the post that a null value deletes."""
    try:
        if record.value is None:
            return [(deleted_post(record.key), None)]
        return [row if isinstance(row, ContractError) else (row.id, row) for row in decode_posts(record.value)]
    except ContractError as error:
        return [error]
