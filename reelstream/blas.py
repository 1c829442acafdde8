"""How many threads numpy's products take."""

import os


def one_thread() -> None:
    """To be called before numpy is imported. Products of the online models are small, 250 × 91 by 91 × 32: a second
    thread gains nothing and spins on a core that others need; with both cores busy, ranking took twice as long."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
