"""From pages as the impression log writes them to what the ranker holds a post against."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import numpy as np
import pytest
from recorded import record_likes

from batch_models import dataset, snapshots
from batch_models.event_sequences import sequences
from batch_models.passed_over import PassedOver
from batch_models.ranker_training import meetings
from online_models.examination import examination
from online_models.positives import Positives
from schemas.impressions import Impression, encode
from schemas.migrate import migrate
from schemas.settings import Settings
from schemas.topics import IMPRESSIONS
from streams.impression_log import ImpressionLogAgent
from streams.log_reader import LogReader
from streams.progress import Progress
from streams.record import Record

AT = 1_795_381_200.0


@pytest.fixture
async def pool(postgres: str) -> AsyncIterator[asyncpg.Pool]:
    name = f"pages_{random.randrange(10**9)}"
    connection = await asyncpg.connect(postgres)
    await connection.execute(f"CREATE DATABASE {name}")
    try:
        url = f"{postgres.rsplit('/', 1)[0]}/{name}"
        await migrate(url)
        async with asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
            yield pool
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


async def show(pool: asyncpg.Pool, *pages: tuple[str, float, int, list[int]]) -> None:
    services: Any = SimpleNamespace(
        pool=pool, partitions=1, progress=Progress(), log_ids={IMPRESSIONS: "a log"}, log_reader=LogReader(Settings())
    )
    records = []
    for number, (name, at, position, posts) in enumerate(pages):
        impression = Impression(
            recommendation_id=f"page-{number}", username=name, session_id="s", served_at=AT + at, algorithm_used="svd",
            model_versions={}, position=position, posts=posts, scores=[0.0] * len(posts),
            sources=[["svd"]] * len(posts),
        )  # fmt: skip
        records.append(Record(IMPRESSIONS, 0, number, AT, name.encode(), encode(impression)))
    await ImpressionLogAgent(services).apply(0, records)


async def test_a_page_in_the_record_becomes_what_a_post_is_held_against(pool: asyncpg.Pool, tmp_path: Path) -> None:
    events = [("ada", 1, 0.0), ("bob", 2, 5.0), ("ada", 12, 130.0), ("ada", 14, 900.0), ("bob", 3, 86_400.0)]
    rows = [
        (f"e{number}", name, post, "like", 1.0, datetime.fromtimestamp(AT + at, UTC), 0, number, 0)
        for number, (name, post, at) in enumerate(events)
    ]
    await show(
        pool,
        ("ada", 100.0, 4, [11, 12, 13, 14, 15]),  # 12 is taken from it, and 14 later
        ("ada", -100.0, 0, [12, 21]),  # before anything that anybody did
        ("ada", 50.0, 0, [12, 22]),  # not the newest
        ("ada", 140.0, 0, [12, 23]),  # of later
        ("bob", 100.0, 0, [12, 24]),
        ("", 120.0, 0, [12, 25]),
        ("nobody", 120.0, 0, [12, 26]),
        ("ada", 90_000.0, 0, [12, 27]),  # after all that anybody did
    )
    async with pool.acquire() as connection:
        assert not len((await dataset.snapshot(connection, 100)).pages.at), "of nobody who did anything"
        await record_likes(connection, rows, range(1, 30))
        read = await dataset.snapshot(connection, 100)
    whole = snapshots.load(snapshots.save(tmp_path, read))
    assert (whole.pages.at - AT).tolist() == [50.0, 100.0, 100.0, 140.0]

    found = sequences(whole, Positives())
    places = meetings(found).places
    passed = PassedOver(whole, found, places).beside(np.arange(len(places)), 20, np.random.default_rng(1))
    assert passed is not None
    beside = {
        int(whole.post_ids[found.posts[place]]): dict(zip(whole.post_ids[posts].tolist(), seen.tolist(), strict=True))
        for place, posts, seen in zip(places, passed.posts, passed.seen, strict=True)
    }
    left = dict(zip([11, 13, 15], examination(np.array([4, 6, 8])), strict=True))
    for taken in (12, 14):
        assert {post: seen for post, seen in beside[taken].items() if seen} == pytest.approx(left)
    assert not any(beside[3].values())
