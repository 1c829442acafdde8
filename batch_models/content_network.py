"""The two towers in Keras: a post from its texts and names, a user from the posts met before and a profile."""

import math
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from online_models.content_tokens import BUCKETS, NAMES

from .content_export import TINY, WIDTH, TowerWeights

THREADS = 1
"""Of TensorFlow, which takes it before its first operation only: feeds are served beside the training."""
tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(THREADS)

HIDDEN = 128
DROPOUT = 0.2
TOKENS_DROPPED = 0.1
"""Share of tokens that are left out in training, so that a post is known by more than one of them."""
TEMPERATURE = 0.1
"""Where it begins; it is learnt."""


class Towers(keras.Model):  # type: ignore[misc]
    """dim: of the vectors of both."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.tokens = layers.Embedding(BUCKETS, WIDTH, embeddings_initializer=keras.initializers.RandomNormal(0, 0.1))
        self.post_hidden = layers.Dense(HIDDEN, "relu")
        self.post_out = layers.Dense(dim)
        self.user_hidden = layers.Dense(HIDDEN, "relu")
        # A user begins as the mean of what they met.
        self.user_out = layers.Dense(dim, kernel_initializer="zeros")
        self.dropout = layers.Dropout(DROPOUT)
        self.seeds = keras.random.SeedGenerator()
        self.sharpness = self.add_weight(
            name="sharpness", shape=(), initializer=keras.initializers.Constant(-math.log(TEMPERATURE))
        )
        self.tokens.build((None, None))
        self.post_hidden.build((None, (2 + NAMES) * WIDTH))
        self.post_out.build((None, HIDDEN))
        self.user_hidden.build((None, dim + WIDTH))
        self.user_out.build((None, HIDDEN))
        self.built = True

    def learnt(self) -> TowerWeights:
        layers_of = (self.post_hidden, self.post_out, self.user_hidden, self.user_out)
        hidden, out, user_hidden, user_out = (tuple(layer.get_weights()) for layer in layers_of)
        table, sharpness = self.tokens.get_weights()[0], float(self.sharpness.numpy())
        return TowerWeights(table, hidden, out, user_hidden, user_out, sharpness)

    def posts(self, text: Any, labels: Any, names: Any, training: bool = False) -> Any:
        """(n, dim), of length 1. Tokens as in online_models.content_tokens, filled with 0."""
        of_names = ops.take(self.tokens.embeddings, names, axis=0) * self._kept(names, training)[..., None]
        parts = [self._mean(text, training), self._mean(labels, training), ops.reshape(of_names, (-1, NAMES * WIDTH))]
        hidden = self.dropout(self.post_hidden(ops.concatenate(parts, axis=1)), training=training)
        return unit(self.post_out(hidden))

    def users(self, taste: Any, profile: Any, training: bool = False) -> Any:
        """(m, dim). taste (m, dim): of any length. The inner product with a post's vector is a logit."""
        taste = unit(taste)
        known = ops.concatenate([taste, self._mean(profile, training)], axis=1)
        hidden = self.dropout(self.user_hidden(known), training=training)
        return unit(taste + self.user_out(hidden)) * ops.exp(self.sharpness)

    def _mean(self, tokens: Any, training: bool) -> Any:
        """(n, WIDTH): of the tokens that are there."""
        kept = self._kept(tokens, training)
        total = ops.sum(ops.take(self.tokens.embeddings, tokens, axis=0) * kept[..., None], axis=1)
        return total / ops.maximum(ops.sum(kept, axis=1, keepdims=True), 1.0)

    def _kept(self, tokens: Any, training: bool) -> Any:
        kept = ops.cast(tokens > 0, "float32")
        if training:
            drawn = keras.random.uniform(ops.shape(tokens), seed=self.seeds)
            kept = kept * ops.cast(drawn >= TOKENS_DROPPED, "float32")
        return kept


def unit(rows: Any) -> Any:
    """(n, dim) each divided by its length; zeros stay zeros."""
    return rows / ops.sqrt(ops.maximum(ops.sum(ops.square(rows), axis=1, keepdims=True), TINY))
