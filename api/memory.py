"""Memory of the process: what is large lies apart, and what was freed, or only read for a start, goes back to the
system. That is glibc's and Linux's; elsewhere nothing happens."""

import asyncio
import ctypes
import re
from functools import cache
from mmap import MADV_DONTNEED
from pathlib import Path
from typing import Any

LARGE = 4 << 20
"""Bytes. A feed's own arrays, 8 bytes a post, stay below: to map them anew each time costs 0.1 ms a megabyte."""
LARGE_CODE = 1 << 20
"""Bytes. Libraries of that size stay loaded: nothing else can come to lie where they were."""
STARTED_SECONDS = 10.0
"""Until the first models are there as well, of whose code most is called once."""
AGAIN_SECONDS = 600.0
"""For what a later model called."""
_M_MMAP_THRESHOLD = -3
_READ_ONLY = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ \d+ +/.*\.so[.\d]*\n((?:[A-Z].*\n)+)", re.MULTILINE)
_NEVER_WRITTEN = re.compile(r"^(?:Anonymous|Swap): +0 kB$", re.MULTILINE)


def set_large_apart() -> None:
    """From now on what takes LARGE bytes is mapped by itself: zeros then take no memory before they are written to, and
    all goes back when it is freed. Left alone, glibc stops doing that once something of 25 MB was freed, as a chunk of
    a model: with 100,000 posts a process had 100 MB of zeros and 50 MB of nothing."""
    if (mallopt := _of_libc("mallopt")) is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE)


def give_back() -> None:
    """To be called after what takes much for a moment, in pieces that are not large. 1 to 10 ms, in which other threads
    go on."""
    if (trim := _of_libc("malloc_trim")) is not None:
        trim(0)


async def keep_code_away() -> None:
    """Gives code back once everything was started, and now and then after that."""
    await asyncio.sleep(STARTED_SECONDS)
    while True:
        await asyncio.to_thread(give_code_back)
        await asyncio.sleep(AGAIN_SECONDS)


def give_code_back() -> None:
    """Pages of libraries leave the process, and those that are called again come back from the system's cache of files,
    16 at a time: none of the 67 MiB of LLVM, which machine code is loaded with, and 11 of 21 MiB of ONNX Runtime. 5 to
    10 ms.

    Pages that somebody wrote to are in no file. A library has some for its tables of addresses, and makes them
    read-only afterwards; a range with such a page stays as it is.
    """
    smaps, madvise = Path("/proc/self/smaps"), _of_libc("madvise")
    if madvise is None or not smaps.exists():
        return
    for start, end, facts in _READ_ONLY.findall(smaps.read_text()):
        address, size = int(start, 16), int(end, 16) - int(start, 16)
        if size >= LARGE_CODE and len(_NEVER_WRITTEN.findall(facts)) == 2:
            madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), MADV_DONTNEED)


@cache
def _of_libc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None)
