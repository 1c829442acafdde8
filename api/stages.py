"""The stages of a feed request and what each may do. A part is one file; api/pipelines.py lists them in order.

Work goes in arrays: a candidate is a slot of the catalogue (api/catalogue.py), and no object is made for it before
the page is cut.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from online_models.co_visitation_scores import growth
from online_models.decayed_counters import decay_to
from online_models.event_sequence import EventSequence, of_history
from online_models.packed_vectors import Vectors
from online_models.post_columns import PostColumns, Rows
from online_models.post_logs import NAMES as LOGS
from online_models.post_logs import post_logs
from online_models.sequence_factors import Memory
from online_models.softmax_factors import summed
from online_models.source_scores import VISITED, visited
from schemas.guests import guest_name
from schemas.user_state import UserState
from schemas.visits import Cursor, Visit

from . import changes
from .catalogue import Catalogue
from .changes import Changes
from .learnt import Learnt
from .matching import Match
from .models import ItemVectors
from .retrieved import OfVectors, Retrieved, nothing

Slots = NDArray[np.int64]
Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]

NOW = np.ones(3)
"""What brings popularity to now that is so already."""

EXPLORATION = "exploration"
"""Stands among the sources of a post that was explored; its score there is the propensity."""


@dataclass
class Query:
    """A request, and what hydrators found out about the user.

    username: empty for a guest, whom `session_id` stands for. now: seconds since 1970. category, project: what the
    request narrows the feed to, None for nothing. mood: its place in schemas.parameters.MOODS. exclude: post ids.
    max_age_days: of posts, None for any. diversity: 0 to 1. seed: of what is random, None for a new one each time.
    page: from 1. asked: digest of what the list depends on (schemas.visits). visit, cursor: the list that this page
    is cut from and where, None for a new list, or a page by number. served (v,): slots that other lists of the
    session showed. profile: the user row as it was sent, None without one. muted, blocked (a,): authors, by code of
    Catalogue.author_codes. problems: what `degraded` has to name. variant, changes: of the experiments that the
    reader is in (api.experiments.assign).
    rules: slot → names of the business rules that were applied, when they are to be explained. heads: slot → what the
    ranker said of it, then.
    history (q,): slots of the user's last distinct posts, newest first. strengths (q,): the largest strength of the
    remembered interactions with each (schemas.events.strength). vectors: model name → the version in service when the
    request came, which stays that of the whole request. online: what the learner told until then, None before it told
    anything. own (dim,): the user's vector of it, None for a user without one; rating (RATING,): what predicts ratings
    (online_models.explicit_ratings), zeros for a user who rated nothing. past (p,): the history as the learner has it,
    without posts that the user turned against. hours (p,): of the day, UTC, when they met each. glad (g,): those of
    them that the user was glad of; all when it was none. disliked (d,): slots of what the user turned against, newest
    first. last_at: seconds since 1970 of the user's newest event but dislikes, 0 without one. payloads: all that Redis
    has of the user, as it came; None when that is not known.
    """

    username: str
    now: float
    catalogue: Catalogue
    category: Match | None = None
    project: Match | None = None
    mood: int | None = None
    exclude: list[int] = field(default_factory=list)
    max_age_days: float | None = None
    diversity: float = 0.0
    seed: int | None = None
    explain: bool = False
    page: int = 1
    page_size: int = 20
    session_id: str | None = None
    asked: bytes = b""
    visit: Visit | None = None
    cursor: Cursor | None = None
    served: Slots = field(default_factory=lambda: np.empty(0, np.int64))
    profile: bytes | None = None
    muted: list[int] = field(default_factory=list)
    blocked: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    variant: str = "default"
    changes: Changes = changes.NONE
    rules: dict[int, list[str]] = field(default_factory=dict)
    heads: dict[int, dict[str, float]] = field(default_factory=dict)
    state: UserState = field(default_factory=UserState)
    history: Slots = field(default_factory=lambda: np.empty(0, np.int64))
    strengths: Scores = field(default_factory=lambda: np.empty(0))
    vectors: dict[str, ItemVectors] = field(default_factory=dict)
    online: Learnt | None = None
    own: NDArray[np.float32] | None = None
    rating: NDArray[np.float32] | None = None
    past: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    hours: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8))
    glad: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    disliked: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    last_at: float = 0.0
    payloads: tuple[bytes | None, ...] | None = None
    _moved: tuple[int, int | None] | None = None
    _decayed: Scores = field(default_factory=lambda: np.empty((3, 0)))
    _logs: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, len(LOGS)), np.float32))
    _visited: tuple[NDArray[np.int32], Scores] | None = None
    _events: EventSequence | None = None

    @property
    def reader(self) -> str:
        """The username that events of the reader have, also of a guest (schemas.guests); empty without a session."""
        return self.username or (guest_name(self.session_id) if self.session_id else "")

    @property
    def matches(self) -> dict[str, Match]:
        """What the request narrows the feed to, by the name of the parameter that says so."""
        asked = {"category": self.category, "project_code": self.project}
        return {name: match for name, match in asked.items() if match is not None}

    @property
    def learnt(self) -> Learnt | None:
        """`online`, for users whom the learner can tell anything of: it learns from lists of users with a past."""
        return self.online if len(self.past) else None

    @property
    def model_versions(self) -> dict[str, str]:
        """Of the models that the request is answered with, by name."""
        versions = {name: vectors.version.version for name, vectors in self.vectors.items()}
        return versions | ({"online": str(self.learnt.version)} if self.learnt is not None else {})

    def coldness(self, threshold: int) -> float:
        """How much counts what does not know the user: 1 for one nobody has met, half after `threshold` events (or
        those of a variant), less with each. With a threshold of 0 the first event ends it."""
        if self.changes.cold_start_threshold is not None:
            threshold = self.changes.cold_start_threshold
        events = self.state.events
        return 1.0 / (1.0 + events / threshold) if threshold else float(events == 0)

    @property
    def scale(self) -> float:
        """Brings weights that decay forward to now (online_models.co_visitation)."""
        return 1.0 / growth(self.now)

    def decayed(self, window: int) -> Scores:
        """Decayed sums (N,) of all posts now, by place of the window in schemas.trending.WINDOWS."""
        found: Scores = self.popularity()[window]
        return found

    def popularity(self) -> Scores:
        """(3, N): decayed sums now, or as of what the query stands on."""
        size = self.catalogue.size
        if self._decayed.shape[1] != size:
            decayed = decay_to(self.catalogue.decayed[:size], self.catalogue.at[:size], self.now)
            self._decayed = np.ascontiguousarray(decayed.T)
        return self._decayed

    def stand_on(
        self, popularity: Scores, logs: NDArray[np.float32], moved: tuple[int, int | None]
    ) -> None:  # fmt: skip
        """Takes popularity (3, N) and logs (N, 6) of a moment ago for those of now, unless they are of fewer posts.
        moved: what the item side and the learner were then: an answer is as old as the oldest part of it."""
        self._moved = moved
        if popularity.shape[1] == self.catalogue.size:
            self._decayed = popularity
        self._logs = logs

    def logs(self) -> NDArray[np.float32]:
        """(N, 6): online_models.post_logs now, or as of what the query stands on; zeros where nothing is learnt."""
        if len(self._logs) < self.catalogue.size:
            size = self.catalogue.size
            self._logs = np.zeros((size, len(LOGS)), np.float32)
            if self.learnt is not None:
                self._logs = post_logs(np.arange(size), self.columns(self.learnt), self.now)
        return self._logs

    @property
    def moved(self) -> tuple[int, int | None]:
        """Revision of the catalogue and version of the learner that the answer knows all of."""
        return self._moved or (self.catalogue.revision, self.online.version if self.online is not None else None)

    def rows(self, posts: NDArray[np.int32]) -> Rows:
        """Co-visitation rows, of which those of posts (q,) are asked for."""
        near = self.catalogue.neighbours
        return Rows(near.slots, near.weights, near.counts, near.rows[posts])

    def visited(self) -> tuple[NDArray[np.int32], Scores]:
        """Slots (n,) and their scores by co-visitation (n,), online_models.source_scores.visit; others have none."""
        if self._visited is None:
            catalogue = self.catalogue
            self._visited = visited(
                self.past, self.rows(self.past[:VISITED]), catalogue.strength, self.scale, catalogue.sums
            )
        return self._visited

    @property
    def events(self) -> EventSequence:
        """The newest of the user, as networks read them."""
        if self._events is None:
            self._events = of_history(self.state.history)
        return self._events

    def columns(self, online: Learnt) -> PostColumns:
        """What side features need of posts (≥ N,)."""
        catalogue, posts, weights = self.catalogue, online.posts, online.weights
        posts.make_room()
        return PostColumns(
            self.popularity(), NOW, posts.total, posts.value, posts.first_at, posts.last_at, catalogue.created_at,
            catalogue.author, catalogue.tags, weights.tag_share, weights.mean_value, weights.spread,
        )  # fmt: skip


class QueryHydrator(Protocol):
    """Adds to the query what the request did not say. Sets only fields of its own."""

    name: str

    async def hydrate(self, query: Query) -> None: ...


@runtime_checkable
class Decodes(Protocol):
    """A hydrator that does it in two steps: read, which waits, has a deadline of its own and sets `payloads`, and
    decode, for which there is no need when the user's list is ranked already."""

    async def read(self, query: Query) -> None: ...

    def decode(self, query: Query) -> None: ...


class Source(Protocol):
    """Finds candidates. It doesn't filter: what may not be shown falls out when the best are taken.

    personal: whether its scores depend on the user. What one that is not retrieves serves all feeds of a second.
    """

    name: str
    personal: bool

    def retrieve(self, query: Query) -> Retrieved: ...


class Filter(Protocol):
    """Says which slots (n,), or of a slice of them, may stay: True keeps. `name` is the reason given for the others.

    of_state: whether it depends on the state of the user: what it holds back from a list stays so until an event.
    of_rows: whether on nothing but what rows of posts say: what it holds back stays so until a row comes. Those come
    before all others.
    """

    name: str

    def keep(self, query: Query, slots: Slots | slice) -> Mask: ...


@dataclass
class Candidates:
    """What the sources found and the filters left.

    slots (n,): distinct. places (N,): where a slot of the catalogue is among them, −1 for others. names, personal: of
    the sources, in pipeline order. scores (n, S): as the sources gave them. taken (n, S): whether the candidate is
    among the best of the source. features (n, 2S + OTHERS): value and rank with each source (online_models.candidates),
    and behind them what the learnt blend sees beside (online_models.features), zeros before it has ranked.
    explored: places of those that a selector put where they stand to learn about them, and how likely it was that they
    stand there. parts: scorer → by how much it changed the scores (n,), when they are to be explained.
    outside: of batch models, name → what the weight of each was multiplied with (n,), which impressions tell the
    learner; empty for a user without a past.
    """

    slots: Slots
    places: NDArray[np.int32]
    names: tuple[str, ...]
    personal: Mask
    scores: Scores
    taken: Mask
    features: NDArray[np.float32]
    explored: dict[int, float] = field(default_factory=dict)
    parts: dict[str, Scores] = field(default_factory=dict)
    outside: dict[str, NDArray[np.floating]] = field(default_factory=dict)


class Scorer(Protocol):
    """Final scores (n,) of the candidates, given those of the scorers before it (zeros for the first)."""

    name: str

    def score(self, query: Query, candidates: Candidates, scores: Scores) -> Scores: ...


def weighed(query: Query, candidates: Candidates, scorer: str, before: Scores, after: Scores) -> Scores:
    """Scores (n,) after a scorer, of which a variant may make more or less."""
    if (factor := query.changes.scorers.get(scorer, 1.0)) != 1.0:
        after = before + factor * (after - before)
    if query.explain:
        candidates.parts[scorer] = after - before
    return after


class Selector(Protocol):
    """Order in which to show: places (n,) in the candidates, best first."""

    name: str

    def order(self, query: Query, candidates: Candidates, scores: Scores) -> Slots: ...


class Explainer(Protocol):
    """Says one thing of each post of the page, slots (k,): what JSON can hold, or None. Nobody waits for it but who
    asks to have the feed explained."""

    name: str

    def explain(self, query: Query, candidates: Candidates, slots: Slots) -> list[Any]: ...


def of_past(query: Query, model: int, memory: Memory) -> Retrieved:
    """What a factor model retrieves whose users are sums of their last posts, by its place in LearntPosts.inputs."""
    if (online := query.learnt) is None:
        return nothing()
    online.posts.make_room()
    return ranked(online, model, summed(online.posts.inputs[model], query.past[: memory.length], memory.decay))


def ranked(online: Learnt, model: int, user: NDArray[np.float32]) -> Retrieved:
    """What a factor model retrieves, by its place in LearntPosts.outputs: posts that it knows. user (dim,)."""
    posts = online.posts
    posts.make_room()
    return OfVectors(posts.packed[model], Vectors(posts.outputs[model], posts.rows, posts.bias[model]), user)
