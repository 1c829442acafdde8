"""The user from Redis, state and learnt vector in one round trip, and the history in slots."""

import numpy as np
from numpy.typing import NDArray

from online_models.aversion import MOST, dislikes
from online_models.positives import Positives
from online_models.user_history import recent_posts, strength_of
from schemas import keys, learnt
from schemas.events import INTERACTION_TYPES, NEGATIVE_TYPES
from schemas.history import TYPE_BITS, TYPE_MASK, History
from schemas.learning import user_hash
from schemas.settings import Settings
from schemas.topics import owner
from schemas.user_state import HISTORY_LENGTH, UserState
from schemas.users import decode_user

from ..reads import GetsMany
from ..stages import Query


class UserStateHydrator:
    """Sets `state`, `history`, `strengths`, `past`, `hours`, `glad`, `disliked`, `own`, `rating`, `last_at`, `profile`,
    `muted` and `blocked`. A user nobody has met has an empty state; a guest that of the session (schemas.guests)."""

    name = "user_state"

    def __init__(self, reads: GetsMany, settings: Settings) -> None:
        self._reads = reads
        self._partitions = settings.kafka_partitions
        self._weights = settings.interaction_weights

    async def hydrate(self, query: Query) -> None:
        await self.read(query)
        self.decode(query)

    async def read(self, query: Query) -> None:
        """Of a reader without a name or a session there is nothing to read."""
        if not (reader := query.reader):
            query.payloads = (None, None, None)
            return
        partition = owner(reader, self._partitions)
        state, learnt_of = keys.user_state(partition, reader), keys.learnt_user(user_hash(reader))
        query.payloads = tuple(await self._reads.get_many((state, learnt_of, keys.user_profile(partition, reader))))

    def decode(self, query: Query) -> None:
        if query.payloads is None or not query.reader:
            return
        payload, own, profile = query.payloads
        set_authors(query, profile)
        state = query.state = UserState.decode(payload)
        strengths = {kind: strength_of(kind, self._weights) for kind in set(state.history.kinds)}
        strongest: dict[int, float] = {}
        for post_id, kind in zip(state.history.posts, state.history.kinds, strict=True):
            now = strengths[kind]
            strongest[post_id] = max(now, strongest.get(post_id, now))
        known = [post for post in recent_posts(state, HISTORY_LENGTH) if post in query.catalogue.slots]
        query.history = query.catalogue.known_slots(known)
        query.strengths = np.array([strongest[post] for post in known])
        self._set_past(query, known)
        query.last_at = _last_at(state.history)
        if query.online is not None:
            dim = query.online.posts.dim
            if (vector := learnt.decode_user(own, dim)) is not None:
                query.own, query.rating = vector[:dim], vector[dim:]

    @staticmethod
    def _set_past(query: Query, known: list[int]) -> None:
        """known: posts of the history, newest first. What the last event with a post was decides, as at the learner."""
        history = query.state.history
        last = dict(zip(history.posts, history.kinds, strict=True))
        past = [post_id for post_id in known if not _NEGATIVE[last[post_id] & TYPE_MASK]]
        kinds = np.array([last[post_id] for post_id in past], np.int32)
        query.past = query.catalogue.known_slots(past).astype(np.int32)
        since = np.cumsum([0, *history.gaps[::-1]])[::-1][: len(history)]  # milliseconds from each to the newest
        hours = dict(zip(history.posts, ((history.newest_at - since) // 3_600_000 % 24).tolist(), strict=True))
        query.hours = np.array([hours[post_id] for post_id in past], np.int8)
        glad = _POSITIVES.of((kinds & TYPE_MASK).astype(np.int8), kinds >> TYPE_BITS)
        query.glad = query.past[glad] if glad.any() else query.past
        query.disliked = _disliked(query)


AUTHOR_LISTS = ("muted_authors", "blocked_authors")


def set_authors(query: Query, profile: bytes | None) -> None:
    """From `attributes` of the user row, which is free: what is no list of names says nothing."""
    query.profile = profile
    if profile is None:
        return
    codes, attributes = query.catalogue.author_codes, decode_user(profile).attributes
    for name, found in zip(AUTHOR_LISTS, (query.muted, query.blocked), strict=True):
        authors = attributes.get(name)
        for author in authors if isinstance(authors, list) else []:
            if isinstance(author, str) and (code := codes.get(author.casefold())) is not None:
                found.append(code)


def _disliked(query: Query) -> NDArray[np.int32]:
    """Slots of the posts that the user turned against and did not make up with, newest first."""
    history = query.state.history
    kinds = np.array(history.kinds, np.int32)
    turned = np.flatnonzero(dislikes(kinds & TYPE_MASK, kinds >> TYPE_BITS))[::-1].tolist()
    posts = list(dict.fromkeys(history.posts[place] for place in turned))
    return query.catalogue.known_slots(posts[:MOST]).astype(np.int32)


def _last_at(history: History) -> float:
    """Of the newest event but dislikes, as the learner counts it: seconds since 1970, 0 without one."""
    at, place = history.newest_at, len(history) - 1
    while place >= 0 and _NEGATIVE[history.kinds[place] & TYPE_MASK]:
        place -= 1
        at -= history.gaps[place] if place >= 0 else at
    return at / 1000


_POSITIVES = Positives()
_NEGATIVE = tuple(name in NEGATIVE_TYPES for name in INTERACTION_TYPES)
