"""Vectors of posts that have something of their own and something of what their rows say, so that a post that nobody
has met has one: what it shares with others stands in for what is its own.

In training some posts lose their own part at each step (DropoutNet: Volkovs, Yu, Poutanen, NeurIPS 2017), or else what
is shared would never learn to do without it.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from online_models.post_table import TAG_CODES

from .post_facts import Facts

SHARED_BY = 2
"""A tag or an author of fewer posts tells nothing of others."""
DAMPING = 1.0
STEPS = 50


class Tokens(NamedTuple):
    """codes (k,), ascending: tags, and authors behind them, that several posts share. rows (posts + 1, m): their places
    in `codes`, k for none; the last row is of a post that is not there."""

    codes: NDArray[np.int64]
    rows: NDArray[np.int64]


def tokens_of(facts: Facts) -> Tokens:
    """Of all posts of a snapshot."""
    authors = np.where(facts.authors < 0, -1, facts.authors.astype(np.int64) + TAG_CODES)
    every = np.concatenate([facts.tags.astype(np.int64), authors[:, None]], axis=1)
    codes, counts = np.unique(every, return_counts=True)
    codes = codes[(codes >= 0) & (counts >= SHARED_BY)]
    place = np.searchsorted(codes, every)
    there = np.isin(every, codes)
    rows = np.full((len(every) + 1, every.shape[1]), len(codes))
    rows[:-1] = np.where(there, place, len(codes))
    return Tokens(codes, rows)


def by_tokens(tokens: Tokens, vectors: NDArray[np.float32], met: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(posts, width): what the tokens of posts say of their vectors (posts, width), by ridge regression on those that
    were met; zeros for posts without tokens."""
    count = len(tokens.codes)
    held = tokens.rows[:-1] < count
    posts, _ = np.nonzero(held)
    shares = 1.0 / np.maximum(held.sum(axis=1), 1)
    shape = len(vectors), count
    matrix = sp.csr_matrix((shares[posts], (posts, tokens.rows[:-1][held])), shape=shape)
    if not count or not met.any():
        return np.zeros_like(vectors)
    ridge = Ridge(alpha=DAMPING, fit_intercept=False, solver="sparse_cg", max_iter=STEPS)
    ridge.fit(matrix[met], vectors[met])
    return np.asarray(matrix @ ridge.coef_.reshape(-1, count).T, np.float32)


class Fixed(nn.Module):
    """Vectors (posts + 1, width) that are not learnt: own ones and, for hidden posts, those by tokens."""

    own: Tensor
    by_tokens: Tensor

    def __init__(self, posts: int, width: int) -> None:
        super().__init__()
        self.register_buffer("own", torch.zeros(posts + 1, width))
        self.register_buffer("by_tokens", torch.zeros(posts + 1, width))
        self.hidden: Tensor | None = None

    def forward(self, posts: Tensor) -> Tensor:
        """(…, width) of posts (…)."""
        if self.hidden is None:
            return self.own[posts]
        return torch.where(self.hidden[posts][..., None], self.by_tokens[posts], self.own[posts])


class PostVectors(nn.Module):
    """Learnt vectors: own ones, in place of which a hidden post has what `fixed` says by its tokens, and the mean of
    learnt vectors of its tokens."""

    by_tokens: Tensor
    rows: Tensor

    def __init__(self, tokens: Tokens, width: int, spread: float) -> None:
        super().__init__()
        posts = len(tokens.rows) - 1
        self.own = nn.Embedding(posts + 1, width, padding_idx=posts)
        self.tokens = nn.Embedding(len(tokens.codes) + 1, width, padding_idx=len(tokens.codes))
        self.register_buffer("by_tokens", torch.zeros(posts + 1, width))
        self.register_buffer("rows", torch.from_numpy(tokens.rows), persistent=False)
        self.hidden: Tensor | None = None
        with torch.no_grad():
            self.own.weight[:-1].normal_(0.0, spread)
            self.tokens.weight.zero_()

    def forward(self, posts: Tensor) -> Tensor:
        """(…, width) of posts (…)."""
        own: Tensor = self.own(posts)
        if self.hidden is not None:
            own = torch.where(self.hidden[posts][..., None], self.by_tokens[posts], own)
        return own + self.shared(posts)

    def shared(self, posts: Tensor) -> Tensor:
        """(…, width) of posts (…): the part that their tokens say."""
        rows = self.rows[posts]
        count = (rows < self.tokens.num_embeddings - 1).sum(dim=-1, keepdim=True).clamp(min=1)
        shared: Tensor = self.tokens(rows).sum(dim=-2) / count
        return shared

    def become(self, posts: Tensor, vectors: Tensor) -> None:
        """Posts (k,) have vectors (k, width) from now on."""
        self.own.weight[posts] = vectors - self.shared(posts)
