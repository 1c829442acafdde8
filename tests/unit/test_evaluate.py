"""`reelstream evaluate online` as it is typed, on a data set of a few events."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import structlog
from typer.testing import CliRunner

from reelstream import datasets
from reelstream.cli import app
from reelstream.datasets import kuairand
from schemas.errors import ReelstreamError

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """The command sets logging up for a stream that the runner closes."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 users go round 15 films, two ratings in three good ones; and one line that breaks the contract."""
    draws = np.random.default_rng(1)
    last = dict.fromkeys(range(20), 0)
    lines = ["{"]
    for number in range(600):
        user = int(draws.integers(20))
        last[user] = (last[user] + int(draws.integers(1, 3))) % 15
        event = {"username": f"u{user}", "post_id": 1 + last[user], "interaction_type": "rating"}
        event |= {"interaction_value": 100 if number % 3 else 20, "event_id": str(number)}
        lines.append(json.dumps(event | {"occurred_at": (START + timedelta(minutes=number)).isoformat()}))
    (tmp_path / "interactions.jsonl").write_text("\n".join([*lines, lines[-1]]))
    posts = [json.dumps({"id": 1 + number, "tags": [f"t{number % 3}"]}) for number in range(15)]
    (tmp_path / "posts.jsonl").write_text("\n".join(posts))
    return tmp_path


def evaluate(*arguments: object, kind: str = "online") -> tuple[int, str]:
    result = CliRunner().invoke(app, ["evaluate", kind, *map(str, arguments)])
    return result.exit_code, result.stdout if result.exception is None else str(result.exception)


def test_the_report_has_what_others_build_on(folder: Path) -> None:
    status, out = evaluate(folder, "--json", "--plot", folder / "curve.png")
    report = json.loads(out.splitlines()[-1])
    assert status == 0
    assert (report["events"], report["skipped"]) == (600, 2)
    assert 50 < report["scored"] < 300
    assert 0 < report["ndcg@10"] < report["recall@10"] <= 1
    assert {"coverage", "events_per_second", "cold_user", "cold_item", "by_activity"} <= report.keys()
    assert {"popularity", "co_visitation", "sequence", "factors"} <= report["by_source"].keys()
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_events_before_the_time_are_learnt_from_and_not_scored(folder: Path) -> None:
    late = (START + timedelta(minutes=400)).isoformat()
    whole, part = (
        json.loads(evaluate(folder, "--json", *options)[1].splitlines()[-1]) for options in ([], ["--score-from", late])
    )
    assert part["events"] == whole["events"]
    assert 0 < part["scored"] < whole["scored"] / 2


def test_a_person_gets_a_table(folder: Path) -> None:
    status, out = evaluate(folder, "--limit", 200)
    assert status == 0
    assert all(word in out for word in ("blend", "popularity", "events/s"))


@pytest.mark.parametrize("protocol", ["time", "ncf"])
def test_the_batch_report_has_what_others_build_on(folder: Path, protocol: str) -> None:
    status, out = evaluate(folder, "--protocol", protocol, "--model", "svd", "--json", kind="batch")
    assert status == 0
    report = json.loads(out.splitlines()[-1])
    assert list(report) == ["svd", "popularity"]
    for figures in report.values():
        assert figures["users"] > 0
        assert 0 <= figures["ndcg@10"] <= figures["hr@10"] <= 1
        assert figures["recall@10_interval"][0] <= figures["recall@10"] <= figures["recall@10_interval"][1]
        assert min(figures["train_seconds"], figures["score_seconds"]) >= 0
    shown = evaluate(folder, "--protocol", protocol, "--model", "svd", kind="batch")[1]
    assert all(word in shown for word in ("svd", "popularity", "bootstrap"))
    assert "\\" not in shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "sdv"], "There is: "),
        (["--protocol", "ncf", "--positive", "like"], "--positive goes with"),
        (["--positive", "report"], "is none of"),
        (["--limit", "1"], "no interaction that could be learnt from"),
        (["--limit", "20"], "Nobody can be asked"),
    ],
)
def test_batch_says_what_it_cannot_do(folder: Path, options: list[str], said: str) -> None:
    status, out = evaluate(folder, *options, kind="batch")
    assert status == 1
    assert said in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--positive", "shrug"], "shrug"),
        (["--score-from", "noon"], "noon"),
        (["--positive", "view:many"], "no number"),
    ],
)
def test_what_cannot_be_understood_is_named(folder: Path, options: list[str], said: str) -> None:
    status, out = evaluate(folder, *options)
    assert status == 1
    assert said in out


def test_kuairand_is_read_from_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReelstreamError, match=kuairand.VARIABLE):
        datasets.find("kuairand", tmp_path, lambda line: None)
    source = tmp_path / "sets" / "kuairand"
    source.mkdir(parents=True)
    write_kuairand(source)
    monkeypatch.setenv(kuairand.VARIABLE, str(tmp_path / "sets"))
    folder = datasets.find("kuairand", tmp_path, lambda line: None)
    events = [event.value for event in folder.events()]
    told = [(event.username, event.post_id, event.interaction_type, event.interaction_value) for event in events]
    assert told == [
        ("u7", 2, "view", kuairand.WATCHED), ("u7", 3, "view", kuairand.LONG_WATCHED), ("u7", 3, "like", 1.0),
        ("u7", 1, "view", 0.5), ("u7", 1, "follow", 1.0), ("u8", 2, "not_interested", 1.0),
    ]  # fmt: skip
    assert events[1].occurred_at == events[2].occurred_at < datetime(2022, 4, 25, tzinfo=UTC)
    posts = {row.value["id"]: row.value for row in folder.posts()}
    assert posts[1] == {
        "id": 1, "title": "Video 0", "category": "topic 20", "tags": ["topic 20", "topic 43"], "username": "author9",
        "created_at": "2022-04-10T00:00:00+08:00", "duration_ms": 87433,
    }  # fmt: skip
    assert (posts[2]["tags"], posts[2]["duration_ms"]) == ([], None)


def write_kuairand(source: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    flags = ("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate")
    row = dict.fromkeys(flags, 0) | {"play_time_ms": 5_000, "duration_ms": 10_000, "time_ms": 1_650_900_000_000}
    rows = [
        row | {"user_id": 7, "video_id": 0, "is_click": 1, "is_follow": 1},
        row | {"user_id": 7, "video_id": 0, "is_click": 1, "is_follow": 1},  # an exact duplicate
        row | {"user_id": 8, "video_id": 1, "is_hate": 1, "time_ms": 1_650_900_000_001},
        row | {"user_id": 8, "video_id": 2, "time_ms": 1_650_900_000_002},  # shown, not clicked
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), source / kuairand.EVENTS)
    past = {"user_id": 7, "history_len": 2, "last_time_ms": 1_650_700_000_000, "watch_seq": [1, 2], "like_seq": [2]}
    parquet.write_table(pyarrow.Table.from_pylist([past | {"long_watch_seq": [2]}]), source / kuairand.WARM_UP)
    with gzip.open(source / kuairand.VIDEOS, "wt") as file:
        file.write("video_id,author_id,upload_dt,video_duration,tag\n")
        file.write('0,9,2022-04-10,87433.0,"20,43"\n1,9,2022-04-10,,unknown\n2,9,2022-04-10,1.0,3\n')
    with gzip.open(source / kuairand.USERS, "wt") as file:
        file.write("user_id,user_active_degree,follow_user_num_range,fans_user_num_range,register_days_range\n")
        file.write('7,full_active,500+,"[100,1k)",730+\n')
