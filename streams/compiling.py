"""Compiles what a worker that learns will call."""

import numpy as np

from online_models.co_visitation import LANDMARK, CoVisitation
from online_models.recommender import Recommender

from .neighbour_values import encode
from .post_owners import post_owners


def compile_all() -> None:
    """To be called before the worker joins its group: compiling holds the interpreter, in which time the worker would
    neither apply an event nor be alive for its group. Every worker may become the learner."""
    Recommender(sample=1.0, capacity=64, users=8).rehearse()
    post_owners(np.array([1]), 1)
    model = CoVisitation()
    model.learn_one(2, context=[1], gain=1.0, at=LANDMARK)
    encode(model.rows, [1, 2])
    model.forget(1)
