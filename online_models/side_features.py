"""Side features of candidates: cheap facts on post and user that no source scores by, for the blend to weigh.

In prototypes a blend without them had .185 instead of .194 of recall@10 on 20,000 events of ML-100K.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled, compiled_sums
from .post_columns import PostColumns, Rows
from .post_table import DAY

NAMES = (
    "cosine_1", "cosine_2", "cosine_3", "log_users", "velocity_hour", "velocity_day", "age_here", "idle",
    "created_distance", "popularity_distance", "tag_affinity", "tag_overlap", "same_author", "history_length",
    "gap", "age", "visited_1", "visited_2", "visited_3", "quality", "created_step", "popularity_step",
)  # fmt: skip
"""cosine_q: of the vectors of the candidate and of the last post but q − 1. visited_q: the same by co-visitation.
log_users: how many came. velocity_hour, velocity_day: popularity of an hour against a day, of a day against a week.
age_here, idle: time since its first and last event. created_distance, popularity_distance: from the mean of the user's
posts; created_step, popularity_step: from the last one. tag_affinity: log share of its tags with the user against all.
tag_overlap: with the last post. same_author: among the last ten. age: since it was created. quality: mean value of its
events against all. history_length, gap (since the user's last event): the same for all candidates, so they act through
hidden units only."""
WIDTH = len(NAMES)
PAST = 50
DECAY = 0.9
TAG_DECAY = 0.95
AUTHORS = 10


def side_features(
    slots: NDArray[np.int32], places: NDArray[np.int32], context: NDArray[np.int32], glad: NDArray[np.int32],
    posts: PostColumns, vectors: NDArray[np.float32], rows: Rows, strength: NDArray[np.float64], scale: float,
    now: float, gap: float,
) -> NDArray[np.float32]:  # fmt: skip
    """(n, WIDTH), each roughly between −2 and 2.

    slots (n,): the candidates. places (N,): where among them a slot is, or −1. context (q,): slots of the user's last
    posts, newest first; glad (g,): of those that the user was glad of. vectors (N, d). rows, strength (N,) and scale:
    of co-visitation. now: seconds since 1970. gap: since the user's last event. A post without any begins now.
    """
    features = np.zeros((len(slots), WIDTH), np.float32)
    _fill(
        features, slots, places, context[:PAST], glad[:PAST], vectors, rows.neighbours, rows.weights, rows.counts,
        rows.found[:3], strength, scale, *posts, now, gap,
    )  # fmt: skip
    return features


def blend_features(
    of_sources: NDArray[np.float32], side: NDArray[np.float32], averse: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What a blend sees of candidates, (n, width): features of sources (n, 2S) and of the side (n, WIDTH), and what
    they have in common with what the user turned against (n, 3; online_models.aversion)."""
    return np.concatenate([of_sources, side, averse], axis=1)


@compiled
def _fill(
    features: Any, slots: Any, places: Any, context: Any, glad: Any, vectors: Any, neighbours: Any, weights: Any,
    counts: Any, last: Any, strength: Any, scale: Any, popularity: Any, decays: Any, total: Any, value: Any,
    first_at: Any, last_at: Any, created_at: Any, author: Any, tags: Any, tag_share: Any, mean_value: Any, spread:
    Any, now: Any, gap: Any,
) -> None:  # fmt: skip
    past = len(context)
    mean_created, mean_users, weight, created_weight, all_weight = 0.0, 0.0, 1.0, 0.0, 0.0
    for slot in glad:
        if created_at[slot] > 0:
            mean_created += weight * created_at[slot]
            created_weight += weight
        mean_users += weight * np.log(1.0 + total[slot])
        all_weight += weight
        weight *= DECAY
    own, own_sum, weight = np.zeros(len(tag_share)), 1e-9, 1.0
    for slot in glad:
        for tag in tags[slot]:
            if tag >= 0:
                own[tag] += weight
                own_sum += weight
        weight *= TAG_DECAY
    all_tags = tag_share.sum()
    lengths = np.empty(len(slots), np.float32)
    for at in range(len(slots)):
        lengths[at] = np.sqrt(_dot(vectors[slots[at]], vectors[slots[at]])) + np.float32(1e-6)
    known, of_tag = np.zeros(len(tag_share), np.bool_), np.empty(len(tag_share))  # logarithms, each once
    for q in range(min(past, 3)):
        near = vectors[context[q]]
        length = np.sqrt(_dot(near, near)) + np.float32(1e-6)
        visits = np.zeros(len(slots))
        row = last[q]
        if row >= 0:
            norm = strength[context[q]] * scale + 10.0
            for k in range(counts[row]):
                slot = neighbours[row, k]
                at = places[slot]
                if at >= 0:
                    visits[at] = weights[row, k] * scale / np.sqrt(norm * (strength[slot] * scale + 10.0))
        for at in range(len(slots)):
            features[at, q] = _dot(vectors[slots[at]], near) / length / lengths[at]
            features[at, 16 + q] = 2.0 * np.sqrt(visits[at])
    for at in range(len(slots)):
        slot = slots[at]
        users = np.log(1.0 + total[slot])
        hour, day, week = (
            popularity[0, slot] * decays[0],
            popularity[1, slot] * decays[1],
            popularity[2, slot] * decays[2],
        )
        features[at, 3] = users / 4.0
        features[at, 4] = np.log((hour + 0.1) / (day / 24.0 + 0.1))
        features[at, 5] = np.log((day + 0.1) / (week / 7.0 + 0.1))
        if first_at[slot] > 0:
            features[at, 6] = np.log(1.0 + max(now - first_at[slot], 0.0) / 3600.0) / 4.0
            features[at, 7] = np.log(1.0 + max(now - last_at[slot], 0.0) / 60.0) / 4.0
        if created_at[slot] > 0:
            if created_weight > 0:
                features[at, 8] = min(abs(created_at[slot] - mean_created / created_weight) / spread, 4.0)
            features[at, 15] = np.log(1.0 + max(now - created_at[slot], 0.0) / DAY) / 5.0 - 1.0
            if past and created_at[context[0]] > 0:
                features[at, 20] = min(abs(created_at[slot] - created_at[context[0]]) / spread, 4.0)
        if past:
            features[at, 9] = abs(users - mean_users / all_weight) / 2.0
            features[at, 21] = abs(users - np.log(1.0 + total[context[0]])) / 2.0
        count, affinity, overlap = 0, 0.0, 0
        for tag in tags[slot]:
            if tag < 0:
                break
            count += 1
            if not known[tag]:
                known[tag], of_tag[tag] = True, np.log((own[tag] / own_sum + 0.01) / (tag_share[tag] / all_tags + 0.01))
            affinity += of_tag[tag]
            if past:
                for other in tags[context[0]]:
                    overlap += other == tag
        if count:
            features[at, 10], features[at, 11] = affinity / count, overlap / count
        for q in range(min(past, AUTHORS)):
            if author[slot] >= 0 and author[context[q]] == author[slot]:
                features[at, 12] = 1.0
        features[at, 13] = np.log(1.0 + past) / 2.0 - 1.0
        features[at, 14] = np.log(1.0 + max(gap, 0.0) / 60.0) / 5.0 - 1.0
        features[at, 19] = 3.0 * ((value[slot] + 5.0 * mean_value) / (total[slot] + 5.0) - mean_value)


@compiled_sums
def _dot(one: Any, other: Any) -> Any:
    total = np.float32(0)
    for at in range(len(one)):
        total += one[at] * other[at]
    return total
