"""What a blend makes of the clicks of a feed, by the list that each click teaches and by what it weighs.

Simulated: pages of 20 of 150 posts. Posts have eight features, of which one says how much a user wants them; users see
the post at position p with the chance 1 / log2(2 + p), or 1 / (1 + p), and take it when they see and want it. Pages are
ranked by another feature (`noise`), or by what was learnt so far (`closed`). Prints how much the ten posts that the
blend puts first after 3,000 pages are wanted, against the ten that are wanted most: means of two seeds. Takes 50 s.
"""

import json
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from online_models.blend import START, Blend
from online_models.examination import click_weight, examination

FEATURES, POSTS, SHOWN, PAGES, SEEDS = 8, 150, 20, 3_000, (1, 2)
POSITIONS = np.arange(SHOWN)
SEEN = {"1/log2(2+p)": examination(POSITIONS), "1/(1+p)": 1.0 / (1.0 + POSITIONS)}
WAYS: dict[str, tuple[bool, Callable[[int], float]]] = {
    "all candidates": (False, lambda _: 1.0),
    "all candidates, weighted": (False, click_weight),
    "the page": (True, lambda _: 1.0),
    "the page, weighted": (True, click_weight),
}
"""Whether the page alone teaches, and the weight of a click at a position."""


def posts(draws: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    features = draws.normal(0.0, 1.0, (POSTS, FEATURES)).astype(np.float32)
    return features, 1.0 / (1.0 + np.exp(2.5 - 1.5 * features[:, 0]))


def learnt(ranked_by: str, seen: NDArray[np.float64], way: str, seed: int) -> Blend:
    of_page, weight = WAYS[way]
    draws, blend = np.random.default_rng(seed), Blend(np.full(FEATURES, START, np.float32), seed)
    for _ in range(PAGES):
        features, wanted = posts(draws)
        score = blend.predict_many(features) if ranked_by == "closed" else features[:, 1]
        page = np.argsort(-score)[:SHOWN]
        for position in np.flatnonzero(draws.random(SHOWN) < seen * wanted[page]).tolist():
            if of_page:
                blend.learn_one(features[page], position, weight(position))
            else:
                blend.learn_one(features, int(page[position]), weight(position))
    return blend


def quality(blend: Blend) -> float:
    draws, found, best = np.random.default_rng(99), 0.0, 0.0
    for _ in range(300):
        features, wanted = posts(draws)
        found += wanted[np.argsort(-blend.predict_many(features))[:10]].sum()
        best += np.sort(wanted)[-10:].sum()
    return float(found / best)


def main() -> None:
    report = {
        f"{ranked_by}, {curve}": {
            way: round(float(np.mean([quality(learnt(ranked_by, seen, way, seed)) for seed in SEEDS])), 3)
            for way in WAYS
        }
        for ranked_by in ("noise", "closed")
        for curve, seen in SEEN.items()
    }
    report["equal weights"] = {"": round(quality(Blend(np.full(FEATURES, START, np.float32))), 3)}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
