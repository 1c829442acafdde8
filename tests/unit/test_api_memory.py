"""Memory of the API process: large zeros take none, and what was freed goes back."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import numpy as np
import psutil
from api.memory import give_back, set_large_apart

def resident():
    return psutil.Process().memory_info().rss >> 20

if sys.argv[1] == "apart":
    set_large_apart()
chunk = np.ones(25 << 20, np.int8)
del chunk  # glibc takes no more maps for less than that
pieces = [np.ones(size << 10, np.int8) for _ in range(6) for size in (15 << 10, 200)]
del pieces[::2]
holes = resident()
small = [bytes(1_000) for _ in range(60_000)]
del small[::2], small[1:-1]
full = resident()
give_back()
print(holes, full - resident())
"""


def measured(how: str) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    holes, given = map(int, done.stdout.split())
    return holes, given


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what is tested is glibc's")
def test_large_arrays_lie_apart_and_what_was_freed_goes_back() -> None:
    (left_alone, _), (apart, given) = measured("alone"), measured("apart")
    assert apart < left_alone - 60, "six pieces of 15 MB went back when they were freed"
    assert given > 30, "60 MB in small pieces"
