"""The best of many are those of a whole sort, whatever there is of equals, of what may not be shown, of both kinds."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from api.retrieved import OfAll, OfFew
from online_models.selection import top


@settings(max_examples=150, deadline=None)
@given(
    size=st.integers(0, 2_500), depth=st.integers(1, 90), decimals=st.integers(0, 6), share=st.floats(0.0, 1.0),
    kind=st.sampled_from([np.float32, np.float64]), above=st.sampled_from([0.0, -np.inf]), seed=st.integers(0, 2**32),
)  # fmt: skip
def test_the_best_are_those_of_a_whole_sort(
    size: int, depth: int, decimals: int, share: float, kind: type[np.floating], above: float, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    scores, allowed = draw.normal(size=size).round(decimals).astype(kind), draw.random(size) < share
    scores[draw.random(size) < 0.1] = -np.inf
    slots = np.flatnonzero(allowed & (scores > above))
    expected = slots[np.argsort(-scores[slots], kind="stable")][:depth].tolist()
    best = np.empty(depth, np.int32)
    assert best[: top(scores, allowed, above, best)].tolist() == expected
    logits, order = bool(above), draw.permutation(size)
    few = OfFew(order, scores[order], logits)
    assert best[: few.best(allowed, best)].tolist() == expected
    assert best[: OfAll(scores, logits).best(allowed, best)].tolist() == expected


def test_an_order_that_is_known_serves_as_far_as_it_reaches() -> None:
    row, best = np.arange(100.0), np.empty(10, np.int32)
    found = OfAll(row, firsts=np.array([99, 98, 97, 96, 95, 94, 93, 92, 91, 90, 89, 88], np.int32))
    kept = np.ones(100, np.bool_)
    kept[[99, 95]] = False
    assert best[: found.best(kept, best)].tolist() == [98, 97, 96, 94, 93, 92, 91, 90, 89, 88]
    kept[98] = False
    assert best[: found.best(kept, best)].tolist() == [97, 96, 94, 93, 92, 91, 90, 89, 88, 87]
    kept[:] = False
    assert found.best(kept, best) == 0


def test_a_post_that_came_since_has_no_score() -> None:
    found, slots, scores = OfAll(np.array([-1.0, 2.0])), np.array([2, 0, 1], np.int32), np.empty(3)
    found.reach(3)
    found.write(slots, slots, scores)
    assert scores.tolist() == [0.0, 0.0, 2.0]
