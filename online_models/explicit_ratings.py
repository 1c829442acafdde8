"""Explicit ratings: what a user would give a post, by River's BiasedMF, guarded and bounded.

    r(u, j) = mean + b_u + b_j + p_u · q_j        (Paterek 2007; Koren, Bell and Volinsky 2009)

River's model makes rows for whomever it is asked about, so it is only asked about those who rated or were rated, and it
never drops any: here the least recent ones go.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from schemas.learnt import RATING

from .slots import Slots

DIM = RATING - 1
RATE, L2, SPREAD = 0.025, 0.02, 0.05
"""Error (RMSE, test then learn, in stars of five) on ML-100K: .952; with River's defaults .972; of the mean 1.126."""
STARS = 5.0
"""River learns ratings of 0 to STARS, so that its rates are those of the literature."""


class ExplicitRatings(base.Base):  # type: ignore[misc]
    """Predicts ratings of 0 to 1.

    Parameters
    ----------
    users, posts
        How many are kept, at most: 64 MB of them by default, as rows are Python's.
    seed
        Fixes what vectors begin with.

    Examples
    --------
    >>> model = ExplicitRatings()
    >>> for turn in range(60):
    ...     model.learn_one(user=turn % 2, post_id=1 + turn // 2 % 3, rating=0.2 if turn % 2 else 0.8)
    >>> model.predict_one(0, 2) > 0.7, model.predict_one(1, 2) < 0.3
    (True, True)
    >>> model.predict_one(5, 2) is None
    True
    """

    def __init__(self, users: int = 50_000, posts: int = 100_000, seed: int = 5) -> None:
        self.users, self.posts, self.seed = users, posts, seed
        self.user_slots, self.post_slots = Slots(users), Slots(posts)
        self._model: Any = None

    def learn_one(self, user: int, post_id: int, rating: float) -> None:
        """A user gave a post a rating of 0 to 1. user: any number that tells them apart. 15 µs."""
        model = self._made()
        (one, new_user), (other, new_post) = self.user_slots.admit(user), self.post_slots.admit(post_id)
        for side, slot, new in (("users", one, new_user), ("posts", other, new_post)):
            if new:  # it may have been another's
                for rows in self._rows(side):
                    rows.pop(slot, None)
        model.learn_one(one, other, STARS * rating)

    def predict_one(self, user: int, post_id: int) -> float | None:
        """From 0 to 1; None for a user who rated nothing, or a post that nobody rated."""
        one, other = self.user_slots.get(user), self.post_slots.get(post_id)
        if one < 0 or other < 0:
            return None
        return min(max(float(self._model.predict_one(one, other)) / STARS, 0.0), 1.0)

    def rank(self, user: int) -> list[int]:
        """All rated posts, the one that the user would like best first; by their mean for a stranger."""
        ids = np.array(self.post_slots.known_ids(), np.int64)
        scores = predicted(self.mean, self.user_vectors(np.array([user]))[0], self.post_vectors(ids))
        order: list[int] = ids[np.argsort(-scores, kind="stable")].tolist()
        return order

    @property
    def mean(self) -> float:
        """Of all ratings, 0 to 1."""
        return float(self._model.global_mean.get()) / STARS if self._model is not None else 0.0

    def user_vectors(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, 1 + DIM): bias and vector of each; zeros for those who rated nothing."""
        return self._vectors(self.user_slots.find(users), "users")

    def post_vectors(self, post_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, 1 + DIM): bias and vector of each; zeros for those that nobody rated."""
        return self._vectors(self.post_slots.find(post_ids), "posts")

    def _vectors(self, slots: NDArray[np.int32], side: str) -> NDArray[np.float32]:
        found = np.zeros((len(slots), 1 + DIM), np.float32)
        if self._model is not None:
            biases, latents = self._rows(side)
            for row, slot in enumerate(slots.tolist()):
                if slot >= 0:
                    found[row, 0], found[row, 1:] = biases[slot] / STARS, latents[slot] / STARS**0.5
        return found

    def _made(self) -> Any:
        """River's model. It is imported with the first rating: that takes a second, which others save."""
        if self._model is None:
            from river import optim, reco

            self._model = reco.BiasedMF(
                n_factors=DIM, bias_optimizer=optim.SGD(RATE), latent_optimizer=optim.SGD(RATE), l2_bias=L2,
                l2_latent=L2, latent_initializer=optim.initializers.Normal(sigma=SPREAD, seed=self.seed),
                seed=self.seed,
            )  # fmt: skip
        return self._model

    def state(self) -> dict[str, NDArray[Any]]:
        """What a snapshot keeps."""
        kept: dict[str, NDArray[Any]] = {"mean": np.zeros(2)}
        for side, slots in (("users", self.user_slots), ("posts", self.post_slots)):
            kept |= {f"{side}_{name}": array for name, array in slots.state().items()}
            kept[f"{side}_vectors"] = self._vectors(slots.find(slots.ids[: slots.size]), side)
        if self._model is not None:
            kept["mean"] = np.array([self._model.global_mean.n, self._model.global_mean.get()])
        return kept

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes a state over. Raises KeyError or ValueError for another's."""
        model = self._made()
        count, mean = state["mean"].tolist()
        model.global_mean = type(model.global_mean)()
        if count:
            model.global_mean.update(mean, count)
        for side, slots in (("users", self.user_slots), ("posts", self.post_slots)):
            slots.load({name: state[f"{side}_{name}"] for name in ("ids", "used", "free")})
            biases, latents = self._rows(side)
            for one in slots.known_ids():
                slot = slots.get(one)
                vector = state[f"{side}_vectors"][slot].astype(np.float64)
                biases[slot], latents[slot] = vector[0] * STARS, vector[1:] * STARS**0.5

    def _rows(self, side: str) -> tuple[dict[int, float], dict[int, NDArray[np.float64]]]:
        letter = side[0] if side == "users" else "i"
        return getattr(self._model, f"{letter}_biases"), getattr(self._model, f"{letter}_latents")


def predicted(mean: float, user: NDArray[np.float32], posts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ratings (n,), 0 to 1, of posts (n, 1 + DIM) by a user (1 + DIM,): bias and vector of each."""
    return np.asarray(np.clip(mean + user[0] + posts[:, 0] + posts[:, 1:] @ user[1:], 0.0, 1.0), np.float32)
