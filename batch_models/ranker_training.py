"""How the ranker is trained: on every first meeting of a user and a post, as it was just before it.

come: softmax of the post against others that users came to in the same batch, each corrected by how often it stands
there (logQ: Yi et al., Sampling-bias-corrected neural modeling, RecSys 2019). Where a page had shown the post, also
softmax of it against what the user saw there and passed over, each counting by its chance to have been seen: what is
shown to everybody is met by many, and only those who were shown it can tell whether it is wanted. The other heads: what
became of the meeting, so each is a share of those who come (as in Ma et al., Entire Space Multi-Task Model, SIGIR 2018,
they multiply).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from online_models.ranking import author_rows, count_features
from schemas.events import NEGATIVE_TYPES, TYPE_CODES, InteractionType

from .course import Course, Kept, Plan
from .dataset import Interactions
from .event_sequences import EventSequences, pasts_of
from .passed_over import Passed, PassedOver
from .popularity_at import PopularityAt
from .ranker_network import Ranker

GLAD = ("like", "inspire", "bookmark", "comment", "follow")
GLAD_RATING = 0.8
OF_VIEWS = 1.0
"""Weight of the four heads against the first."""
OF_PAGES = 1.0
"""Weight of a choice from a page against one from others of the batch."""


@dataclass(frozen=True)
class RankerPlan(Plan):
    """examples are meetings. others: of the same batch that each is held against; passed: of its page, at most.
    id_dropout: share of posts that lose their own vector, or author and tags, at each step, as new ones have none.
    """

    examples: int = 200_000
    least_epochs: int = 0
    most_epochs: int = 2
    least_steps: int = 1
    batch: int = 256
    others: int = 16
    passed: int = 8


class Ranking(nn.Module):
    """What is trained: the ranker, and posts' own vectors (posts, width), which begin with `vectors`."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        super().__init__()
        self.ranker, self.vectors = Ranker(), nn.Embedding(*vectors.shape)
        self.vectors.weight.data[:] = torch.from_numpy(vectors)


@dataclass(frozen=True)
class Meetings:
    """places (m,): of first meetings of users with a past. labels (m, 4): of schemas.ranking.HEADS, nan where
    nobody knows: how much was watched of what was only liked."""

    places: NDArray[np.int64]
    labels: NDArray[np.float32]


def meetings(found: EventSequences) -> Meetings:
    """Of all events; what followed on the same post by the same user is part of a meeting."""
    users = np.repeat(np.arange(len(found.starts) - 1), np.diff(found.starts))
    keys = users * (found.posts.max(initial=0) + 1) + found.posts
    _, first, meeting = np.unique(keys, return_index=True, return_inverse=True)
    labels = np.zeros((len(first), 4), np.float32)
    watched = np.full(len(first), -1.0, np.float32)
    views = found.types == TYPE_CODES["view"]
    np.maximum.at(watched, meeting[views], found.values[views])
    labels[:, 0] = np.where(watched < 0, np.nan, watched)
    rated = (found.types == TYPE_CODES["rating"]) & (found.values >= GLAD_RATING)
    labels[meeting[np.isin(found.types, [TYPE_CODES[name] for name in GLAD]) | rated], 1] = 1.0
    labels[meeting[found.types == TYPE_CODES["share"]], 2] = 1.0
    labels[meeting[np.isin(found.types, [TYPE_CODES[name] for name in NEGATIVE_TYPES])], 3] = 1.0
    some = first > found.starts[users[first]]
    order = np.argsort(first[some], kind="stable")
    return Meetings(first[some][order], labels[some][order])


class RankerTraining:
    """One run over the meetings of a part. seed: fixes all draws."""

    def __init__(
        self, network: Ranking, part: Interactions, found: EventSequences, weights: Mapping[InteractionType, float],
        plan: RankerPlan, seed: int, kept: Kept | None = None,
    ) -> None:  # fmt: skip
        self._ranker, self._own, self._found, self._plan = network.ranker, network.vectors, found, plan
        self._course = Course("ranker", network, plan, seed, kept or Kept())
        self._draw = self._course.draw
        every = meetings(found)
        chosen = self._course.chosen(found.at[every.places])
        self._meetings = Meetings(every.places[chosen], every.labels[chosen])
        self._passed = PassedOver(part, found, self._meetings.places)
        self._popularity = PopularityAt(part, weights)
        self._facts = part.facts
        self._authors = author_rows(part.facts.authors)
        shares = np.bincount(found.posts[every.places], minlength=len(part.post_ids)) + 1.0
        self._log_share = np.log(shares / shares.sum()).astype(np.float32)

    def run(self) -> None:
        """All epochs. Nothing happens when nobody met a second post."""
        count = len(self._meetings.places)
        if count < 2:
            return
        rest, least = [*self._ranker.parameters()], min(self._plan.batch, count)
        self._course.run(self._loss, count, [self._own.weight], least=least, clipped=rest)

    def _loss(self, batch: NDArray[np.int64]) -> Tensor:
        come, heads = self._losses(batch)
        return come + OF_VIEWS * heads

    def _losses(self, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Of `come` with pages, and of the other heads, for some of the meetings (b,)."""
        found, size = self._found, len(chosen)
        places, labels = self._meetings.places[chosen], torch.from_numpy(self._meetings.labels[chosen])
        wanted, at = found.posts[places], found.at[places]
        others = (np.arange(size)[:, None] + self._draw.permutation(size - 1)[: self._plan.others] + 1) % size
        posts = np.concatenate([wanted[:, None], wanted[others]], axis=1)
        passed = self._passed.beside(chosen, self._plan.passed, self._draw)
        filling = np.empty((size, 0), np.int64) if passed is None else _filled(passed, posts[:, 1:])
        logits = self._logits(np.concatenate([posts, filling], axis=1), at, *pasts_of(found, places))
        come = logits[:, : posts.shape[1], 0] - torch.from_numpy(self._log_share[posts])
        same = torch.from_numpy(posts == wanted[:, None])
        same[:, 0] = False
        come = come.masked_fill(same, -1e9)
        first = -functional.log_softmax(come, dim=1)[:, 0].mean()
        if passed is not None:
            first = first + OF_PAGES * _page_loss(logits[:, 0, 0], logits[:, posts.shape[1] :, 0], passed)
        known = ~torch.isnan(labels)
        return first, functional.binary_cross_entropy_with_logits(logits[:, 0, 1:][known], labels[known])

    def _logits(
        self, posts: NDArray[np.int64], at: NDArray[np.float64], past: NDArray[np.int64], there: NDArray[np.bool_]
    ) -> Tensor:
        """(b, n, 5) of posts (b, n) at (b,) for users with a past: places (b, t), as they were then."""
        found = self._found
        moments = np.repeat(at, posts.shape[1])
        sums = self._popularity.sums(posts.ravel(), moments)
        counts = count_features(sums, self._facts.created_at[posts].ravel(), moments).reshape(*posts.shape, -1)
        # Each post is described once, not at each of its thousand places: two thirds of the time a step.
        every, place = np.unique(np.concatenate([posts.ravel(), found.posts[past].ravel()]), return_inverse=True)
        described = self._described(every)
        of_posts, of_past = (
            [column[torch.from_numpy(rows)] for column in described]
            for rows in (place[: posts.size].reshape(posts.shape), place[posts.size :].reshape(past.shape))
        )
        columns = [torch.from_numpy(each) for each in (found.types[past], found.values[past], found.gaps[past], there)]
        return self._ranker.scored(of_posts, torch.from_numpy(counts), of_past, *columns)

    def _described(self, posts: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors of posts (p,), of their authors and of their tags, some without: as those of new posts."""
        drawn = torch.from_numpy(self._draw.random(posts.shape))
        share = self._plan.id_dropout
        own = self._own(torch.from_numpy(posts)) * (drawn >= share)[..., None]
        nameless = ((drawn >= share) & (drawn < 2 * share)).numpy()
        authors = np.where(nameless, self._ranker.posts.authors.num_embeddings - 1, self._authors[posts])
        tags = np.where(nameless[..., None], -1, self._facts.tags[posts]).astype(np.int64)
        found: tuple[Tensor, Tensor, Tensor] = self._ranker.posts(
            own, torch.from_numpy(authors), torch.from_numpy(tags)
        )
        return found


def _filled(passed: Passed, others: NDArray[np.int64]) -> NDArray[np.int64]:
    """(b, n): posts passed over, and where there is none one of the others (b, o), for the sake of batch norm."""
    columns = np.arange(passed.posts.shape[1]) % others.shape[1]
    return np.where(passed.seen > 0.0, passed.posts, others[:, columns])


def _page_loss(came: Tensor, left: Tensor, passed: Passed) -> Tensor:
    """−log softmax of what was come to (b,) against what was left (b, n), a mean over all of the batch: those without a
    page add nothing."""
    seen = torch.from_numpy(passed.seen)
    left = (left + seen.clamp(min=1e-9).log()).masked_fill(seen == 0.0, -1e9)
    return -functional.log_softmax(torch.cat([came[:, None], left], dim=1), dim=1)[:, 0].mean()
