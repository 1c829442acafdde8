"""Trending: a ranked snapshot with its movers (topic `trending`, key: category, or `all`)."""

import msgspec

WINDOWS: dict[str, float] = {"1h": 3_600.0, "24h": 86_400.0, "7d": 604_800.0}
"""Window name → half-life in seconds of the decayed counter behind it; the order is that of ItemState.decayed."""
ALL = "all"
DEFAULT_WINDOW = "24h"


class TrendingPost(msgspec.Struct, kw_only=True):
    """rank: from 1. score: decayed sum of strengths now. moved: places gained since the last snapshot; None: new."""

    post_id: int
    rank: int
    score: float
    moved: int | None


class TrendingSnapshot(msgspec.Struct, kw_only=True):
    """Published each time the order of the top changes."""

    category: str
    window: str
    at: float
    posts: list[TrendingPost]
    schema_version: int = 1


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(TrendingSnapshot).decode
