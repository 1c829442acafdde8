"""Impressions: a page as it was served (topic `impressions`, key: username)."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from .decoding import decode as decode_json
from .decoding import refuse_nul
from .errors import ContractError
from .events import LATEST, MOST_SECONDS_AHEAD, PostId, ShortText
from .guests import guest_name

MOST_POSTS = 1_000
"""Of a page; the API's are of MAX_RECOMMENDATIONS at most."""
MOST_POSITION = 2**31 - 1
MOST_OUTSIDE = 32
"""Sources of a page that the learner does not have."""
MOST_FEATURE = 100.0
"""v + r is -5 to 1; a variant of an experiment may count it ten times."""
SOURCE_NAME = r"^[a-z][a-z0-9_]{0,63}(?!\n)$"
"""`$` alone would let a line end through."""

# A guest has no name, only a session.
Username = Annotated[str, msgspec.Meta(max_length=128, pattern="^[^\x00]*$")]
Posts = Annotated[list[PostId], msgspec.Meta(max_length=MOST_POSTS)]
Feature = Annotated[float, msgspec.Meta(ge=-MOST_FEATURE, le=MOST_FEATURE)]
Outside = Annotated[
    dict[Annotated[str, msgspec.Meta(pattern=SOURCE_NAME)], list[Feature]], msgspec.Meta(max_length=MOST_OUTSIDE)
]


class Impression(msgspec.Struct, kw_only=True):
    """username: empty for a guest, whom the session stands for. posts: in the order shown, the first of them at
    `position` of the feed, from 0. scores, sources: of each post; None: a score that is no number.

    propensities: of each post, the chance it had to stand there: 1 for what was ranked, that of the draw for what was
    explored; None for pages of before there was exploration.
    features: for a sample of pages, of each post, source name → score before the blend; None otherwise.
    outside: of sources that the learner of the online models does not have, such as batch models, name → value and rank
    of each post, added up (v + r in online_models.candidates): what the feed multiplied with the weight of the source,
    so that clicks can teach that weight. None for pages of which that is not kept.
    """

    recommendation_id: ShortText
    username: Username
    session_id: ShortText | None
    served_at: Annotated[float, msgspec.Meta(ge=0, lt=LATEST)]
    algorithm_used: str
    model_versions: dict[str, str]
    position: Annotated[int, msgspec.Meta(ge=0, le=MOST_POSITION)]
    posts: Posts
    scores: list[float | None]
    sources: list[list[str]]
    propensities: list[Annotated[float, msgspec.Meta(gt=0, le=1)]] | None = None
    features: list[dict[str, float]] | None = None
    outside: Outside | None = None
    variant: str = "default"
    schema_version: int = 1

    def __post_init__(self) -> None:
        for name in ("scores", "sources", "propensities", "features"):
            found = getattr(self, name)
            if found is not None and len(found) != len(self.posts):
                raise ValueError(f"{len(found)} for {len(self.posts)} posts - at `$.{name}`")
        for source, values in (self.outside or {}).items():
            if len(values) != len(self.posts):
                raise ValueError(f"{len(values)} of {source} for {len(self.posts)} posts - at `$.outside`")

    @property
    def reader(self) -> str:
        """Who saw it: the username, also of a guest (schemas.guests)."""
        return self.username or guest_name(self.session_id or "")

    @property
    def served(self) -> datetime:
        return datetime.fromtimestamp(self.served_at, UTC)


encode = msgspec.json.Encoder().encode
_impression = msgspec.json.Decoder(Impression)


def decode(payload: bytes, produced_at: float = 0.0) -> Impression:
    """produced_at: of the message, seconds since 1970; 0 or less when unknown.

    Raises ContractError naming the field, also for a page served more than a day ahead of its message.
    """
    impression = decode_json(_impression, payload)
    refuse_nul(payload)
    if 0 < produced_at < impression.served_at - MOST_SECONDS_AHEAD:
        raise ContractError("served_at: lies more than a day ahead of the message", "served_at")
    return impression
