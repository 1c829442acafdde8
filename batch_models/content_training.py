"""Training of the content towers: who turned to a post is told from its content alone, among those of the batch.

Softmax over the batch's posts, corrected for how often a post is among them (Yi et al., sampling-bias-corrected neural
modeling, RecSys 2019): popular posts are met as others' posts more often than they should be.
"""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import structlog
import tensorflow as tf
from numpy.typing import NDArray

from online_models.content_tokens import PostTokens
from online_models.content_towers import trimmed
from online_models.positives import Positives
from schemas.events import InteractionType

from .content_network import Towers
from .dataset import RECENCY, Interactions, event_strengths, positive, standing

EPOCHS = 6
BATCH = 512
LEAST_STEPS = 16
"""An epoch: of few examples a batch has fewer."""
LEARNING_RATE = 0.002
MOST_STEPS = 6_000
"""Of a training: three million examples. More events are sampled."""
PAST = 50
"""Posts of a user's past that are summed."""
FORGOTTEN = 0.1
"""Share of examples whose user has no past, so that a profile alone says something too."""
STEPS_A_ROUND = 100
"""After so many steps the past is summed of new vectors: gradients go through the post that is asked for alone."""
POSTS_A_STEP = 50
"""With more posts than STEPS_A_ROUND times that, a round is longer: embedding them all then takes its share of time."""
AT_ONCE = 1_024

log = structlog.get_logger()


class Examples:
    """Positives of a part, each with the posts its user met before it.

    Columns by user, then time, of all events. first (n,): the user's first row. rows (e,): of the positives.
    """

    def __init__(self, part: Interactions, weights: Mapping[InteractionType, float], positives: Positives) -> None:
        order = np.argsort(part.users, kind="stable")
        self.users, self.posts = part.users[order], part.posts[order]
        self.first = np.searchsorted(self.users, self.users)
        self.strengths = np.maximum(event_strengths(part, weights)[order], 0.0).astype(np.float32)
        self.rows = np.flatnonzero((positive(part, positives) & standing(part))[order])

    def past(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Posts (b, PAST) before each of `rows`, newest first, and what they count: recency^q · strength."""
        back = np.arange(1, PAST + 1)
        at = rows[:, None] - back
        there = at >= self.first[rows, None]
        at = np.maximum(at, 0)
        return self.posts[at], np.where(there, RECENCY ** (back - 1) * self.strengths[at], 0.0).astype(np.float32)


def train(
    towers: Towers, part: Interactions, weights: Mapping[InteractionType, float], positives: Positives, seed: int
) -> None:
    """Learns in place. Without examples the towers stay as they are."""
    examples, draw = Examples(part, weights, positives), np.random.default_rng(seed)
    count, posts = len(examples.rows), len(part.post_ids)
    if not count:
        return
    batch = max(min(BATCH, count // LEAST_STEPS), 1)
    steps = min(EPOCHS * count // batch, MOST_STEPS)
    share = np.bincount(examples.posts[examples.rows], minlength=posts) / count
    # How likely a post is in a batch at all: there it is one column, however often it is drawn.
    logq = np.log(-np.expm1(batch * np.log1p(-np.minimum(share, 0.999))) + 1e-12).astype(np.float32)
    tokens, profiles = part.content.posts, trimmed(part.content.users)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(towers.trainable_variables)

    whole, real = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, None), tf.float32)
    content_of = (whole, whole, whole)
    row, place = tf.TensorSpec((None,), tf.float32), tf.TensorSpec((None,), tf.int64)

    # Signatures, so that each is traced once, however many tokens a batch has.
    @tf.function(input_signature=(tf.TensorSpec((None, PAST, towers.dim)), real, whole, content_of, place, row))  # type: ignore[untyped-decorator]
    def step(past: Any, counts: Any, profile: Any, content: Any, targets: Any, correction: Any) -> Any:
        with tf.GradientTape() as tape:
            taste = tf.einsum("bh,bhd->bd", counts, past)
            users = towers.users(taste, profile, training=True)
            text, labels, names = content
            logits = tf.matmul(users, towers.posts(text, labels, names, True), transpose_b=True) - correction
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, towers.trainable_variables), towers.trainable_variables)
        return loss

    @tf.function(input_signature=content_of)  # type: ignore[untyped-decorator]
    def embed(text: Any, labels: Any, names: Any) -> Any:
        return towers.posts(text, labels, names)

    a_round, losses = max(STEPS_A_ROUND, posts // POSTS_A_STEP), list[float]()
    vectors, order = np.empty((0, 0), np.float32), np.empty(0, np.int64)
    for number in range(steps):
        if number % a_round == 0:
            chunks = [embed(*_inputs(tokens, slice(at, at + AT_ONCE))) for at in range(0, posts, AT_ONCE)]
            vectors = np.concatenate([chunk.numpy() for chunk in chunks])
            if losses:
                log.info("content learns", step=number, steps=steps, loss=round(float(np.mean(losses)), 4))
            losses = []
        if len(order) < batch:
            order = draw.permutation(examples.rows)
        rows, order = order[:batch], order[batch:]
        past, counts = examples.past(rows)
        counts[draw.random(batch) < FORGOTTEN] = 0.0
        among, targets = np.unique(examples.posts[rows], return_inverse=True)
        inputs = vectors[past], counts, profiles[examples.users[rows]], _inputs(tokens, among), targets, logq[among]
        losses.append(float(step(*inputs)))
    if losses and not math.isfinite(losses[-1]):
        raise FloatingPointError(f"content: the loss became {losses[-1]}")


def _inputs(tokens: PostTokens, rows: Any) -> tuple[NDArray[np.int32], ...]:
    """Of the posts named, without columns that they leave empty."""
    text, labels, names = tokens.rows(rows)
    return trimmed(text), trimmed(labels), names.astype(np.int32)
