"""Business rules, after all that is learnt."""

import numpy as np

from ..rules import Rule, rules_of
from ..stages import Candidates, Query, Scores

PINNED = 1e6
"""Above any score that is learnt; pinned posts stand among each other as they did."""


class Rules:
    """Adds ln(factor) of each rule that holds and fits, PINNED to what is pinned; notes the names, for `explain`."""

    name = "rules"

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules

    def score(self, query: Query, candidates: Candidates, scores: Scores) -> Scores:
        for rule in rules_of(query, self._rules):
            fits = rule.fits(query.catalogue, candidates.slots, query.now)
            scores = scores + np.where(fits, PINNED if rule.pin else rule.logit, 0.0)
            if query.explain:
                for slot in candidates.slots[fits].tolist():
                    query.rules.setdefault(slot, []).append(rule.name)
        return scores
