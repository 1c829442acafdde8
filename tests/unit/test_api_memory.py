"""Memory of the API process: large zeros take none, and what was freed or is not called any more goes back."""

import ctypes
import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from api.memory import LARGE_CODE, give_code_back

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


CODE = """
import sys
from pathlib import Path
import numba
from api.memory import give_code_back

def of_files():
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssFile:")[1].split()[0]) >> 10

double = numba.njit(lambda number: 2 * number)
double(1)
before = of_files()
give_code_back()
after = of_files()
print(before - after, double(1.5))  # compiles once more
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nothing goes")
def test_code_of_libraries_goes_and_comes_back_when_it_is_called() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    megabytes, doubled = done.stdout.split()
    assert int(megabytes) > 40, "LLVM alone has more"
    assert float(doubled) == 3.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nothing goes")
def test_pages_of_a_library_that_were_written_to_stay(tmp_path: Path) -> None:
    library = tmp_path / "tables.so"
    library.write_bytes(bytes(2 * LARGE_CODE))
    with library.open("r+b") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE) as mapped:
        mapped[LARGE_CODE] = 7
        held = (ctypes.c_char * len(mapped)).from_buffer(mapped)
        protect = ctypes.CDLL(None).mprotect
        assert protect(ctypes.byref(held), ctypes.c_size_t(len(mapped)), mmap.PROT_READ) == 0
        give_code_back()
        assert mapped[LARGE_CODE] == 7
        del held
