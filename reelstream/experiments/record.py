"""What PostgreSQL has of an experiment: of each user what was shown and what followed, as the learner tells it.

An interaction belongs to the newest page that showed the post to the user within WINDOW before it
(online_models.shown_lists). A guest is the user that events of the session have (schemas.guests).
"""

from dataclasses import dataclass
from datetime import datetime

import asyncpg
import numpy as np
from numpy.typing import NDArray

from online_models.positives import DEFAULT
from online_models.shown_lists import SKEW, WINDOW
from schemas.errors import ReelstreamError, ServiceUnavailable
from schemas.guests import PREFIX

_PAGES = """
CREATE TEMPORARY TABLE pages ON COMMIT DROP AS
SELECT recommendation_id, coalesce(nullif(username, ''), $4 || session_id) AS username, served_at, posts,
       propensities, sources,
       array_position($1::text[], label) - 1 AS variant
FROM impressions CROSS JOIN LATERAL unnest(string_to_array(variant, ',')) AS label
WHERE label = ANY($1) AND served_at >= coalesce($2, '-infinity'::timestamptz)
  AND served_at < coalesce($3, 'infinity'::timestamptz)
"""
_OUTCOMES = """
CREATE TEMPORARY TABLE outcomes ON COMMIT DROP AS
WITH followed AS (
  SELECT DISTINCT ON (i.username, i.event_id) p.recommendation_id, i.post_id, i.interaction_type, i.interaction_value
  FROM pages p JOIN interactions i ON i.username = p.username AND i.post_id = ANY(p.posts)
    AND i.occurred_at BETWEEN p.served_at - make_interval(secs => $3) AND p.served_at + make_interval(secs => $4)
  ORDER BY i.username, i.event_id, p.served_at DESC
)
SELECT recommendation_id, post_id,
       bool_or(interaction_value > 0 AND interaction_value >= good.least) AS clicked,
       bool_or(interaction_type = 'like' AND interaction_value > 0) AS liked,
       max(interaction_value) FILTER (WHERE interaction_type = 'view' AND interaction_value >= 0) AS watched
FROM followed LEFT JOIN unnest($1::text[], $2::float8[]) AS good(kind, least) ON good.kind = interaction_type
GROUP BY recommendation_id, post_id
"""
_USERS = """
SELECT p.variant, p.username, count(*)::bigint AS pages, sum(cardinality(p.posts))::bigint AS shown,
       coalesce(sum(o.clicks), 0)::bigint AS clicks, coalesce(sum(o.likes), 0)::bigint AS likes,
       coalesce(sum(o.views), 0)::bigint AS views, coalesce(sum(o.watched), 0)::float8 AS watched
FROM pages p LEFT JOIN (
  SELECT recommendation_id, count(*) FILTER (WHERE clicked) AS clicks, count(*) FILTER (WHERE liked) AS likes,
         count(watched) AS views, sum(watched) AS watched
  FROM outcomes GROUP BY recommendation_id
) o USING (recommendation_id)
GROUP BY p.variant, p.username
"""
_EXPLORED = """
SELECT p.variant, p.username, p.propensities[e.place] AS propensity, coalesce(o.clicked, false) AS clicked
FROM pages p CROSS JOIN LATERAL jsonb_array_elements(p.sources) WITH ORDINALITY AS e(names, place)
LEFT JOIN outcomes o ON o.recommendation_id = p.recommendation_id AND o.post_id = p.posts[e.place]
WHERE p.sources @> '[["exploration"]]' AND e.names ? 'exploration' AND p.propensities IS NOT NULL
"""
_COUNTS = ("pages", "shown", "clicks", "likes", "views")


@dataclass(frozen=True)
class Recorded:
    """Users (u,) and showings of the exploration place (e,), each by number of its variant.

    names (u,): of users; pages, shown, clicks, likes, views (u,): counts; watched (u,): sum of watched fractions.
    explorers (e,): names; propensities (e,): the chance of what was shown; taken (e,): whether it was clicked.
    """

    variants: NDArray[np.int64]
    names: list[str]
    pages: NDArray[np.int64]
    shown: NDArray[np.int64]
    clicks: NDArray[np.int64]
    likes: NDArray[np.int64]
    views: NDArray[np.int64]
    watched: NDArray[np.float64]
    explored: NDArray[np.int64]
    explorers: list[str]
    propensities: NDArray[np.float64]
    taken: NDArray[np.bool_]


async def read(
    database_url: str, experiment: str, variants: list[str], since: datetime | None, until: datetime | None
) -> Recorded:
    """Pages served from `since` on and before `until`. Raises ServiceUnavailable, ReelstreamError."""
    try:
        connection = await asyncpg.connect(database_url, timeout=10)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ServiceUnavailable(f"PostgreSQL (DATABASE_URL) does not answer: {error}") from error
    rules = [rule.partition(":") for rule in DEFAULT]
    try:
        async with connection.transaction():
            labels = [f"{experiment}={name}" for name in variants]
            await connection.execute(_PAGES, labels, since, until, PREFIX)
            await connection.execute("CREATE INDEX ON pages (username)")
            await connection.execute("ANALYZE pages")
            await connection.execute(
                _OUTCOMES, [kind for kind, _, _ in rules], [float(least or 0.0) for _, _, least in rules], SKEW, WINDOW
            )
            users, explored = await connection.fetch(_USERS), await connection.fetch(_EXPLORED)
    except asyncpg.PostgresError as error:
        raise ReelstreamError(f"The record can't be read: {error}. `reelstream migrate` makes its tables.") from error
    finally:
        await connection.close()
    return Recorded(
        variants=np.array([row["variant"] for row in users], np.int64),
        names=[row["username"] for row in users],
        **{name: np.array([row[name] for row in users], np.int64) for name in _COUNTS},
        watched=np.array([row["watched"] for row in users], np.float64),
        explored=np.array([row["variant"] for row in explored], np.int64),
        explorers=[row["username"] for row in explored],
        propensities=np.array([row["propensity"] for row in explored], np.float64),
        taken=np.array([row["clicked"] for row in explored], np.bool_),
    )  # fmt: skip
