"""What the user would rate posts, for `explain`."""

import numpy as np

from online_models.explicit_ratings import predicted

from .stages import Query, Slots


def predicted_ratings(query: Query, slots: Slots) -> dict[int, float]:
    """Slot → rating, 0 to 100, of those among slots (n,) that anybody rated; nothing for a user who rated none."""
    if query.online is None or query.rating is None or not query.rating.any():
        return {}
    query.online.posts.make_room()
    posts = query.online.posts.rating[slots]
    ratings = 100.0 * predicted(query.online.weights.mean_rating, query.rating, posts)
    rated = posts.any(axis=1)
    return dict(zip(slots[rated].tolist(), np.round(ratings[rated], 1).tolist(), strict=True))
