"""The posts agent: rows of posts, checked, and told to the owners of the posts.

Its only state is a mark, so that a rebuild goes on where the record ends; stage 2 drops what is told twice by the
place of the row in the log.
"""

from schemas import keys
from schemas.errors import ContractError
from schemas.posts import Post, decode_posts
from schemas.signals import PostChanged
from schemas.topics import POSTS

from .partition_agent import PartitionAgent
from .producing import Outgoing, dead_letter, send_in_order
from .record import Record
from .rows_shard import RowsShard
from .services import LearnServices
from .signal_writer import SignalWriter


class PostsAgent(PartitionAgent[RowsShard, LearnServices]):
    """A null value deletes the post that the key names."""

    async def _load(self, partition: int) -> RowsShard:
        services = self._services
        return await RowsShard.load(services.redis, partition, keys.posts_mark(partition), services.log_ids[POSTS])

    async def _apply(self, shard: RowsShard, records: list[Record]) -> None:
        services = self._services
        writer = SignalWriter(shard.generation, shard.log_id, POSTS, shard.partition, services.partitions)
        refused: list[Outgoing] = []
        for record in records:
            for index, row in enumerate(read_rows(record)):
                if isinstance(row, ContractError):
                    services.progress.counters["dead_letters"] += 1
                    refused.append(dead_letter(record, index, row))
                else:
                    post_id, post = row
                    writer.add_post(PostChanged(record.offset, index, post_id, post), record.at)
        await send_in_order(services.producer, [*refused, *writer.finish()])
        await shard.commit(services.committer, records[-1].offset, [])


def read_rows(record: Record) -> list[tuple[int, Post | None] | ContractError]:
    """Id and post of each row of a message of `posts`; None for the post that a null value deletes."""
    try:
        if record.value is None:
            return [(int((record.key or b"").decode()), None)]
        return [row if isinstance(row, ContractError) else (row.id, row) for row in decode_posts(record.value)]
    except ContractError as error:
        return [error]
    except ValueError:
        return [ContractError("the key of a deletion is the id of the post", "key")]
