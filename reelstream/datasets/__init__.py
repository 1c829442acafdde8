"""Data sets: a folder in our format, or a name for which a loader here fetches one and writes such a folder."""

from collections.abc import Callable
from pathlib import Path

from schemas.errors import ReelstreamError

from . import kuairand, ml_100k
from .folder import Folder

Say = Callable[[str], None]

LOADERS: dict[str, Callable[[Path, Say], Path]] = {"ml-100k": ml_100k.load, "kuairand": kuairand.load}
"""Name → loader: gets the directory for data sets and writes, once, its folder there."""


def find(name_or_dir: str, data: Path, say: Say) -> Folder:
    """The data set of that name or in that folder. `data` is the state directory; `say` gets lines for the reader.

    Raises ReelstreamError when there is none, or when it can't be fetched.
    """
    if loader := LOADERS.get(name_or_dir):
        return Folder(loader(data / "datasets", say))
    if Path(name_or_dir).is_dir():
        return Folder(Path(name_or_dir))
    raise ReelstreamError(
        f"{name_or_dir!r} is neither a folder nor a data set known here ({', '.join(LOADERS)}). "
        "A folder holds interactions.jsonl, posts.jsonl and, if you like, users.jsonl; each may end in .gz."
    )
