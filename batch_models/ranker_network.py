"""The ranker's network: candidates, each against the user's last events and by its own fields.

Dot-product attention of each candidate over the events (Zhou et al., Deep Interest Network, KDD 2018, has an MLP a
candidate and event there: ten times the work), with a learnt weight of each distance, so that the newest event counts
by more than its content. A second attention, of the user over the fields of a candidate, weighs what the post is,
whose, about what, how popular and how old. Then an MLP with batch norm and dropout, and one logit a head.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from online_models.event_sequence import GAPS, LENGTH
from online_models.post_table import TAG_CODES
from online_models.ranking import AUTHORS, COUNTS, OUTPUTS
from schemas.events import INTERACTION_TYPES

WIDTH = 32
HEADS = 2
LAYERS = (64, 32)
DROPOUT = 0.2
DECAYS = (0.2, 0.0)
"""What each attention head begins with: e-folds of weight an event of distance."""
FIELDS = 5


class Posts(nn.Module):
    """Posts as sums of what is known of them: a vector of their own, of their author, and the mean of their tags'."""

    def __init__(self) -> None:
        super().__init__()
        self.authors = nn.Embedding(AUTHORS + 1, WIDTH, padding_idx=AUTHORS)
        self.tags = nn.Embedding(TAG_CODES + 1, WIDTH, padding_idx=TAG_CODES)
        with torch.no_grad():
            self.authors.weight[:-1].normal_(0.0, 0.02)
            self.tags.weight[:-1].normal_(0.0, 0.1)

    def forward(self, own: Tensor, authors: Tensor, tags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(…, WIDTH) each: own vectors as given, of authors (…), of tags (…, TAGS), −1 for none."""
        rows = torch.where(tags < 0, TAG_CODES, tags)
        count = (tags >= 0).sum(dim=-1, keepdim=True).clamp(min=1)
        return own, self.authors(authors), self.tags(rows).sum(dim=-2) / count


class Ranker(nn.Module):
    """Forward: a logit for each of OUTPUTS, (b, n, 5), of n candidates for each of b users.

    own (b, n, WIDTH): rows of the post table, zeros for a post that it does not have. authors (b, n), tags (b, n,
    TAGS), counts (b, n, COUNTS): online_models.ranking. Events, oldest first, (b, t) each or (b, t, …): past_own,
    past_authors and past_tags of their posts; types, values, gaps as in online_models.event_sequence. there (b, t):
    False for filling, which must come first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.posts = Posts()
        self.counts, self.age = nn.Linear(3, WIDTH), nn.Linear(COUNTS - 3, WIDTH)
        self.types, self.gaps = nn.Embedding(len(INTERACTION_TYPES), WIDTH), nn.Embedding(GAPS, WIDTH)
        self.value = nn.Linear(1, WIDTH, bias=False)
        for small in (self.types.weight, self.gaps.weight):
            nn.init.normal_(small, 0.0, 0.02)
        self.queries, self.pairs = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * WIDTH)
        self.distance = nn.Parameter(-torch.tensor(DECAYS)[:, None] * torch.arange(LENGTH))
        self.recency = nn.Parameter(torch.tensor(2.0))
        self.of_fields = nn.Linear(WIDTH, WIDTH)
        first, second = LAYERS
        self.first, self.second = nn.Linear(6 * WIDTH, first), nn.Linear(first, second)
        self.norms = nn.ModuleList([nn.BatchNorm1d(first), nn.BatchNorm1d(second)])
        self.dropout = nn.Dropout(DROPOUT)
        self.heads = nn.Linear(second, len(OUTPUTS))

    def forward(
        self, own: Tensor, authors: Tensor, tags: Tensor, counts: Tensor, past_own: Tensor, past_authors: Tensor,
        past_tags: Tensor, types: Tensor, values: Tensor, gaps: Tensor, there: Tensor,
    ) -> Tensor:  # fmt: skip
        of_post, of_past = self.posts(own, authors, tags), self.posts(past_own, past_authors, past_tags)
        return self.scored(of_post, counts, of_past, types, values, gaps, there)

    def scored(
        self, of_post: Sequence[Tensor], counts: Tensor, of_past: Sequence[Tensor], types: Tensor, values: Tensor,
        gaps: Tensor, there: Tensor,
    ) -> Tensor:  # fmt: skip
        """The same of what `posts` says of candidates and of the events' posts."""
        post = of_post[0] + of_post[1] + of_post[2]
        events = of_past[0] + of_past[1] + of_past[2]
        events = events + self.types(types) + self.value(values[:, :, None] - 0.5) + self.gaps(gaps)
        distances = torch.arange(there.shape[1] - 1, -1, -1)
        user = self._user(events, distances, there)
        taken = self._attended(post, events, distances, there)
        fields = torch.stack([*of_post, self.counts(counts[..., :3]), self.age(counts[..., 3:])], dim=-2)
        weights = torch.softmax(fields @ self.of_fields(user)[:, None, :, None] / math.sqrt(WIDTH), dim=-2)
        described = FIELDS * (weights * fields).sum(dim=-2)
        whole = user[:, None].expand(-1, post.shape[1], -1)
        return self.mlp(torch.cat([post, taken, post * taken, described, post * whole, whole], dim=-1))

    def mlp(self, features: Tensor) -> Tensor:
        """(b, n, 5) of features (b, n, 6 · WIDTH)."""
        hidden = features.flatten(0, 1)
        for layer, norm in zip((self.first, self.second), self.norms, strict=True):
            hidden = self.dropout(torch.relu(norm(layer(hidden))))
        logits: Tensor = self.heads(hidden)
        return logits.view(*features.shape[:2], -1)

    def _user(self, events: Tensor, distances: Tensor, there: Tensor) -> Tensor:
        """(b, WIDTH): the mean of the events, newer ones counting more."""
        weights: Tensor = torch.sigmoid(self.recency) ** distances * there
        mean: Tensor = (weights[:, None] @ events)[:, 0] / (weights.sum(dim=1, keepdim=True) + 1e-6)
        return mean

    def _attended(self, post: Tensor, events: Tensor, distances: Tensor, there: Tensor) -> Tensor:
        """(b, n, WIDTH): what each candidate takes from the events."""
        size, count, length, depth = *post.shape[:2], events.shape[1], WIDTH // HEADS
        queries = self.queries(post).view(size, count, HEADS, depth).transpose(1, 2)
        keys, values = self.pairs(events).view(size, length, 2, HEADS, depth).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.distance[:, distances].masked_fill(~there[:, None], -1e9)
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(depth) + bias[:, :, None]
        taken: Tensor = torch.softmax(scores, dim=-1) @ values
        return taken.transpose(1, 2).reshape(size, count, WIDTH)
