"""KuaiRand-Pure, standard log: 26,469 people and 7,551 short videos of a real feed, April 2022 (Gao et al., CIKM 2022).

The files are not part of reelstream and are not fetched: the environment variable REELSTREAM_DATASETS names the
directory that holds `kuairand/`.
"""

import csv
import gzip
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from schemas.errors import ReelstreamError

from .folder import write

NAME = "kuairand"
VARIABLE = "REELSTREAM_DATASETS"
EVENTS = "events_20220425_20220430.parquet"
WARM_UP = "warmup_user_sequences_until_20220424.parquet"
VIDEOS = "video_features_basic_pure.csv.gz"
USERS = "user_features_pure.csv.gz"
TERMS = (
    "KuaiRand-Pure, Kuaishou and University of Science and Technology of China: CC BY-SA 4.0; cite C. Gao et al., "
    "KuaiRand, CIKM 2022, doi:10.1145/3511808.3557624. https://kuairand.com"
)
LOG_BEGINS_MS = 1_649_347_200_000
"""2022-04-08, midnight in China: the first day of the standard log, from which the untimed sequences are taken."""
LONG_WATCHED, WATCHED = 0.97, 0.12
"""Median watched fraction of the clicked rows with and without `long_view`: what the untimed sequences don't tell."""
REACTIONS = {
    "is_like": "like", "is_follow": "follow", "is_comment": "comment", "is_forward": "share",
    "is_hate": "not_interested",
}  # fmt: skip
_CHINA = timezone(timedelta(hours=8))


def load(directory: Path, say: Callable[[str], None]) -> Path:
    """Writes the data set to `directory`/kuairand unless it is there, and returns that folder.

    Raises ReelstreamError saying what to do when the files or the reader of their format can't be found.
    """
    say(TERMS)
    folder = directory / NAME
    if folder.is_dir():
        return folder
    source = Path(os.environ.get(VARIABLE, "")) / NAME
    if not os.environ.get(VARIABLE) or not (source / EVENTS).is_file():
        named = os.environ.get(VARIABLE, "not set")
        raise ReelstreamError(f"{VARIABLE} must name the directory that holds {NAME}/{EVENTS}; it is {named!r}.")
    directory.mkdir(parents=True, exist_ok=True)
    convert(source, folder)
    return folder


def convert(source: Path, folder: Path) -> None:
    """Turns the files in `source` into a data set in `folder`."""
    events, warm_up = _table(source / EVENTS), _table(source / WARM_UP)
    interactions = sorted([*_past(warm_up), *_interactions(events)], key=lambda row: row["occurred_at"])
    write(folder, interactions=interactions, posts=_posts(source / VIDEOS), users=_users(source / USERS))


def _table(path: Path) -> list[dict[str, Any]]:
    try:
        from pyarrow import parquet  # type: ignore[import-untyped]
    except ImportError:
        raise ReelstreamError("kuairand needs pyarrow: pip install 'reelstream[evaluate]'") from None
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def _interactions(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A clicked row is a view with its watched fraction; each reaction is an event of its own, right after it."""
    for row in {tuple(row.items()): row for row in rows}.values():
        numbered = f"{NAME}-{row['user_id']}-{row['video_id']}-{row['time_ms']}"
        if row["is_click"]:
            watched = row["play_time_ms"] / max(row["duration_ms"], 1)
            yield _event(numbered, row["user_id"], row["video_id"], row["time_ms"], "view", min(watched, 1000.0))
        for column, kind in REACTIONS.items():
            if row[column]:
                yield _event(f"{numbered}-{kind}", row["user_id"], row["video_id"], row["time_ms"], kind, 1.0)


def _past(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The sequences have an order and the time of the last entry: spread evenly from the first day of the log."""
    for row in rows:
        watched, liked, long_watched = row["watch_seq"], set(row["like_seq"]), set(row["long_watch_seq"])
        step = (row["last_time_ms"] - LOG_BEGINS_MS) / max(row["history_len"], len(watched), 1)
        for place, video in enumerate(watched):
            at = int(row["last_time_ms"] - step * (len(watched) - 1 - place))
            numbered = f"{NAME}-{row['user_id']}-past-{place}"
            value = LONG_WATCHED if video in long_watched else WATCHED
            yield _event(numbered, row["user_id"], video, at, "view", value)
            if video in liked:
                liked.discard(video)
                yield _event(f"{numbered}-like", row["user_id"], video, at, "like", 1.0)


def _event(event_id: str, user: int, video: int, at_ms: int, kind: str, value: float) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "username": f"u{user}",
        "post_id": video + 1,  # ids begin with 1 in the contract, with 0 in the source
        "interaction_type": kind,
        "interaction_value": round(value, 3),
        "occurred_at": datetime.fromtimestamp(at_ms / 1000, UTC),
        "source": NAME,
    }


def _posts(path: Path) -> Iterator[dict[str, Any]]:
    """Topics are numbers in the source, several of a video joined by commas. Videos have no titles."""
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            tags = [f"topic {tag}" for tag in row["tag"].split(",") if tag.strip().isdigit()]
            uploaded = (
                datetime.strptime(row["upload_dt"], "%Y-%m-%d").replace(tzinfo=_CHINA) if row["upload_dt"] else None
            )
            yield {
                "id": int(row["video_id"]) + 1,
                "title": f"Video {row['video_id']}",
                "category": tags[0] if tags else None,
                "tags": tags,
                "username": f"author{row['author_id']}",
                "created_at": uploaded,
                "duration_ms": int(float(row["video_duration"])) if row["video_duration"] else None,
            }


def _users(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            wanted = ("user_active_degree", "follow_user_num_range", "fans_user_num_range", "register_days_range")
            yield {
                "username": f"u{row['user_id']}",
                "id": int(row["user_id"]),
                "attributes": {name: row[name] for name in wanted},
            }
