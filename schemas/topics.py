"""Topics: names, settings, and which partition owns a key."""

from array import array
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from aiokafka.partitioner import murmur2

INTERACTIONS = "interactions"
POSTS = "posts"
USERS = "users"
ITEM_SIGNALS = "item-signals"
LEARNING = "learning"
IMPRESSIONS = "impressions"
TRENDING = "trending"
MODELS = "models"
DEAD_LETTERS = "dead-letters"

DAY_MS = 86_400_000
MOST_OWNERS = 1 << 17


class Topic(NamedTuple):
    """A topic as it is created: `partitions` None means the setting KAFKA_PARTITIONS."""

    name: str
    partitions: int | None = None
    retention_ms: int | None = None

    @property
    def config(self) -> dict[str, str]:
        """Broker settings of the topic. Without a retention it is compacted: the newest value of a key is kept."""
        if self.retention_ms is None:
            return {"cleanup.policy": "compact"}
        return {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}


TOPICS: tuple[Topic, ...] = (
    Topic(INTERACTIONS, retention_ms=7 * DAY_MS),
    Topic(POSTS),
    Topic(USERS),
    Topic(ITEM_SIGNALS, retention_ms=DAY_MS),
    Topic(LEARNING, partitions=1, retention_ms=DAY_MS),
    Topic(IMPRESSIONS, retention_ms=7 * DAY_MS),
    Topic(TRENDING, retention_ms=DAY_MS),
    Topic(MODELS, partitions=1),
    Topic(DEAD_LETTERS, retention_ms=30 * DAY_MS),
)


@lru_cache(maxsize=1 << 17)
def owner(key: str, partitions: int) -> int:
    """The partition that owns a key: murmur2 of its UTF-8 bytes, as the Java client and aiokafka place it.

    Cached, because the hash is pure Python (4 µs) and keys repeat.
    """
    return int((murmur2(key.encode()) & 0x7FFFFFFF) % partitions)


class _PostOwners(dict[int, int]):
    """Post id → partition, as far as they were asked for; a lookup takes 30 ns."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions

    def __missing__(self, post_id: int) -> int:
        if len(self) >= MOST_OWNERS:
            self.clear()
        found = self[post_id] = owner(str(post_id), self.partitions)
        return found


@lru_cache(maxsize=8)
def _post_owners(partitions: int) -> _PostOwners:
    return _PostOwners(partitions)


def post_owner(post_id: int, partitions: int) -> int:
    """The partition that owns a post: that of its id in decimal."""
    return _post_owners(partitions)[post_id]


def post_owners(post_ids: Iterable[int], partitions: int) -> "array[int]":
    """The partition of each post."""
    return array("i", map(_post_owners(partitions).__getitem__, post_ids))
