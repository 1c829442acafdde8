"""Lets the mood count: the one asked for, or a little of the one that goes with the hour."""

import time

import numpy as np

from schemas.settings import Settings

from ..stages import Candidates, Query, Scores

ASKED = 6.0
"""Of a share of 1, in units of the blend, whose scores of a page's posts span 1 to 3: the mood decides first."""
LEANING = 0.5
"""The hour's mood, for a user nobody knows; less than the step from one popular post to the next."""


class Mood:
    """Adds ASKED · share of the mood in the request. Without one, LEANING · share of the hour's mood in
    online_models/moods.toml, fading as 1 / (1 + events / COLD_START_THRESHOLD)."""

    name = "mood"

    def __init__(self, settings: Settings) -> None:
        self._threshold = settings.cold_start_threshold

    def score(self, query: Query, candidates: Candidates, scores: Scores) -> Scores:
        mood, weight = query.mood, ASKED
        if mood is None:
            events = query.state.events
            mood = query.catalogue.mood_map.hours[time.gmtime(query.now).tm_hour]
            weight = LEANING / (1.0 + events / self._threshold) if self._threshold else LEANING * (events == 0)
        return np.asarray(scores + weight * query.catalogue.moods[candidates.slots, mood], np.float64)
