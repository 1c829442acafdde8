"""Topics: names, settings, and which partition owns a key."""

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
EVENTS_A_MESSAGE = 50
"""A worker's cost is per message: 300 K events/s in arrays of 50 against 15 K one by one."""


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


def post_owner(post_id: int, partitions: int) -> int:
    """The partition that owns a post: that of its id in decimal. Of many at once: streams.post_owners."""
    return owner(str(post_id), partitions)
