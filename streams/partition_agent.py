"""What all agents share: a shard for each partition they own, and messages applied to it exactly once, without gaps."""

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

from .record import Record
from .services import Services


class Shard(Protocol):
    """What an agent holds of a partition."""

    @property
    def applied(self) -> int | None:
        """The offset of the last message that had its effects; -1: none of this log; None: whatever comes is next."""


S = TypeVar("S", bound=Shard)
V = TypeVar("V", bound=Services)


class PartitionAgent(ABC, Generic[S, V]):
    """One writer a partition; batches of one partition come one after the other."""

    def __init__(self, services: V) -> None:
        self._services = services
        self._shards: dict[int, S] = {}

    def forget(self, partition: int) -> None:
        self._shards.pop(partition, None)

    async def apply(self, partition: int, records: list[Record]) -> None:
        """Applies what is new among `records`; before the first batch of a shard, what the log has between."""
        shard = self._shards.get(partition)
        if shard is None:
            shard = self._shards[partition] = await self._load(partition)
            if (applied := shard.applied) is not None:
                first = records[0]
                async for missing in self._services.log_reader.gap((first.topic, partition), applied, first.offset):
                    await self._apply_fresh(shard, missing)
        await self._apply_fresh(shard, records)

    async def _apply_fresh(self, shard: S, records: list[Record]) -> None:
        applied = shard.applied
        fresh = [record for record in records if applied is None or record.offset > applied]
        if fresh:
            await self._apply(shard, fresh)
        self._services.progress.done(records)

    @abstractmethod
    async def _load(self, partition: int) -> S:
        """The partition as the store has it."""

    @abstractmethod
    async def _apply(self, shard: S, records: list[Record]) -> None:
        """Gives messages that are new to the shard their effects; afterwards `applied` is the offset of the last."""
