"""What people in a segment of the catalogue come to: the best posts of a category, of a mood, or of both."""

import numpy as np

from online_models.click_through import beta
from schemas.trending import DEFAULT_WINDOW, WINDOWS

from .stages import Query, Scores


def popularity(
    query: Query, *, category: int | None = None, mood: int | None = None, window: str = DEFAULT_WINDOW
) -> Scores:
    """Scores (N,) of all posts, 0 for those outside of the segment:

        share · (1 + decayed sum of strengths) · (believed click-through)

    both as of one half-life, a name of schemas.trending.WINDOWS. The click-through has a Beta prior from the category
    of the post (online_models.click_through.beta), so that a new post begins as its category does.

    category: code of Catalogue.category_codes. mood: its place in schemas.parameters.MOODS, by whose share in a post
    its score counts. Without either: of all posts. 2 ms for 100,000 posts.
    """
    catalogue, at = query.catalogue, list(WINDOWS).index(window)
    size = catalogue.size
    scores = 1.0 + np.maximum(query.decayed(at), 0.0)
    if (online := query.online) is not None:
        online.posts.make_room()
        clicks, others = beta(
            online.posts.shown[:size, at].astype(np.float64), online.posts.taken[:size, at].astype(np.float64),
            catalogue.category[:size],
        )  # fmt: skip
        scores *= clicks / (clicks + others)
    if category is not None:
        scores = np.where(catalogue.category[:size] == category, scores, 0.0)
    if mood is not None:
        scores = scores * catalogue.moods[:size, mood]
    return np.asarray(scores, np.float64)
