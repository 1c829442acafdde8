"""Who sees a post low on a page: position bias, and what takes it out of what is learnt from clicks.

A click at position p happens when the post is seen, with a chance e(p), and wanted. Weighing it with 1 / e(p) makes of
clicks what they would be if all of the page were seen (inverse propensities: Joachims, Swaminathan and Schnabel, WSDM
2017); the weight is clipped, which costs a little bias and bounds the variance.

    e(p) = 1 / log2(2 + p)

The curve is fixed. It could only be measured by swapping posts of pages at random, which costs every user something; it
falls more slowly than 1 / rank, the curve of search results, so that it corrects too little rather than too much where
it is wrong.
"""

import numpy as np
from numpy.typing import NDArray

MOST_WEIGHT = 5.0
"""That of position 30: what is below counts no more than that."""


def examination(positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Chance (n,) that positions (n,), from 0, are seen, against that of the first."""
    return np.asarray(1.0 / np.log2(2.0 + positions))


def click_weight(position: int) -> float:
    """For how many clicks one at this position stands, 1 to MOST_WEIGHT."""
    return float(min(np.log2(2.0 + position), MOST_WEIGHT))
