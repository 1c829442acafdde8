"""Vectors of posts by convolution over two graphs: who met what, and what lies near what.

LightGCN (He et al., SIGIR 2020) without vectors of users: a user is what the posts of the history make, so one who came
a second ago has a vector. Beside the user-item graph stands one from post to post, as in LATTICE (Zhang et al.,
Multimedia 2021): by it a post that hardly anybody met takes the vectors of its neighbours.
"""

import math
import warnings
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

NEAR = 0.5
"""Share of a layer that comes from the graph from post to post."""
SCALE = 10.0
"""What inner products are multiplied by at first; it is learnt."""


class Graphs(NamedTuple):
    """met (users, posts): D_u^−½ R D_i^−½, R being 1 where a user liked a post. near (posts, posts): rows sum to 1, or
    are empty."""

    met: sp.csr_matrix
    near: sp.csr_matrix


def normalised(cells: sp.csr_matrix, near: sp.csr_matrix) -> Graphs:
    """cells (users, posts): 1 where a user liked a post. near (posts, posts): weights of neighbours, 0 or more."""
    users, posts = _sums(cells, 1, 1.0), _sums(cells, 0, 1.0)
    met = sp.diags_array(users**-0.5) @ cells @ sp.diags_array(posts**-0.5)
    return Graphs(met.tocsr(), (sp.diags_array(1.0 / _sums(near, 1, 1e-9)) @ near).tocsr())


def _sums(matrix: sp.csr_matrix, axis: int, least: float) -> NDArray[np.float32]:
    return np.maximum(np.asarray(matrix.sum(axis=axis), np.float32).ravel(), np.float32(least))


class Convolution(nn.Module):
    """vectors (posts, width): what the learnt ones begin with. met (posts,): how often each was met, which biases begin
    with. layers: how often vectors are taken over from neighbours. The result is the mean of all layers, the first of
    which is learnt; inner products count exp(log_scale)."""

    def __init__(
        self, graphs: Graphs, vectors: NDArray[np.float32], met: NDArray[np.int64], layers: int
    ) -> None:  # fmt: skip
        super().__init__()
        posts, width = vectors.shape
        self.vectors = nn.Embedding(posts, width, _weight=torch.from_numpy(vectors))
        bias = torch.tensor(np.log1p(met) / 2, dtype=torch.float32)
        self.bias = nn.Embedding(posts, 1, _weight=bias[:, None])
        self.log_scale = nn.Parameter(torch.tensor(math.log(SCALE)))
        self._met, self._back, self._near = (_sparse(each) for each in (graphs.met, graphs.met.T, graphs.near))
        self._layers = layers

    def forward(self) -> Tensor:
        """(posts, width)."""
        layer: Tensor = self.vectors.weight
        total = layer
        for _ in range(self._layers):
            layer = (1.0 - NEAR) * (self._back @ (self._met @ layer)) + NEAR * (self._near @ layer)
            total = total + layer
        return total / (self._layers + 1)


def _sparse(matrix: sp.csr_matrix) -> Tensor:
    found = sp.csr_matrix(matrix, dtype=np.float32)
    found.sum_duplicates()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Sparse CSR tensor support is in beta.*")
        return torch.sparse_csr_tensor(
            torch.from_numpy(found.indptr.astype(np.int64)), torch.from_numpy(found.indices.astype(np.int64)),
            torch.from_numpy(found.data), found.shape, check_invariants=True,
        )  # fmt: skip
