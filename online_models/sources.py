"""Candidate sources of the learner: estimators, side by side on slots that they share, and how each scores posts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import ease, learnt
from schemas.posts import Post

from .click_through import ClickThrough
from .co_visitation import BACKWARD, CoVisitation, growth
from .co_visitation_scores import RECENCY
from .ease import Ease
from .pairwise_mf import PairwiseMF
from .post_columns import Rows
from .post_table import PostTable
from .replay import Events
from .sequence_factors import SequenceFactors, long_memory
from .slots import Slots
from .source_scores import VISITED, hour_of, logits, taste, visit
from .transitions import Transitions
from .user_history import CONTEXT

NAMES = (
    "co_visitation", "ease", "next", "sequence", "taste_factors", "factors", "tastes", "trending_1h", "trending_24h",
    "trending_7d", "popularity",
)  # fmt: skip
"""co_visitation: what users met near the last 20 posts, the newest counting most. ease: what all of the last 50 say
together that no other of them says already. next: what came right after the last five (online_models.transitions).
sequence, taste_factors: SequenceFactors, short and long. factors: PairwiseMF. tastes: posts with the tags and authors
of the last ones, met by anybody or not."""
LOGITS = np.array([name in ("sequence", "taste_factors", "factors") for name in NAMES])

MINIBATCH = 256
"""Events that factor models learn in one call, unless a post is ranked before: each call costs 10 µs."""


class Sources:
    """slots: of posts, shared. table: what else is known of them. One thread at a time."""

    def __init__(self, capacity: int, users: int, seed: int) -> None:
        self.slots = Slots(capacity)
        self.table = PostTable(capacity)
        self.click_through = ClickThrough(capacity)
        self.co_visitation = CoVisitation()
        self.strength = np.zeros(capacity)
        self.ease, self._solutions = Ease(capacity), 0
        self.transitions = Transitions()
        self.sequence = SequenceFactors(capacity=capacity, seed=seed)
        self.taste = long_memory(capacity=capacity, seed=seed + 1)
        self.factors = PairwiseMF(users=users, capacity=capacity, seed=seed + 2)
        self._factor_models = (self.sequence, self.taste, self.factors)
        self.replay = self.sequence.replay
        for model in self._factor_models:
            model.slots, model.replay = self.slots, self.replay
        self._waiting = Events(MINIBATCH)
        self._scores = np.zeros(len(NAMES) * capacity, np.float32)

    def admit(self, post_id: int) -> tuple[int, bool]:
        """The slot of a post, and whether it is new, and so perhaps was another's."""
        slot, new = self.slots.admit(post_id)
        if new:
            self.catch_up()
            self.table.start(slot)
            self.click_through.start(slot)
            self.strength[slot] = 0.0
            self.co_visitation.rows.forget(slot)
            self.transitions.forget(slot)
            self.ease.forget(slot)
            for model in self._factor_models:
                model.start(slot)
        return slot, new

    def start_user(self, user: int) -> None:
        """A user gets this slot: whatever was in it is forgotten."""
        self.catch_up()
        self.factors.start_user(user)

    def describe(self, slot: int, post: Post) -> None:
        self.table.describe(slot, post)

    def learn(
        self,
        slot: int,
        past: NDArray[np.int32],
        user: int,
        at: float,
        gain: float,
        weight: float,
        value: float,
        new: bool,
    ) -> None:
        """A user came to a post (new: for the first time) after `past` (newest first), at event time `at`.

        gain, weight: as in online_models.user_history.Effect. value: what they thought of it, 0 to 1.
        """
        grown = growth(at)
        if gain > 0:
            context = past[past != slot][:CONTEXT].astype(np.int64)
            ranks = gain * grown * RECENCY[: len(context)]
            post = np.full(len(context), slot, np.int64)
            self.co_visitation.learn_pairs(
                np.concatenate([context, post]),
                np.concatenate([post, context]),
                np.concatenate([ranks, BACKWARD * ranks]),
            )
            self.strength[slot] += gain * grown
        if new:
            self.transitions.learn_slots(slot, past, grown)
            self.ease.learn_slots(slot, past, grown)
            self._waiting.add(slot, past, user)
            if self._waiting.full:
                self.catch_up()
        self.table.learn(slot, at, max(weight, 0.0), value, new)

    def catch_up(self) -> None:
        """Factor models learn what waits for them: before they score, are read, or a slot changes hands."""
        if not self._waiting.count:
            return
        posts, pasts, lengths, users = self._waiting.take()
        self.replay.add(posts, pasts, lengths, users)
        for model in self._factor_models:
            model.learn_newest(int(np.count_nonzero(lengths)))

    def score(
        self, past: NDArray[np.int32], user: int, now: float, hours: NDArray[np.int8]
    ) -> NDArray[np.float32]:  # fmt: skip
        """(S, N): of each source in NAMES, for all slots; a view that the next call overwrites. hours: of the past, as
        online_models.past_table has them."""
        self.catch_up()
        size, table = self.slots.size, self.table
        scores = self._scores[: len(NAMES) * size].reshape(len(NAMES), size)  # without gaps: compiled loops are faster
        scale = 1.0 / growth(now)
        visit(past, self.rows(past), self.strength[:size], scale, scores[0])
        self.ease.score(past, scores[1])
        self.transitions.score(past, scale, scores[2])
        for number, model in enumerate(self._factor_models, 3):
            vector = model.user_vector(past, user if model.users else -1)
            logits(model.outputs[:size], model.bias[:size], vector, scores[number])
        interests, author = table.interests[:size], table.author[:size]
        taste(past, hours, hour_of(now), interests, author, len(table.tag_share), scores[6])
        for number, decay in enumerate(table.decays(now)):
            np.multiply(table.popularity[number, :size], decay, out=scores[7 + number], casting="unsafe")
        scores[10] = table.total[:size]
        return scores

    def rows(self, past: NDArray[np.int32]) -> Rows:
        """Of co-visitation, those of a user's last posts among them."""
        rows = self.co_visitation.rows
        return Rows(rows.neighbours, rows.weights, rows.counts, rows.places.find(past[:VISITED].astype(np.int64)))

    def new_ease(self) -> bytes:
        """The last solution of `ease` as feeds get it (schemas.ease); empty when it was told before."""
        if self.ease.solutions == self._solutions:
            return b""
        self._solutions = self.ease.solutions
        slots, weights = self.ease.solution()
        return ease.encode(self.slots.ids[slots], weights)

    def records(self, slots: NDArray[np.int32]) -> NDArray[np.void]:
        """(n,): what feeds get of posts (schemas.learnt.post_type)."""
        vectors, table = self.vectors(slots), self.table
        found = np.zeros(len(slots), learnt.post_type(vectors.shape[1]))
        found["vectors"] = vectors
        for name in ("total", "value", "first_at", "last_at"):
            found[name] = getattr(table, name)[slots]
        found["shown"], found["taken"] = self.click_through.counts(slots)
        left = found["left"] = self.transitions.left(slots)
        followers, weights = self.transitions.strongest(slots, learnt.FOLLOWERS)
        found["followers"] = np.where(followers >= 0, self.slots.ids[followers], 0)
        found["shares"] = np.divide(weights, left[:, None], out=np.zeros_like(weights), where=left[:, None] > 0)
        return found

    def vectors(self, slots: NDArray[np.int32]) -> NDArray[np.float32]:
        """(n, 5 · dim + 3): inputs, outputs and bias of `sequence` and of `taste_factors`, outputs and bias of
        `factors`."""
        first, second, third = self._factor_models
        return np.concatenate(
            [first.inputs[slots], first.outputs[slots], first.bias[slots, None], second.inputs[slots],
             second.outputs[slots], second.bias[slots, None], third.outputs[slots], third.bias[slots, None]], axis=1,
        )  # fmt: skip

    def state(self) -> dict[str, NDArray[Any]]:
        """What a snapshot keeps."""
        size, rows = self.slots.size, self.co_visitation.rows
        parts: dict[str, Mapping[str, NDArray[Any]]] = {"slots": self.slots.state(), "table": self.table.state(size)}
        parts["click_through"] = self.click_through.state(size)
        parts["ease"] = self.ease.state()
        parts |= {"replay": self.replay.state(), "users": self.factors.user_slots.state()}
        parts |= {name: getattr(self, name).state() for name in _FACTORS}
        parts |= {"rows": rows_state(rows, size), "next": rows_state(self.transitions.rows, size)}
        kept = {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
        return kept | {"strength": self.strength[:size].copy(), "out": self.transitions.state(size)}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes a state over. Raises KeyError or ValueError for another's."""
        parts: dict[str, dict[str, NDArray[Any]]] = {}
        for name, array in state.items():
            part, dot, rest = name.partition(".")
            if dot:
                parts.setdefault(part, {})[rest] = array
        self.slots.load(parts["slots"])
        self.table.load(parts["table"])
        if "click_through" in parts:  # snapshots of before there were impressions have none
            self.click_through.load(parts["click_through"])
        if "ease" in parts:  # nor what that is solved from
            self.ease.load(parts["ease"])
        self.replay.load(parts["replay"])
        self.factors.user_slots.load(parts["users"])
        for name in _FACTORS:
            getattr(self, name).load(parts[name])
        load_rows(self.co_visitation.rows, parts["rows"])
        load_rows(self.transitions.rows, parts["next"])
        self.strength[: len(state["strength"])] = state["strength"]
        self.transitions.load(state["out"])


_FACTORS = ("sequence", "taste", "factors")


def rows_state(rows: Any, size: int) -> dict[str, NDArray[Any]]:
    """Rows of slots 0 … size − 1 of NeighbourRows, one after the other."""
    places = rows.places.find(np.arange(size))
    counts = np.where(places >= 0, rows.counts[places], 0)
    held = np.arange(rows.neighbours.shape[1]) < counts[:, None]
    return {"counts": counts, "ids": rows.neighbours[places][held], "weights": rows.weights[places][held]}


def load_rows(rows: Any, state: Mapping[str, NDArray[Any]]) -> None:
    ends = np.cumsum(state["counts"]).tolist()
    for slot, (count, end) in enumerate(zip(state["counts"].tolist(), ends, strict=True)):
        if count:
            rows.load(slot, state["ids"][end - count : end], state["weights"][end - count : end])
