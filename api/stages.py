"""The stages of a feed request and what each may do. A part is one file; api/pipelines.py lists them in order.

Work goes in arrays: a candidate is a slot of the catalogue (api/catalogue.py), and no object is made for it before
the page is cut.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from online_models.decayed_counters import decay_to
from schemas.user_state import UserState

from .catalogue import Catalogue
from .models import ItemVectors

Slots = NDArray[np.int64]
Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass
class Query:
    """A request, and what hydrators found out about the user.

    now: seconds since 1970. category: its code, None for all, -1 for one that no post has.
    history (q,): slots of the user's last distinct posts, newest first. strengths (q,): the largest strength of the
    remembered interactions with each (schemas.events.strength). vectors: model name → the version in service when the
    request came, which stays that of the whole request.
    """

    username: str
    now: float
    catalogue: Catalogue
    category: int | None = None
    page: int = 1
    page_size: int = 20
    session_id: str | None = None
    state: UserState = field(default_factory=UserState)
    history: Slots = field(default_factory=lambda: np.empty(0, np.int64))
    strengths: Scores = field(default_factory=lambda: np.empty(0))
    vectors: dict[str, ItemVectors] = field(default_factory=dict)
    _decayed: Scores = field(default_factory=lambda: np.empty((0, 3)))

    def decayed(self, window: int) -> Scores:
        """Decayed sums (N,) of all posts now, by place of the window in schemas.trending.WINDOWS."""
        size = self.catalogue.size
        if len(self._decayed) != size:
            self._decayed = decay_to(self.catalogue.decayed[:size], self.catalogue.at[:size], self.now)
        return self._decayed[:, window]


class QueryHydrator(Protocol):
    """Adds to the query what the request did not say. Sets only fields of its own."""

    name: str

    async def hydrate(self, query: Query) -> None: ...


@dataclass
class Retrieved:
    """All posts a source has evidence for: slots (n,), distinct, and their scores (n,), > 0, higher is better."""

    slots: Slots
    scores: Scores


class Source(Protocol):
    """Finds candidates. It doesn't filter: what may not be shown falls out later, before the best are taken.

    personal: whether its scores depend on the user.
    """

    name: str
    personal: bool

    async def retrieve(self, query: Query) -> Retrieved: ...


class Filter(Protocol):
    """Says which slots (n,) may stay: True keeps. `name` is the reason given for the others."""

    name: str

    def keep(self, query: Query, slots: Slots) -> Mask: ...


@dataclass
class Candidates:
    """What the sources found and the filters left.

    slots (n,): distinct. names, personal: of the sources, in pipeline order.
    scores (n, S): 0 where a source does not have the candidate. ranks (n, S): from 0, or ABSENT.
    """

    slots: Slots
    names: list[str]
    personal: Mask
    scores: Scores
    ranks: NDArray[np.int64]


ABSENT = np.iinfo(np.int64).max


class Scorer(Protocol):
    """Final scores (n,) of the candidates, given those of the scorers before it (zeros for the first)."""

    name: str

    def score(self, query: Query, candidates: Candidates, scores: Scores) -> Scores: ...


class Selector(Protocol):
    """Order in which to show: places (n,) in the candidates, best first."""

    name: str

    def order(self, query: Query, candidates: Candidates, scores: Scores) -> Slots: ...


def evidence(scores: Scores) -> Retrieved:
    """What a source with scores for all slots (N,) retrieves: those above zero."""
    slots = np.flatnonzero(scores > 0)
    return Retrieved(slots, scores[slots])
