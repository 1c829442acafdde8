"""Vectors of the deep model: of posts that were published, of rows that came since, and of users."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from online_models.content_tokens import post_tokens
from online_models.deep_towers import DeepTowers
from online_models.event_sequence import EventSequence
from schemas.models import ModelVersion
from schemas.posts import Post

from .arriving_vectors import ArrivingVectors
from .caches import Cache
from .catalogue import Catalogue


class DeepVectors(ArrivingVectors):
    """A published post keeps what the training found; one that came since has what its row says. users: vectors of
    users, to be used again."""

    renewed = False

    def __init__(
        self, version: ModelVersion, ids: NDArray[np.int64], vectors: NDArray[np.float32], towers: DeepTowers,
        users: Cache[NDArray[np.float32]],
    ) -> None:  # fmt: skip
        super().__init__(version, ids, vectors)
        self._towers, self._users = towers, users
        self._as_events = np.zeros((0, towers.width), np.float32)

    def pending(self, catalogue: Catalogue) -> NDArray[np.int64]:
        """As ArrivingVectors.pending; none for a version from before there was a tower for posts."""
        return super().pending(catalogue) if self._towers.of_posts else np.empty(0, np.int64)

    def embed(self, posts: Sequence[Post | None]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """As ArrivingVectors.embed; behind each vector is what stands for the post in a user's past."""
        tokens = post_tokens(posts)
        known = tokens.described
        return known, np.concatenate(self._towers.posts(tokens.rows(known)), axis=1)

    def put(
        self, catalogue: Catalogue, slots: NDArray[np.int64], revisions: NDArray[np.int32],
        known: NDArray[np.bool_], vectors: NDArray[np.float32],
    ) -> None:  # fmt: skip
        """As ArrivingVectors.put."""
        super().put(catalogue, slots, revisions, known, vectors)
        rows = self.rows(catalogue)[slots[known]] - len(self.ids)
        if (count := len(self._store) - len(self.ids)) > len(self._as_events):
            room = np.zeros((count, self._towers.width), np.float32)
            room[: len(self._as_events)] = self._as_events
            self._as_events = room
        self._as_events[rows] = vectors[:, self.version.dim :]

    def user(self, catalogue: Catalogue, events: EventSequence) -> NDArray[np.float32]:
        """(dim,) of a user with one event at least; .25 ms for 50, unless the same events were asked for before."""
        rows = self.rows_of(events.posts)
        new = np.zeros((len(rows), self._towers.width), np.float32)
        for place in np.flatnonzero(rows == len(self.ids)).tolist():
            slot = catalogue.slots.get(int(events.posts[place]), -1)
            if slot >= 0 and (row := self.rows(catalogue)[slot]) >= 0:
                new[place] = self._as_events[row - len(self.ids)]
        parts = rows, events.types, events.values, events.gaps, new[rows == len(self.ids)]
        key = self.version.version, b"".join(part.tobytes() for part in parts)
        user = self._users.get(key)
        self._users.count(hit=user is not None)
        if user is None:
            there = np.ones((1, len(rows)), np.bool_)
            of_events = events.types[None], events.values[None], events.gaps[None]
            user = self._towers.users(rows[None], *of_events, there, new[None])[0]
            self._users.put(key, user, len(key[1]) + user.nbytes + 300)
        return user
