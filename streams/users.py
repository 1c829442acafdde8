"""The users agent: rows of users into Redis, beside the state of their events."""

from schemas import keys, topics, users
from schemas.errors import ContractError
from schemas.topics import USERS, owner
from schemas.users import User, decode_users, deleted_user

from .commit import Command
from .partition_agent import PartitionAgent
from .producing import Outgoing, dead_letter, forwarded_from, send_in_order
from .record import Record
from .rows_shard import RowsShard
from .services import LearnServices


class UsersAgent(PartitionAgent[RowsShard, LearnServices]):
    """The newest row of a user holds; a null value deletes the user that the key names.

    A row on a partition that doesn't own its user is sent on to the one that does, as with interactions.
    """

    async def _load(self, partition: int) -> RowsShard:
        services = self._services
        return await RowsShard.load(services.redis, partition, keys.users_mark(partition), services.log_ids[USERS])

    async def _apply(self, shard: RowsShard, records: list[Record]) -> None:
        services = self._services
        outgoing: list[Outgoing] = []
        commands: dict[str, Command] = {}
        for record in records:
            for index, row in enumerate(read_rows(record)):
                if isinstance(row, ContractError):
                    services.progress.counters["dead_letters"] += 1
                    outgoing.append(dead_letter(record, index, row))
                    continue
                username, user = row
                if (home := owner(username, services.partitions)) != shard.partition:
                    services.progress.counters["forwarded"] += 1
                    outgoing.append(_forward(record, username, user, home))
                else:
                    commands[username] = profile_command(shard.partition, username, user, services.settings.user_ttl)
        await send_in_order(services.producer, outgoing)
        await shard.commit(services.committer, records[-1].offset, list(commands.values()))


def profile_command(partition: int, username: str, user: User | None, ttl: int) -> Command:
    """Writes the row of a user, or takes it away."""
    key = keys.user_profile(partition, username)
    return ("DEL", key) if user is None else ("SET", key, users.encode(user), "EX", ttl)


def _forward(record: Record, username: str, user: User | None, home: int) -> Outgoing:
    return Outgoing(
        topics.USERS, home, username.encode(), None if user is None else users.encode(user), at=record.at,
        headers=forwarded_from(record),
    )  # fmt: skip


def read_rows(record: Record) -> list[tuple[str, User | None] | ContractError]:
    """Name and user of each row of a message of `users`; None for the user that a null value deletes."""
    try:
        if record.value is None:
            return [(deleted_user(record.key), None)]
        return [row if isinstance(row, ContractError) else (row.username, row) for row in decode_users(record.value)]
    except ContractError as error:
        return [error]
