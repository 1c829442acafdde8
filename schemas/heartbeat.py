"""A worker's heartbeat in Redis: what `/health/ready`, `/metrics` and `reelstream status` know of the workers."""

import msgspec

ROLES = ("learn", "models", "record")
"""What workers must be doing between them for events to reach feeds and the record."""
INTERVAL_SECONDS = 1.0
TTL_SECONDS = 5
"""A worker that missed this many seconds is not serving."""


class Heartbeat(msgspec.Struct, kw_only=True):
    """id: role and slot. partitions: each `topic-partition` it owns.

    lag: messages not applied yet, by `topic-partition`, once the first fetch has told the end of its log: a worker
    has caught up when each of its partitions is there with 0.
    freshness: quantile (`0.5`, `0.99`) → seconds from produced to applied, over its newest thousand messages.
    counters: totals since it started (`events`, `repeats`, `forwarded`, `dead_letters`; of the learner `learnt`,
    `sampled_out`, `not_learnt`, `late_pages`).
    metrics: of the learner, how good its models are, by name.
    """

    id: str
    pid: int
    role: str
    started_at: float
    partitions: list[str]
    lag: dict[str, int]
    freshness: dict[str, float]
    counters: dict[str, int]
    metrics: dict[str, float] = {}


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Heartbeat).decode
