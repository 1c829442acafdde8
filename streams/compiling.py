"""Compiles what a worker will call.

To be called before it joins its group: compiling holds the interpreter, in which time the worker would neither apply an
event nor be alive for its group.
"""

import numpy as np

from online_models.co_visitation import LANDMARK, CoVisitation
from online_models.recommender import Recommender

from .neighbour_values import encode
from .post_owners import post_owners


def compile_models() -> None:
    Recommender(sample=1.0, capacity=64, users=8).rehearse()


def compile_stages() -> None:
    post_owners(np.array([1]), 1)
    model = CoVisitation()
    model.learn_one(2, context=[1], gain=1.0, at=LANDMARK)
    encode(model.rows, [1, 2])
    model.forget(1)
