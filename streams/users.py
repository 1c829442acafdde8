"""The users agent: rows of users into Redis, beside the state of their events."""

from schemas import keys, users
from schemas.errors import ContractError
from schemas.topics import owner
from schemas.users import User, decode_users

from .batches import Record
from .producing import Outgoing, dead_letter, send_in_order
from .services import LearnServices


class UsersAgent:
    """The newest row of a user holds; a null value deletes the user that the key names."""

    def __init__(self, services: LearnServices) -> None:
        self._services = services

    def forget(self, partition: int) -> None:
        """Nothing is remembered of a partition."""

    async def apply(self, partition: int, records: list[Record]) -> None:
        services = self._services
        refused: list[Outgoing] = []
        async with services.redis.pipeline(transaction=False) as pipeline:
            for record in records:
                for index, row in enumerate(read_rows(record)):
                    if isinstance(row, ContractError):
                        services.progress.counters["dead_letters"] += 1
                        refused.append(dead_letter(record, index, row))
                        continue
                    username, user = row
                    key = keys.user_profile(owner(username, services.partitions), username)
                    if user is None:
                        pipeline.delete(key)
                    else:
                        pipeline.set(key, users.encode(user), ex=keys.USER_TTL_SECONDS)
            await send_in_order(services.producer, refused)
            await pipeline.execute()
        services.progress.done(records)


def read_rows(record: Record) -> list[tuple[str, User | None] | ContractError]:
    """Name and user of each row of a message of `users`; None for the user that a null value deletes."""
    try:
        if record.value is None:
            return [((record.key or b"").decode(), None)]
        return [row if isinstance(row, ContractError) else (row.username, row) for row in decode_users(record.value)]
    except ContractError as error:
        return [error]
    except UnicodeDecodeError:
        return [ContractError("the key of a deletion is a username in UTF-8", "key")]
