"""The user from Redis, state and learnt vector in one round trip, and the history in slots."""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from online_models.aversion import MOST, dislikes
from online_models.positives import Positives
from online_models.user_history import strength_of
from schemas import keys, learnt
from schemas.events import INTERACTION_TYPES, NEGATIVE_TYPES, InteractionType
from schemas.history import TYPE_BITS, TYPE_MASK
from schemas.learning import user_hash
from schemas.settings import Settings
from schemas.topics import owner
from schemas.user_state import UserState
from schemas.users import decode_user

from ..reads import GetsMany
from ..stages import Query

HOUR_MS = 3_600_000


class UserStateHydrator:
    """Sets `state`, `history`, `strengths`, `past`, `hours`, `glad`, `disliked`, `own`, `rating`, `last_at`, `profile`,
    `muted` and `blocked`. A user nobody has met has an empty state; a guest that of the session (schemas.guests)."""

    name = "user_state"

    def __init__(self, reads: GetsMany, settings: Settings) -> None:
        self._reads = reads
        self._partitions = settings.kafka_partitions
        # There are some thousand kinds, as a view or a rating has its value.
        self._kind = lru_cache(4_096)(partial(_kind, settings.interaction_weights))

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
        query.state = UserState.decode(payload)
        self.set_history(query)
        if query.online is not None:
            dim = query.online.posts.dim
            if (vector := learnt.decode_user(own, dim)) is not None:
                query.own, query.rating = vector[:dim], vector[dim:]

    def set_history(self, query: Query) -> None:
        """What follows from the events of `state`: the last one with a post decides, as at the learner.

        In one walk, the newest first: most users have few events, and each call of numpy is 1 to 5 µs.
        """
        history, slots = query.state.history, query.catalogue.slots
        newest: dict[int, tuple[_Kind, int]] = {}
        strongest: dict[int, float] = {}
        met: dict[int, None] = {}
        turned: dict[int, None] = {}
        at, last_at = history.newest_at, 0
        gaps = reversed([*history.gaps, 0][: len(history)])
        for post_id, kind, gap in zip(reversed(history.posts), reversed(history.kinds), gaps, strict=True):
            at -= gap
            told = self._kind(kind)
            if post_id not in newest:
                newest[post_id] = told, at // HOUR_MS % 24
                strongest[post_id] = told.strength
            elif told.strength > strongest[post_id]:
                strongest[post_id] = told.strength
            if not told.negative:
                met[post_id] = None
                last_at = last_at or at
            if told.turned:
                turned[post_id] = None
        known = [post_id for post_id in met if post_id in slots]
        past = [(slots[post_id], *newest[post_id]) for post_id in known if not newest[post_id][0].negative]
        glad = [slot for slot, told, _ in past if told.glad]
        query.history = np.array([slots[post_id] for post_id in known], np.int64)
        query.strengths = np.array([strongest[post_id] for post_id in known], np.float64)
        query.past = np.array([slot for slot, _, _ in past], np.int32)
        query.hours = np.array([hour for _, _, hour in past], np.int8)
        query.glad = np.array(glad, np.int32) if glad else query.past
        query.disliked = np.array([slots[post_id] for post_id in [*turned][:MOST] if post_id in slots], np.int32)
        query.last_at = last_at / 1000


class _Kind(NamedTuple):
    """What an event of a kind (schemas.history) says. turned: the user turned against the post; glad: they liked it."""

    strength: float
    negative: bool
    turned: bool
    glad: bool


def _kind(weights: Mapping[InteractionType, float], kind: int) -> _Kind:
    code, value = np.array([kind & TYPE_MASK]), np.array([kind >> TYPE_BITS])
    return _Kind(
        strength_of(kind, weights), INTERACTION_TYPES[code[0]] in NEGATIVE_TYPES, bool(dislikes(code, value)[0]),
        bool(_POSITIVES.of(code, value)[0]),
    )  # fmt: skip


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


_POSITIVES = Positives()
