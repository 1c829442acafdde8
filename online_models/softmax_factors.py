"""Factor models learnt by sampled softmax, one event at a time: what SequenceFactors and PairwiseMF have in common.

The user is a decayed sum of input vectors E of the last posts h_0 (newest), h_1, …, or a vector P_u of their own; it
is scored against output vectors R:

    x = Σ_q g^q E[h_q] / sqrt(Σ_q g^2q)   or   x = P_u        score(j) = x · R_j + b_j

An event (context, post j) takes one step on −log softmax over j and NEGATIVES others, UNIFORM of them drawn from all
known posts and the rest from the last events, each logit lowered by the log of how likely it was drawn (logQ; Bengio
and Senécal 2008, Yi et al., RecSys 2019). Then REPLAYS earlier events (online_models.replay) take one each, against the
same negatives. Events come in minibatches, of which each is learnt by itself, in one call of compiled code. Steps are
Adagrad's with one sum for a vector (Duchi et al. 2011), with L2 in proportion to the gradient.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from .compiled import compiled, compiled_sums
from .replay import Events, Replay
from .slots import Slots

NEGATIVES = 32
UNIFORM = 0.2
"""With half of them uniform and less L2, prototypes lost .002 of recall@10."""
REPLAYS = 2
L2 = 0.005
SPREAD = 0.05
"""Standard deviation of a new vector."""
LEAST = 1e-4
"""Gradients of a logit below this move nothing: most of those of negatives that a model knows to be none."""
FIRST_SUM = 0.1
"""What the sums of squared gradients begin with."""

Float = NDArray[np.float32]
Slot = NDArray[np.int32]


class SoftmaxFactors(base.Base):  # type: ignore[misc]
    """Works on post ids by itself, or on slots that are shared with others, as are then `user_slots` and `replay`.

    Parameters
    ----------
    length
        Posts of the past that are summed; 0 for a model whose users have vectors of their own.
    decay
        g.
    rate
        Of Adagrad.
    users
        How many users have vectors, at most; 0 for a model of sums.
    capacity
        How many posts have vectors, at most.
    dim
        Numbers in a vector.
    seed
        Fixes every draw.
    """

    def __init__(self, length: int, decay: float, rate: float, users: int, capacity: int, dim: int, seed: int) -> None:
        self.length, self.decay, self.rate, self.users = length, decay, rate, users
        self.capacity, self.dim, self.seed = capacity, dim, seed
        self.slots, self.user_slots = Slots(capacity), Slots(max(users, 1))
        self._random = np.random.default_rng(seed)
        self._draws = np.array([2 * seed + 1], np.uint64)
        self.inputs = np.zeros((capacity if length else 1, dim), np.float32)
        self.outputs = np.zeros((capacity, dim), np.float32)
        self.bias = np.zeros(capacity, np.float32)
        self._sums = np.zeros((3, capacity), np.float32)
        self.own = np.zeros((self.user_slots.capacity, dim), np.float32)
        self._own_sums = np.zeros(self.user_slots.capacity, np.float32)
        self._marks = np.zeros(capacity + 1, np.int64)
        self.replay = Replay(capacity)

    def learn_one(self, post_id: int, context: Sequence[int], user: int = -1) -> None:
        """A user came to a post after `context` (newest first). user: any number that tells them apart."""
        slots = [self._admit(one) for one in (*context, post_id)]
        event = Events(1)
        event.add(slots[-1], np.array(slots[:-1], np.int32), self.admit_user(user))
        self.learn_many(*event.take())

    def predict_one(self, post_id: int, context: Sequence[int], user: int = -1) -> float:
        """The logit of a post; 0 for a stranger."""
        slot = self.slots.get(post_id)
        return float(self.score(*self._known(context, user))[slot]) if slot >= 0 else 0.0

    def rank(self, context: Sequence[int], user: int = -1) -> list[int]:
        """All known posts, best first."""
        scores = self.score(*self._known(context, user))
        return [int(self.slots.ids[slot]) for slot in np.argsort(-scores, kind="stable")]

    def rank_many(self, contexts: Sequence[Sequence[int]], users: Sequence[int] = ()) -> Float:
        """Logits of all slots for B users, (B, size), as one matrix product."""
        whose = users or [-1] * len(contexts)
        vectors = [self.user_vector(*self._known(*each)) for each in zip(contexts, whose, strict=True)]
        size = self.slots.size
        return np.asarray(np.array(vectors) @ self.outputs[:size].T + self.bias[:size], np.float32)

    def learn_many(self, posts: Slot, pasts: Slot, lengths: Slot, users: Slot) -> None:
        """learn_one for B events at once, by slots: posts (B,) that users (B,), or −1, came to after pasts (B, LENGTH),
        of which lengths (B,) count. B is at most REPLAYED. 3 µs an event."""
        self.replay.add(posts, pasts, lengths, users)
        self.learn_newest(int(np.count_nonzero(lengths)))

    def learn_newest(self, newest: int) -> None:
        """Learns as many events that were added to `replay`, for who adds them for several models."""
        ring = self.replay
        _learn(
            self.inputs, self.outputs, self.bias, self._sums, self.own, self._own_sums, self._marks, self.slots.size,
            ring.posts, ring.pasts, ring.lengths, ring.users, ring.drawn, int(ring.count[0]), newest, self._draws,
            self.length, np.float32(self.decay), np.float32(self.rate),
        )  # fmt: skip

    def user_vector(self, context: Slot, user: int = -1) -> Float:
        """x (dim,) of a user with these last posts, newest first."""
        if not self.length:
            return self.own[user] if user >= 0 else np.zeros(self.dim, np.float32)
        return summed(self.inputs, context[: self.length], self.decay)

    def score(self, context: Slot, user: int = -1) -> Float:
        """Logits (size,) of all slots."""
        size = self.slots.size
        return np.asarray(self.outputs[:size] @ self.user_vector(context, user) + self.bias[:size], np.float32)

    def admit_user(self, user: int) -> int:
        """The slot of a user who acts, −1 when the model keeps none."""
        if not self.users or user == -1:
            return -1
        slot, new = self.user_slots.admit(user)
        if new:
            self.start_user(slot)
        return slot

    def start_user(self, slot: int) -> None:
        """A user gets this slot: whatever was in it is forgotten."""
        self.own[slot] = self._random.normal(0.0, SPREAD, self.dim)
        self._own_sums[slot] = FIRST_SUM

    def start(self, slot: int) -> None:
        """A post gets this slot: whatever was in it is forgotten."""
        if self.length:
            self.inputs[slot] = self._random.normal(0.0, SPREAD, self.dim)
        self.outputs[slot] = self._random.normal(0.0, SPREAD, self.dim)
        self.bias[slot], self._sums[:, slot] = 0.0, FIRST_SUM

    def _admit(self, post_id: int) -> int:
        slot, new = self.slots.admit(post_id)
        if new:
            self.start(slot)
        return slot

    def _known(self, context: Sequence[int], user: int) -> tuple[Slot, int]:
        slots = self.slots.find(np.array(context, np.int64))
        return slots[slots >= 0], self.user_slots.get(user)

    def state(self) -> dict[str, NDArray[Any]]:
        """What a snapshot keeps; slots and the ring apart."""
        size, users = self.slots.size, self.user_slots.size
        kept = {name: getattr(self, name)[:size].copy() for name in ("outputs", "bias")}
        kept |= {name: getattr(self, name)[:users].copy() for name in ("own", "_own_sums")}
        kept |= {"inputs": self.inputs[: size if self.length else 1].copy()}
        return kept | {"sums": self._sums[:, :size].copy(), "draws": self._draws.copy()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes a state over; those of the slots are in place already. Raises KeyError or ValueError for another's."""
        for name in ("inputs", "outputs", "bias", "own", "_own_sums"):
            getattr(self, name)[: len(state[name])] = state[name]
        self._sums[:, : state["sums"].shape[1]] = state["sums"]
        self._draws = state["draws"].copy()


def summed(inputs: Float, context: Slot, decay: float) -> Float:
    """x (dim,) = Σ_q g^q E[h_q] / sqrt(Σ_q g^2q) over the posts of `context` (q,), newest first."""
    vector = np.empty(inputs.shape[1], np.float32)
    _sum(inputs, context, np.float32(decay), vector)
    return vector


@compiled_sums
def _sum(inputs: Float, context: Slot, decay: np.float32, vector: Float) -> None:
    vector[:] = 0
    weight, squares = np.float32(1), np.float32(0)
    for slot in context:
        near = inputs[slot]
        for at in range(len(vector)):
            vector[at] += weight * near[at]
        squares += weight * weight
        weight *= decay
    if squares > 0:
        vector /= np.sqrt(squares)


@compiled
def _draw(draws: NDArray[np.uint64], below: int) -> int:
    """xorshift64* (Vigna 2016): of 0 … below − 1, without a division (Lemire 2019). Its state is a part of the model,
    so that a seed fixes everything."""
    x = draws[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    draws[0] = x
    return int((((x * np.uint64(2685821657736338717)) >> np.uint64(33)) * np.uint64(below)) >> np.uint64(31))


@compiled
def _learn(
    inputs: Any, outputs: Any, bias: Any, sums: Any, own: Any, own_sums: Any, marks: Any, size: Any, posts: Any,
    pasts: Any, lengths: Any, users: Any, drawn: Any, count: Any, newest: Any, draws: Any, length: Any, decay: Any,
    rate: Any,
) -> None:  # fmt: skip
    """The newest events of the ring, each with REPLAYS others, against the same negatives."""
    filled, held = min(count, len(posts)), min(count, len(pasts))
    negatives, rare = np.empty(NEGATIVES, np.int32), np.empty(NEGATIVES, np.float32)
    of_user, of_posts = np.empty((2, outputs.shape[1]), np.float32), np.empty((2, 1 + NEGATIVES), np.float32)
    for event in range(count - newest, count):
        for at in range(NEGATIVES):
            uniform = at < int(UNIFORM * NEGATIVES)
            negatives[at] = _draw(draws, size) if uniform else posts[_draw(draws, filled)]
            rare[at] = _rarity(drawn[negatives[at]], filled, size)
        for turn in range(1 + REPLAYS):
            one = event if turn == 0 else count - 1 - _draw(draws, held)
            again, post = one % len(pasts), posts[one % len(posts)]
            past, user = pasts[again, : lengths[again]], users[again]
            if len(past) and (length > 0 or user >= 0):
                marks[-1] += 1
                for slot in past:
                    marks[slot] = marks[-1]
                _step(
                    inputs, outputs, bias, sums, own, own_sums, marks, negatives, rare, post,
                    _rarity(drawn[post], filled, size), past, user, length, decay, rate, of_user,
                    of_posts,
                )  # fmt: skip


@compiled
def _rarity(times: Any, filled: Any, size: Any) -> Any:
    """−log of how likely a post is drawn, that is in the ring so many times."""
    return -np.log(np.float32((1.0 - UNIFORM) * times / filled + UNIFORM / size + 1e-7))


@compiled_sums
def _step(
    inputs: Any, outputs: Any, bias: Any, sums: Any, own: Any, own_sums: Any, marks: Any, negatives: Any, rare: Any,
    post: Any, rarity: Any, context: Any, user: Any, length: Any, decay: Any, rate: Any, of_user: Any, of_posts: Any,
) -> None:  # fmt: skip
    """One step on the log-likelihood of `post` among itself and the negatives; those the user met, whose marks are that
    of the last, are left out."""
    dim = outputs.shape[1]
    count = len(negatives) + 1
    x, back, dots, logits = of_user[0], of_user[1], of_posts[0], of_posts[1]
    if length == 0:
        x[:] = own[user]
    else:
        _sum(inputs, context[:length], decay, x)
    most = np.float32(-1e30)
    for k in range(count):
        slot = post if k == 0 else negatives[k - 1]
        if k > 0 and (slot == post or marks[slot] == marks[-1]):
            logits[k] = np.float32(-1e30)
            continue
        dot, near = np.float32(0), outputs[slot]
        for at in range(dim):
            dot += x[at] * near[at]
        dots[k] = dot
        logits[k] = dot + bias[slot] + (rarity if k == 0 else rare[k - 1])
        most = max(most, logits[k])
    total = np.float32(0)
    for k in range(count):
        logits[k] = np.exp(logits[k] - most)
        total += logits[k]
    norm = np.float32(0)
    for at in range(dim):
        norm += x[at] * x[at]
    back[:] = 0
    for k in range(count):
        slot = post if k == 0 else negatives[k - 1]
        gradient = logits[k] / total - (np.float32(1) if k == 0 else np.float32(0))
        if abs(gradient) < LEAST:
            continue
        pull = np.float32(L2) * abs(gradient)
        # Of gradient · x + pull · R, but for the square of the second.
        squares = gradient * (gradient * norm + np.float32(2) * pull * dots[k])
        sums[1, slot] += max(squares, np.float32(0)) / dim
        step = rate / np.sqrt(sums[1, slot])
        keep, pushed, near = np.float32(1) - step * pull, step * gradient, outputs[slot]
        for at in range(dim):
            back[at] += gradient * near[at]
            near[at] = keep * near[at] - pushed * x[at]
        sums[2, slot] += gradient * gradient
        bias[slot] -= rate / np.sqrt(sums[2, slot]) * (gradient + pull * bias[slot])
    squares = np.float32(0)
    for at in range(dim):
        squares += back[at] * back[at]
    squares /= dim
    if length == 0:
        own_sums[user] += squares
        step = rate / np.sqrt(own_sums[user])
        for at in range(dim):
            own[user, at] -= step * (back[at] + np.float32(L2) * abs(back[at]) * own[user, at])
        return
    summed = context[:length]
    weight = np.float32(1) / np.sqrt((1 - decay ** (2 * len(summed))) / (1 - decay * decay))
    for slot in summed:
        sums[0, slot] += weight * weight * squares
        step = rate / np.sqrt(sums[0, slot])
        for at in range(dim):
            each = weight * back[at]
            inputs[slot, at] -= step * (each + np.float32(L2) * abs(each) * inputs[slot, at])
        weight *= decay
