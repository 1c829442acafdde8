"""Which columns are most alike, as a sparse matrix that fits into memory however many there are."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

BLOCK = 512
"""Rows of the product at once: 512 × 100,000 posts are 200 MB when all of them are alike."""


def strongest(left: sp.csc_matrix, count: int) -> sp.csr_matrix:
    """The largest `count` entries of each row of leftᵀ · left, its diagonal left out. left: (n, k); result: (k, k)."""
    rows: list[sp.csr_matrix] = []
    transposed = left.T.tocsr()
    for start in range(0, left.shape[1], BLOCK):
        block = (transposed[start : start + BLOCK] @ left).tocsr()
        block.setdiag(0, k=start)
        rows.append(keep_largest(block, count))
    return sp.vstack(rows, format="csr") if rows else sp.csr_matrix((0, 0), dtype=np.float32)


def keep_largest(matrix: sp.csr_matrix, count: int) -> sp.csr_matrix:
    """Only the largest `count` positive entries of each row."""
    matrix.eliminate_zeros()
    lengths = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(matrix.shape[0]), lengths)
    order = np.lexsort((-matrix.data, rows))
    place: NDArray[np.int64] = np.arange(len(order)) - np.repeat(matrix.indptr[:-1], lengths)
    kept = order[(place < count) & (matrix.data[order] > 0)]
    return sp.csr_matrix((matrix.data[kept], (rows[kept], matrix.indices[kept])), shape=matrix.shape)
