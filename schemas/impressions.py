"""Impressions: a page as it was served (topic `impressions`, key: username)."""

import msgspec


class Impression(msgspec.Struct, kw_only=True):
    """posts: in the order shown, from `position` 0 on. scores, sources: of each post.

    features: for a sample of pages, of each post, source name → score before the blend; None otherwise.
    """

    recommendation_id: str
    username: str
    session_id: str | None
    served_at: float
    algorithm_used: str
    model_versions: dict[str, str]
    position: int
    posts: list[int]
    scores: list[float]
    sources: list[list[str]]
    features: list[dict[str, float]] | None = None
    variant: str = "default"
    schema_version: int = 1


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Impression).decode
