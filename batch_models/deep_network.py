"""The deep model's network: attention over a user's last events makes a vector that posts are ranked by.

A causal transformer as in SASRec (Kang, McAuley, ICDM 2018), pre-norm, with a learnt weight of each distance and head
in place of positions. Two heads: what comes next, and what the user will be glad of in the next HORIZON positives
(deep_training). Their vectors stand side by side, so that one inner product gives the weighted sum of both.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from online_models.event_sequence import GAPS, LENGTH
from schemas.events import INTERACTION_TYPES

from .post_vectors import Fixed, PostVectors, Tokens

DECAYS = (0.3, 0.05, 0.0, 0.0)
"""What each attention head begins with: e-folds of weight an event of distance. So one looks at the last few, two at
all alike."""
HEADS = len(DECAYS)
EXPANSION = 2
SCALE = 0.5
"""What sums of fixed vectors begin with; it is learnt as a logarithm. With 8 the best post of kuairand stood 33 above
the others, and epochs went into unlearning that: the second head's loss after three is 7.03 with 3, 6.76 without sums.
"""


class Shape(NamedTuple):
    """posts: rows of the item table. width: of a vector of each head. layers: of attention. dropout: 0 to 1."""

    posts: int
    width: int = 64
    layers: int = 1
    dropout: float = 0.3


class Items(nn.Module):
    """Output vectors and biases (posts,) of a head. fixed: whether vectors that are not learnt (posts, width) come
    behind those that are (posts, width)."""

    every: Tensor

    def __init__(self, shape: Shape, tokens: Tokens, fixed: bool = False) -> None:
        super().__init__()
        self.fixed = Fixed(shape.posts, shape.width if fixed else 0)
        self.vectors = PostVectors(tokens, shape.width, 0.5 / math.sqrt(shape.width))
        self.bias = nn.Embedding(shape.posts, 1)
        self.register_buffer("every", torch.arange(shape.posts), persistent=False)
        nn.init.zeros_(self.bias.weight)

    def logits(self, users: Tensor, posts: Tensor | None = None) -> Tensor:
        """(n, p) of users (n, dim) and of posts (p,), all without them."""
        bias: Tensor = self.bias.weight if posts is None else self.bias(posts)
        return torch.addmm(bias[:, 0], users, self.table(posts).T)

    def logits_of(self, users: Tensor, posts: Tensor) -> Tensor:
        """(n, r) of each user (n, dim) for posts of their own (n, r)."""
        logits: Tensor = (self.table(posts) @ users[:, :, None] + self.bias(posts))[:, :, 0]
        return logits

    def table(self, posts: Tensor | None = None) -> Tensor:
        """(…, dim): vectors of posts (…), of all without them."""
        posts = self.every if posts is None else posts
        return torch.cat([self.vectors(posts), self.fixed(posts)], dim=-1)


class Attention(nn.Module):
    """A layer: what an event takes from those before it and from itself."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.projected, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, EXPANSION * width), nn.Linear(EXPANSION * width, width)
        self.distance = nn.Parameter(-torch.tensor(DECAYS)[:, None] * torch.arange(LENGTH))
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, events: Tensor, hidden: Tensor, distances: Tensor) -> Tensor:
        """(b, t, width) → the same. hidden (b, 1, t, t): True where an event may not look."""
        size, length, width = events.shape
        parts = self.projected(self.before(events)).view(size, length, 3, HEADS, width // HEADS)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4).unbind(0)
        return self._understood(events, queries, keys, values, hidden, self.distance[:, distances])

    def of_newest(self, events: Tensor, newest: Tensor, hidden: Tensor, distances: Tensor) -> Tensor:
        """(b, 1, width): of one event of each row alone, newest (b, 1, width). hidden, distances (b, t): from it."""
        size, length, width = events.shape
        weight, bias = self.projected.weight, self.projected.bias
        queries = functional.linear(self.before(newest), weight[:width], bias[:width])
        parts = functional.linear(self.before(events), weight[width:], bias[width:])
        keys, values = parts.view(size, length, 2, HEADS, width // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        queries = queries.view(size, 1, HEADS, width // HEADS).transpose(1, 2)
        apart = self.distance[:, distances].transpose(0, 1)[:, :, None]
        return self._understood(newest, queries, keys, values, hidden[:, None, None], apart)

    def _understood(
        self, events: Tensor, queries: Tensor, keys: Tensor, values: Tensor, hidden: Tensor, apart: Tensor
    ) -> Tensor:  # fmt: skip
        """(b, q, width) of events (b, q, width). queries, keys, values: (b, heads, …, width / heads)."""
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1]) + apart
        weights = self.dropout(torch.softmax(scores.masked_fill(hidden, -1e9), dim=-1))
        taken = (weights @ values).transpose(1, 2).reshape(events.shape)
        events = events + self.dropout(self.joined(taken))
        understood: Tensor = self.dropout(self.outer(functional.gelu(self.inner(self.after(events)))))
        return events + understood


class Sums(nn.Module):
    """The wide part (Cheng et al., Wide & Deep, 2016): a user as the mean of fixed vectors of the last posts, the newer
    and the better liked counting more, as in svd.py. It forgets nothing that the factorisation knows, and the network
    learns what comes on top. strengths (types,): schemas.events.strength of a value of 1."""

    strengths: Tensor

    def __init__(self, shape: Shape, strengths: Tensor) -> None:
        super().__init__()
        self.vectors: nn.Module = Fixed(shape.posts, shape.width)
        self.register_buffer("strengths", strengths.clamp(min=0.0))
        self.recency = nn.Parameter(torch.tensor(3.0))
        self.log_scale = nn.Parameter(torch.full((shape.width,), math.log(SCALE)))

    def forward(self, posts: Tensor, types: Tensor, values: Tensor, hidden: Tensor, distances: Tensor) -> Tensor:
        """(b, q, width): the mean after each event, or some. hidden (b, q, t), distances (q, t) or (b, q, t): of the
        events from those."""
        weights = torch.sigmoid(self.recency) ** distances
        weights = (weights * (self.strengths[types] * values)[:, None, :]).masked_fill(hidden, 0.0)
        sums: Tensor = weights @ self.vectors(posts) / (weights.sum(dim=-1, keepdim=True) + 1e-6)
        return sums * self.log_scale.exp()


class UserTower(nn.Module):
    """Events → a state after each of them, and the user's vectors of both heads."""

    def __init__(self, shape: Shape, tokens: Tokens, strengths: Tensor) -> None:
        super().__init__()
        width = shape.width
        self.posts: nn.Module = PostVectors(tokens, width, 0.5 / math.sqrt(width))
        self.types, self.gaps = nn.Embedding(len(INTERACTION_TYPES), width), nn.Embedding(GAPS, width)
        self.value = nn.Linear(1, width, bias=False)
        with torch.no_grad():
            for small in (self.types.weight, self.gaps.weight):
                small.normal_(0.0, 0.02)
        self.attention = nn.ModuleList(Attention(shape) for _ in range(shape.layers))
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(shape.dropout)
        self.sums = Sums(shape, strengths)
        self.to_next = nn.Linear(width, width)
        self.to_later = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Dropout(shape.dropout), nn.Linear(width, width)
        )

    def states(self, posts: Tensor, types: Tensor, values: Tensor, gaps: Tensor, there: Tensor) -> Tensor:
        """(b, t, 2 · width) of events (b, t) each: what attention and what the sums make of them.

        posts: rows of the item table, its length for a post it does not have. there: False for filling, which must come
        last.
        """
        events = self._events(posts, types, values, gaps)
        hidden, distances = _before(there)
        for layer in self.attention:
            events = layer(events, hidden, distances)
        return torch.cat([self.norm(events), self.sums(posts, types, values, hidden[:, 0], distances)], dim=-1)

    def newest_state(self, posts: Tensor, types: Tensor, values: Tensor, gaps: Tensor, there: Tensor) -> Tensor:
        """(b, 2 · width): of states, the one after the newest event, for which the last layer needs no other."""
        events = self._events(posts, types, values, gaps)
        newest = there.sum(dim=1) - 1
        if len(self.attention) > 1:
            hidden, distances = _before(there)
            for layer in self.attention[:-1]:
                events = layer(events, hidden, distances)
        last = events[torch.arange(posts.shape[0], device=posts.device), newest][:, None]
        places = torch.arange(posts.shape[1], device=posts.device)
        since = (newest[:, None] - places[None, :]).clamp(0, LENGTH - 1)
        last = self.attention[-1].of_newest(events, last, ~there, since)  # type: ignore[operator]
        sums = self.sums(posts, types, values, ~there[:, None], since[:, None])
        return torch.cat([self.norm(last), sums], dim=-1)[:, 0]

    def _events(self, posts: Tensor, types: Tensor, values: Tensor, gaps: Tensor) -> Tensor:
        """(b, t, width), as layers read them."""
        events = self.posts(posts) + self.types(types) + self.value(values[:, :, None] - 0.5) + self.gaps(gaps)
        made: Tensor = self.dropout(events)
        return made

    def next(self, states: Tensor) -> Tensor:
        """(…, width): the user's vectors for what comes next, of states."""
        vectors: Tensor = self.to_next(states[..., : self.norm.normalized_shape[0]])
        return vectors

    def later(self, states: Tensor) -> Tensor:
        """(…, 2 · width): for what comes later."""
        width = self.norm.normalized_shape[0]
        return torch.cat([self.to_later(states[..., :width]), states[..., width:]], dim=-1)


def _before(there: Tensor) -> tuple[Tensor, Tensor]:
    """hidden (b, 1, t, t) and distances (t, t) of events from each other, as layers take them. there: (b, t)."""
    places = torch.arange(there.shape[1], device=there.device)
    apart = places[:, None] - places[None, :]
    return (apart < 0)[None, None] | ~there[:, None, None, :], apart.clamp(0, LENGTH - 1)


class Network(nn.Module):
    """The tower and the posts of both heads."""

    def __init__(self, shape: Shape, tokens: Tokens, strengths: Tensor) -> None:
        super().__init__()
        self.shape = shape
        self.tower = UserTower(shape, tokens, strengths)
        self.next, self.later = Items(shape, tokens), Items(shape, tokens, fixed=True)

    def begin_with(self, vectors: Tensor, by_tokens: Tensor) -> None:
        """Adds vectors (posts, width) to those of posts, as inputs and as outputs of both heads, and takes them as the
        fixed ones. by_tokens (posts, width): what hidden posts have in their place."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, PostVectors):
                    module.own.weight[:-1] += vectors
                    module.by_tokens[:-1] = by_tokens
                elif isinstance(module, Fixed) and module.own.shape[1]:
                    module.own[:-1], module.by_tokens[:-1] = vectors, by_tokens

    def hide(self, posts: Tensor | None) -> None:
        """Posts (posts,) bool that are as if nobody had met them, from now on; None for none."""
        if posts is not None:
            posts = torch.cat([posts, torch.zeros_like(posts[:1])])
        for module in self.modules():
            if isinstance(module, PostVectors | Fixed):
                module.hidden = posts

    def item_vectors(self, later: float) -> Tensor:
        """(posts, 3 · width + 1): of both heads, and the bias. later: weight of that head, 0 to 1."""
        bias = (1.0 - later) * self.next.bias.weight + later * self.later.bias.weight
        return torch.cat([self.next.table(), self.later.table(), bias], dim=1)


class UserVector(nn.Module):
    """What is exported: the newest state's vector (b, 3 · width + 1), whose inner product with Network.item_vectors is
    the weighted sum of both heads' logits."""

    def __init__(self, network: Network, later: float) -> None:
        super().__init__()
        self.tower, self.share = network.tower, later

    def forward(self, posts: Tensor, types: Tensor, values: Tensor, gaps: Tensor, there: Tensor) -> Tensor:
        """Events (b, t) each, as in UserTower.states; every row has one at least."""
        state = self.tower.newest_state(posts, types, values, gaps, there)
        parts = [(1.0 - self.share) * self.tower.next(state), self.share * self.tower.later(state)]
        return torch.cat([*parts, torch.ones_like(state[:, :1])], dim=1)
