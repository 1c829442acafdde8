"""Rows of neighbours to and from Redis values (schemas.item_state.Neighbours), without a dict in between."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from online_models.compiled import compiled
from online_models.neighbour_rows import NeighbourRows
from schemas.item_state import NARROW_IDS, SINGLE_LARGEST, SINGLE_SMALLEST, Neighbours, plain_header


def encode(rows: NeighbourRows, post_ids: Sequence[int]) -> list[bytes]:
    """The values of posts that have a row: .5 µs each, and 20 where ids or weights take the long form."""
    places = np.array([rows.places.rows[post_id] for post_id in post_ids], np.int32)
    packed = np.empty((len(post_ids), 2 * rows.neighbours.shape[1]), np.uint32)
    counts = np.empty(len(post_ids), np.int32)
    _pack(rows.neighbours, rows.weights, rows.counts, places, packed, packed.view(np.float32), counts)
    stride, raw = packed.itemsize * packed.shape[1], packed.tobytes()
    return [
        plain_header(count) + raw[at : at + 8 * count] if count >= 0 else Neighbours(rows.row(post_id)).encode()
        for post_id, count, at in zip(post_ids, counts.tolist(), range(0, len(raw), stride), strict=True)
    ]


@compiled
def _pack(
    neighbours: NDArray[np.int64], weights: NDArray[np.float64], counts: NDArray[np.int32], places: NDArray[np.int32],
    packed: NDArray[np.uint32], singles: NDArray[np.float32], packed_counts: NDArray[np.int32],
) -> None:  # fmt: skip
    """Ids and weights of each row, one after the other. singles: the same memory as packed (n, 2 · width).

    packed_counts (n,): neighbours of the row; −1 where it does not fit into this form.
    """
    for number in range(len(places)):
        place = places[number]
        count = counts[place]
        strongest, largest = 0.0, np.int64(0)
        for at in range(count):
            packed[number, at] = neighbours[place, at]
            singles[number, count + at] = weights[place, at]
            strongest = max(strongest, weights[place, at])
            largest = max(largest, neighbours[place, at])
        plain = largest < NARROW_IDS and SINGLE_SMALLEST <= strongest <= SINGLE_LARGEST
        packed_counts[number] = count if plain or count == 0 else -1
