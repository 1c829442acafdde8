"""Which posts a request means by a category or a project."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .catalogue import Catalogue


class Match(NamedTuple):
    """by: what matched: `name`, `slug`, `id` of a category, `topic` for the project of a topic; None: nothing did.

    code: of Catalogue.project_codes for a topic, of Catalogue.category_codes otherwise.
    """

    by: str | None
    code: int

    def of(self, catalogue: Catalogue, slots: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        """(n,): whether posts are meant; none are when nothing matched."""
        if self.by is None:
            return np.zeros(len(catalogue.ids[slots]), np.bool_)
        codes = catalogue.project if self.by == "topic" else catalogue.category
        return np.equal(codes[slots], self.code)


def category(catalogue: Catalogue, text: str) -> Match:
    """By name, small letters or not, else by slug of the name, else by id."""
    if (code := catalogue.category_codes.get(text.casefold())) is not None:
        return Match("name", code)
    return _slug_or_id(catalogue, text)


def project(catalogue: Catalogue, text: str) -> Match:
    """By the project code of the topic, else by slug of the category's name, else by the category's id."""
    if (code := catalogue.project_codes.get(text.casefold())) is not None:
        return Match("topic", code)
    return _slug_or_id(catalogue, text)


def _slug_or_id(catalogue: Catalogue, text: str) -> Match:
    if (code := catalogue.category_slugs.get(text.casefold())) is not None:
        return Match("slug", code)
    if text.isascii() and text.isdigit() and (code := catalogue.category_ids.get(int(text))) is not None:
        return Match("id", code)
    return Match(None, -1)
