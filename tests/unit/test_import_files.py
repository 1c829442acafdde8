"""What is read of files to import: rows of the contract, and the others with their line and the reason."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from reelstream.import_files import files_of, kind_of, read
from schemas.errors import ContractError, ReelstreamError
from schemas.events import Interaction

EVENT = {"username": "ann", "post_id": 7, "interaction_type": "view", "interaction_value": 0.5,
         "occurred_at": "2026-01-02T03:04:05Z"}  # fmt: skip


def events(path: Path, **columns: str) -> list[Interaction]:
    found = [row.message for row in read(path, "interactions", columns)]
    return [message[1] for message in found if not isinstance(message, ContractError)]  # type: ignore[misc]


def test_the_three_formats_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(EVENT))
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write(
            "who,post_id,interaction_type,interaction_value,occurred_at,event_id\n"
            "ann,7,view,0.5,2026-01-02T03:04:05Z,\n"
        )
    parquet.write_table(pa.Table.from_pylist([EVENT]), tmp_path / "a.parquet")
    (one,), (two,), (three,) = (
        events(tmp_path / "a.jsonl"), events(tmp_path / "a.csv.gz", username="who"), events(tmp_path / "a.parquet"),
    )  # fmt: skip
    assert one.event_id is not None
    for event in (one, two, three):
        event.event_id = None
    assert one == two == three
    assert events(tmp_path / "a.jsonl")[0].event_id == events(tmp_path / "a.jsonl")[0].event_id


def test_a_bad_row_is_told_with_its_line_and_costs_only_itself(tmp_path: Path) -> None:
    (tmp_path / "interactions.jsonl").write_text(f'{json.dumps(EVENT)}\n\n{{"username": "x"}}\n{json.dumps(EVENT)}\n')
    rows = list(read(tmp_path / "interactions.jsonl", "interactions", {}))
    assert [row.place for row in rows] == [f"interactions.jsonl:{line}" for line in (1, 3, 4)]
    assert isinstance(rows[1].message, ContractError)
    assert "post_id" in str(rows[1].message)


def test_posts_and_users_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_text("id,title,tags,is_locked,video_link\n5,a day,sport|run ,true,v.mp4\n,b,,,\n")
    good, bad = read(tmp_path / "posts.csv", "posts", {})
    assert not isinstance(good.message, ContractError)
    key, value = good.message
    assert key == "5"
    assert json.loads(value) == {
        "id": 5, "title": "a day", "tags": ["sport", "run"], "is_locked": True, "video_link": "v.mp4",
    }  # fmt: skip
    assert isinstance(bad.message, ContractError)
    (tmp_path / "users.csv").write_text("name,email\nann,ann@example.invalid\n")
    (user,) = read(tmp_path / "users.csv", "users", {"username": "name"})
    assert "example" not in str(user)


def test_a_folder_has_its_users_first_and_interactions_last(tmp_path: Path) -> None:
    for name in ("interactions.jsonl.gz", "posts.parquet", "users.csv", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in files_of(tmp_path)] == ["users.csv", "posts.parquet", "interactions.jsonl.gz"]


def test_what_can_not_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ReelstreamError, match="no file, nor a folder"):
        files_of(tmp_path)
    with pytest.raises(ReelstreamError, match="--kind"):
        kind_of(tmp_path / "log.csv", None)
    for name, content in (("a.parquet", b"no"), ("a.jsonl.gz", b"no"), ("a.csv", b"\xff\xfe\x00"), ("a.txt", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ReelstreamError):
            list(read(tmp_path / name, "interactions", {}))
