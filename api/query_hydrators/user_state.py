"""The user's state from Redis, in one round trip, and the history in slots."""

import numpy as np

from online_models.user_history import recent_posts, strength_of
from schemas import keys
from schemas.settings import Settings
from schemas.topics import owner
from schemas.user_state import HISTORY_LENGTH, UserState

from ..redis import RedisBytes
from ..stages import Query


class UserStateHydrator:
    """Sets `state`, `history` and `strengths`. A user nobody has met has an empty state."""

    name = "user_state"

    def __init__(self, redis: RedisBytes, settings: Settings) -> None:
        self._redis = redis
        self._partitions = settings.kafka_partitions
        self._weights = settings.interaction_weights

    async def hydrate(self, query: Query) -> None:
        partition = owner(query.username, self._partitions)
        payload = await self._redis.get(keys.user_state(partition, query.username))
        state = query.state = UserState.decode(payload)
        strengths = {kind: strength_of(kind, self._weights) for kind in set(state.history.kinds)}
        strongest: dict[int, float] = {}
        for post_id, kind in zip(state.history.posts, state.history.kinds, strict=True):
            now = strengths[kind]
            strongest[post_id] = max(now, strongest.get(post_id, now))
        known = [post for post in recent_posts(state, HISTORY_LENGTH) if post in query.catalogue.slots]
        query.history = query.catalogue.known_slots(known)
        query.strengths = np.array([strongest[post] for post in known])
