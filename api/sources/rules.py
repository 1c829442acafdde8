"""Candidates that a business rule boosts or pins: no other source need have them."""

import numpy as np

from ..retrieved import OfFew, Retrieved, nothing
from ..rules import Rule, rules_of
from ..stages import Query
from .popular import WINDOW


class RuleSource:
    """Posts that rules with a factor above 1, or a pin, fit, by 1 + popularity; pinned ones before all others."""

    name = "rules"
    personal = True

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules

    def retrieve(self, query: Query) -> Retrieved:
        rules = [rule for rule in rules_of(query, self._rules) if rule.pin or rule.factor > 1]
        if not rules:
            return nothing()
        slots = np.arange(query.catalogue.size)
        pinned, fits = np.zeros(len(slots), np.bool_), np.zeros(len(slots), np.bool_)
        for rule in rules:
            found = rule.fits(query.catalogue, slots, query.now)
            fits |= found
            pinned |= found & rule.pin
        scores = (1.0 + query.decayed(WINDOW)) * np.where(pinned, 1e6, 1.0)
        return OfFew(slots[fits], scores[fits])
