"""The posts agent: rows of posts, checked, and told to the owners of the posts.

It keeps no state: stage 2 drops what is told twice by the place of the row in the log.
"""

from schemas.errors import ContractError
from schemas.posts import Post, decode_posts
from schemas.signals import PostChanged
from schemas.topics import POSTS

from .batches import Record
from .producing import Outgoing, dead_letter, send_in_order
from .services import LearnServices
from .signal_writer import SignalWriter


class PostsAgent:
    """A null value deletes the post that the key names."""

    def __init__(self, services: LearnServices) -> None:
        self._services = services

    def forget(self, partition: int) -> None:
        """Nothing is remembered of a partition."""

    async def apply(self, partition: int, records: list[Record]) -> None:
        services = self._services
        writer = SignalWriter(services.log_ids[POSTS], POSTS, partition, services.partitions)
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
        services.progress.done(records)


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
