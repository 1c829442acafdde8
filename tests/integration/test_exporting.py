"""What is exported besides interactions (those: test_collect): served pages and the history of trending."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pyarrow import parquet

from reelstream import exporting
from reelstream.exporting import EXPORTED, export
from schemas.errors import ReelstreamError, ServiceUnavailable
from schemas.migrate import migrate

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
async def database(postgres: str) -> str:
    """Pages and rankings of three days, around the turn of a month too."""
    connection = await asyncpg.connect(postgres)
    await connection.execute("DROP DATABASE IF EXISTS exported WITH (FORCE)")
    await connection.execute("CREATE DATABASE exported")
    await connection.close()
    url = f"{postgres.rsplit('/', 1)[0]}/exported"
    await migrate(url)
    connection = await asyncpg.connect(url)
    for number in range(3):
        await connection.execute(
            "INSERT INTO impressions (recommendation_id, username, served_at, position, posts, scores, sources, "
            "features, algorithm_used, model_versions, variant) VALUES ($1, 'ann', $2, 0, '{7,8}', '{0.5,null}', "
            """'[["svd"],["svd","exploration"]]', $3, 'blend', '{"svd": "7"}', '')""",
            f"page {number}", NOW - (2 - number) * DAY, None if number else '[{"svd": 0.5}, {}]',
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO trending_history VALUES ('all', '24h', $1, $1, '{7,8}', '{2.5,1}')", NOW - number * DAY
        )
    await connection.close()
    return url


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def left(folder: Path) -> list[str]:
    return os.listdir(folder)


async def written(
    what: str, file: Path, database: str, since: datetime | None, until: datetime | None
) -> list[dict[str, Any]]:
    told: list[int] = []
    count = await export(EXPORTED[what], file, database, since, until, told.append)
    rows = parquet.read_table(file).to_pylist() if file.suffix == ".parquet" else lines(file)
    assert (count, told[-1] if told else 0) == (len(rows), len(rows))
    return rows


async def test_pages_are_written_whole_in_time_order_and_by_time(database: str, tmp_path: Path) -> None:
    rows = await written("impressions", tmp_path / "a.jsonl", database, None, None)
    assert [row["recommendation_id"] for row in rows] == ["page 0", "page 1", "page 2"]
    assert rows[0] == {
        "recommendation_id": "page 0", "username": "ann", "session_id": None, "served_at": "2026-11-23T12:00:00Z",
        "position": 0, "posts": [7, 8], "scores": [0.5, None], "propensities": None,
        "sources": [["svd"], ["svd", "exploration"]], "features": [{"svd": 0.5}, {}], "algorithm_used": "blend",
        "model_versions": {"svd": "7"}, "variant": "",
    }  # fmt: skip
    assert rows[1]["features"] is None
    for name in ("b.jsonl", "b.parquet"):
        middle = await written("impressions", tmp_path / name, database, NOW - DAY, NOW)
        assert [(row["recommendation_id"], row["posts"]) for row in middle] == [("page 1", [7, 8])]
    assert json.loads(middle[0]["sources"]) == [["svd"], ["svd", "exploration"]]
    assert middle[0]["served_at"] == NOW - DAY


async def test_the_history_of_trending_is_written_in_chunks(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = EXPORTED["trending"]._replace(chunk=2)
    monkeypatch.setitem(exporting.EXPORTED, "trending", small)
    for name in ("a.jsonl", "a.parquet"):
        rows = await written("trending", tmp_path / name, database, None, None)
        assert [(row["category"], row["posts"], row["scores"]) for row in rows] == [("all", [7, 8], [2.5, 1.0])] * 3
    assert [row["at"] for row in rows] == [NOW - 2 * DAY, NOW - DAY, NOW]


def test_the_command_writes_what_it_is_asked_for(database: str, tmp_path: Path) -> None:
    arguments = ["t.jsonl", "--what", "trending", "--since", "2026-11-24", "--until", "2026-11-25T12:00:00"]
    result = subprocess.run(
        [sys.executable, "-m", "reelstream", "export", *arguments], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "DATABASE_URL": database}, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, "1 rankings in t.jsonl\n"), result.stderr
    assert [row["at"] for row in lines(tmp_path / "t.jsonl")] == ["2026-11-24T12:00:00Z"]


async def test_what_can_not_be_written_or_read_is_said(
    database: str, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    what = EXPORTED["trending"]
    with pytest.raises(ReelstreamError, match="allowed are"):
        await export(what, tmp_path / "a.csv", database, None, None, print)
    with pytest.raises(ReelstreamError, match="can't be written"):
        await export(what, tmp_path / "none" / "a.jsonl", database, None, None, print)
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        await export(what, tmp_path / "a.jsonl", f"postgresql://a@127.0.0.1:{free_port()}/b", None, None, print)
    assert left(tmp_path) == []
