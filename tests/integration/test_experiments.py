"""The report of an experiment from the record: what belongs to which page, and what the command says."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from reelstream.cli import app
from reelstream.experiments import record
from reelstream.experiments.report import report
from schemas.errors import ReelstreamError
from schemas.migrate import migrate

AT = datetime(2026, 12, 1, 12, tzinfo=UTC)
FILE = """
[[experiments]]
name = "e"
[[experiments.variants]]
name = "old"
[[experiments.variants]]
name = "new"
diversity = 0.5
"""


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[tuple[str, asyncpg.Connection]]:
    connection = await asyncpg.connect(postgres)
    await connection.execute("DROP DATABASE IF EXISTS tried")
    await connection.execute("CREATE DATABASE tried")
    await connection.close()
    url = f"{postgres.rsplit('/', 1)[0]}/tried"
    await migrate(url)
    connection = await asyncpg.connect(url)
    yield url, connection
    await connection.close()


async def served(
    connection: asyncpg.Connection, name: str, user: str, variant: str, posts: list[int], minute: float = 0.0,
    propensities: list[float] | None = None,
) -> None:  # fmt: skip
    sources = [
        ["popular"] if each == 1.0 else ["popular", "exploration"] for each in propensities or [1.0] * len(posts)
    ]
    await connection.execute(
        "INSERT INTO impressions (recommendation_id, username, session_id, served_at, position, posts, scores, "
        "sources, propensities, algorithm_used, model_versions, variant) "
        "VALUES ($1, $2, 's', $3, 0, $4, $5, $6, $7, 'a', '{}', $8)",
        name, user, AT + timedelta(minutes=minute), posts, [1.0] * len(posts), json.dumps(sources),
        propensities or [1.0] * len(posts), variant,
    )  # fmt: skip


async def happened(
    connection: asyncpg.Connection, user: str, post: int, kind: str, minute: float, value: float = 1.0
) -> None:
    await connection.execute(
        "INSERT INTO interactions (username, event_id, post_id, interaction_type, interaction_value, occurred_at, "
        "log_partition, log_offset, log_index) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0)",
        user, f"{post}-{kind}-{minute}", post, kind, value, AT + timedelta(minutes=minute),
    )  # fmt: skip


async def test_an_interaction_belongs_to_the_newest_page_that_showed_the_post_within_half_an_hour(
    database: tuple[str, asyncpg.Connection],
) -> None:
    url, connection = database
    await served(connection, "a1", "ada", "e=old,other=x", [1, 2, 3])
    await served(connection, "a2", "ada", "e=old", [1, 4], minute=10, propensities=[1.0, 0.25])
    await served(connection, "b1", "ben", "e=new", [1, 2], propensities=[1.0, 0.5])
    await served(connection, "c1", "cyd", "e=new", [5])
    await served(connection, "c2", "cyd", "e=old", [6])
    await served(connection, "g1", "", "e=new", [7])
    await happened(connection, "guest:s", 7, "like", 2)  # of the guest whose session it is
    await served(connection, "n1", "not in it", "default", [1])
    await served(connection, "n2", "nor this", "ee=new", [1])
    await happened(connection, "ada", 1, "like", 12)  # of a2, once
    await happened(connection, "ada", 1, "view", 13, 0.9)
    await happened(connection, "ada", 4, "view", 11, 0.2)  # watched, not clicked
    await happened(connection, "ada", 2, "like", 31)  # too late
    await happened(connection, "ada", 3, "like", -5)  # before it was shown
    await happened(connection, "ada", 3, "share", 5, 0.0)  # taken back
    await happened(connection, "ada", 9, "like", 5)  # never shown
    await happened(connection, "ben", 2, "rating", 1, 85)
    await happened(connection, "ben", 1, "rating", 1, 60)
    await happened(connection, "not in it", 1, "like", 1)

    recorded = await record.read(url, "e", ["old", "new"], None, None)
    found = dict(zip(zip(recorded.names, recorded.variants.tolist(), strict=True), range(9), strict=False))
    ada, ben = found["ada", 0], found["ben", 1]
    assert {*found} == {("ada", 0), ("ben", 1), ("cyd", 0), ("cyd", 1), ("guest:s", 1)}
    columns = (recorded.pages, recorded.shown, recorded.clicks, recorded.likes, recorded.views)
    assert [int(column[ada]) for column in columns] == [2, 5, 1, 1, 2]
    assert recorded.watched[ada] == pytest.approx(1.1)
    assert [int(column[ben]) for column in columns] == [1, 2, 1, 0, 0]
    guest = found["guest:s", 1]
    assert [int(column[guest]) for column in columns] == [1, 1, 1, 1, 0]
    explored = sorted(zip(recorded.explorers, recorded.propensities.tolist(), recorded.taken.tolist(), strict=True))
    assert explored == [("ada", 0.25, False), ("ben", 0.5, True)]

    made = report("e", ["old", "new"], [1.0, 1.0], recorded)
    assert (made.in_several, made.balanced) == (1, True)
    assert [(each.users, each.impressions) for each in made.variants] == [(1, 5), (2, 3)]  # without cyd
    assert made.variants[1].exploration.uniform is None  # of one user no ratio is known
    early = await record.read(url, "e", ["old", "new"], AT, AT + timedelta(minutes=5))
    assert dict(zip(early.names, early.shown.tolist(), strict=True))["ada"] == 3


async def test_the_command_reports_a_planted_effect_and_a_sample_that_is_off(
    database: tuple[str, asyncpg.Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, connection = database
    await connection.execute("""
        INSERT INTO impressions (recommendation_id, username, served_at, position, posts, scores, sources, propensities,
                                 algorithm_used, model_versions, variant)
        SELECT 'r' || u, 'u' || u, $1, 0, ARRAY(SELECT generate_series(1, 10)), array_fill(1.0::float8, ARRAY[10]),
               '[["a"],["a"],["a"],["a"],["a"],["a"],["a"],["a"],["a"],["a","exploration"]]',
               array_fill(1.0::float8, ARRAY[9]) || CASE WHEN u % 2 = 0 THEN 0.8 ELSE 0.2 END::float8,
               'a', '{}', CASE WHEN u < 400 THEN 'e=old' ELSE 'e=new' END
        FROM generate_series(1, 1400) AS u
    """, AT)  # fmt: skip
    # One post of nine is liked where it is old, three where it is new, and the explored one by every even user.
    await connection.execute("""
        INSERT INTO interactions (username, event_id, post_id, interaction_type, interaction_value, occurred_at,
                                  log_partition, log_offset, log_index)
        SELECT 'u' || u, 'p' || p, p, 'like', 1.0, $1, 0, 0, 0
        FROM generate_series(1, 1400) AS u, generate_series(1, 10) AS p
        WHERE p <= CASE WHEN u < 400 THEN u % 3 ELSE 2 + u % 3 END OR (p = 10 AND u % 2 = 0)
    """, AT + timedelta(minutes=3))  # fmt: skip
    (tmp_path / "experiments.toml").write_text(FILE)
    monkeypatch.setenv("EXPERIMENTS_PATH", str(tmp_path / "experiments.toml"))
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.chdir(tmp_path)

    async def run(*arguments: str) -> str:
        called = ["experiments", *arguments]
        result = await asyncio.to_thread(CliRunner().invoke, app, called, catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    printed: dict[str, Any] = json.loads(await run("report", "e", "--json"))
    old, new = printed["variants"]
    assert (old["users"], new["users"]) == (399, 1001)
    assert old["metrics"]["ctr"]["value"] == pytest.approx(0.15, abs=0.001)
    difference = new["metrics"]["ctr"]
    assert difference["difference"] == pytest.approx(0.2, abs=0.002)
    assert difference["difference_interval"][0] > 0.15
    assert difference["p"] < 1e-6
    assert old["metrics"]["watched"] == {
        "value": None, "interval": None, "difference": None, "difference_interval": None, "p": None,
    }  # fmt: skip
    # Even users, with four times the chance, click: by inverse chances one showing in five counts.
    assert new["exploration"]["drawn"] == pytest.approx(0.5, abs=0.01)
    assert new["exploration"]["uniform"] == pytest.approx(0.2, abs=0.01)
    assert new["exploration"]["effective_sample_size"] == pytest.approx(
        1001 * 3.125**2 / (0.5 * (1.25**2 + 25)), rel=0.01
    )
    assert printed["balanced"] is False
    assert "NOT as planned" in await run("report", "e")
    assert "diversity" in await run("list")
    assert json.loads(await run("list", "--json"))["runs"] is True
    with pytest.raises(ReelstreamError, match=r"no experiment 'f'; EXPERIMENTS_PATH has e\."):
        await run("report", "f")
    monkeypatch.delenv("EXPERIMENTS_PATH")
    assert "no experiments; EXPERIMENTS_PATH" in await run("list")
