"""The item tower of the deep model: what a post's row says of the vectors that a training finds for posts that were
met, so that a post that came a second ago has one too, in the same space.

Ridge regression of the vectors on the tokens of rows (Gantner et al., Learning attribute-to-feature mappings for
cold-start recommendations, ICDM 2010), of which the best RANK directions are kept.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from online_models.content_tokens import BUCKETS, PostTokens

RANK = 32
"""Numbers a token. Recall@10 of the first viewers of a fifth of ML-100K that was kept out to choose by: .173 with 8,
.191 with 16, .193 with 32, .196 with all."""
DAMPING = 3.0
"""On the same posts: .191 with 1, .196 with 3, .188 with 10."""
MOST = 20_000
"""Posts that are learnt from, those with most viewers."""
STEPS = 100


class ItemTower(NamedTuple):
    """table (BUCKETS, r): of tokens, 0 for filling. directions (r, d). mean (d,): of a post without known tokens."""

    table: NDArray[np.float32]
    directions: NDArray[np.float32]
    mean: NDArray[np.float32]

    def vectors(self, tokens: PostTokens) -> NDArray[np.float32]:
        """(n, d) of n posts: mean + Σ table[token] / √(tokens of its kind) · directions."""
        return np.asarray(_features(tokens) @ self.table @ self.directions + self.mean, np.float32)


def item_tower(tokens: PostTokens, vectors: NDArray[np.float32], viewers: NDArray[np.int64]) -> ItemTower:
    """Learnt from the posts (n,) that somebody met. vectors (n, d): what to find. viewers (n,): how many met each; one
    with more of them has a better vector, and counts as their root."""
    rows = np.argsort(-viewers, kind="stable")[:MOST]
    rows = np.sort(rows[viewers[rows] > 0])
    table = np.zeros((BUCKETS, min(RANK, vectors.shape[1])), np.float32)
    if not len(rows):
        return ItemTower(table, np.zeros((table.shape[1], vectors.shape[1]), np.float32), np.zeros_like(vectors[0]))
    weights = np.sqrt(viewers[rows].astype(np.float64))
    weights /= weights.mean()
    mean = np.average(vectors[rows], axis=0, weights=weights)
    centred = vectors[rows] - mean
    _, _, directions = np.linalg.svd(centred * np.sqrt(weights)[:, None], full_matrices=False)
    directions = directions[: table.shape[1]]
    ridge = Ridge(alpha=DAMPING, fit_intercept=False, solver="sparse_cg", max_iter=STEPS)
    ridge.fit(_features(tokens.rows(rows)), centred @ directions.T, sample_weight=weights)
    table[:, : len(directions)] = ridge.coef_.reshape(len(directions), BUCKETS).T
    full = np.zeros((table.shape[1], vectors.shape[1]), np.float32)
    full[: len(directions)] = directions
    return ItemTower(table, full, mean.astype(np.float32))


def _features(tokens: PostTokens) -> sp.csr_matrix:
    """(n, BUCKETS): each token counts 1 / √m of the m of its kind, so that long titles say no more than a few tags."""
    total = sp.csr_matrix((len(tokens.names), BUCKETS), dtype=np.float32)
    for kind in tokens:
        posts, places = np.nonzero(kind)
        shares = 1.0 / np.sqrt(np.maximum(np.count_nonzero(kind, axis=1), 1)).astype(np.float32)
        total += sp.csr_matrix((shares[posts], (posts, kind[posts, places].astype(np.int64))), shape=total.shape)
    return total
