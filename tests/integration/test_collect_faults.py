"""Collecting from a stand-in upstream that is ill, and by a process that is killed: what is published and remembered.

Nobody reads what is published here, so there are no workers: that it has its effects is for test_collect.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from collecting import ALGORITHM, LIKES, RATINGS, VIEWS, collect, counted, secrets, serving, stand_in
from live_system import System, eventually, running_system

from collector.run import AlreadyRunning
from collector.store import Store
from reelstream.dev_upstream.server import Upstream


@pytest.fixture(scope="module")
def world_of_before() -> Upstream:
    return stand_in()


@pytest.fixture(scope="module")
def system(own_tansu: str, valkey: str, postgres: str, world_of_before: Upstream) -> Iterator[System]:
    """Where likes, ratings and views have been collected once."""
    with serving(world_of_before) as url:
        environment = {**secrets(url), "KAFKA_IDEMPOTENCE": "false"}
        with running_system(own_tansu, valkey, postgres, 16, roles=(), **environment) as system:
            for name in ("liked-posts", "rated-posts", "viewed-posts"):
                assert asyncio.run(collect(system, name)).state == "succeeded"
            yield system


@pytest.fixture
def upstream(system: System, world_of_before: Upstream) -> Upstream:
    world_of_before.faults.put([])
    return world_of_before


@pytest.mark.parametrize("kind", ["empty", "truncated"])
async def test_an_upstream_that_hides_rows_takes_nothing_back(system: System, upstream: Upstream, kind: str) -> None:
    upstream.faults.add(kind, path=LIKES, page=1, times=100)
    status = await collect(system, "liked-posts")
    assert (status.state, status.taken_back) == ("succeeded", 0)
    assert "nothing was taken back" in (status.note or "")
    upstream.faults.put([])
    assert counted(await collect(system, "liked-posts"))[2::2] == (0, 0)


async def test_faults_that_pass_are_outlived(system: System, upstream: Upstream) -> None:
    add, world = upstream.faults.add, upstream.world
    add("status", path=RATINGS, page=1, times=2)
    add("status", path=RATINGS, page=2, status=429, retry_after=1)
    add("garbage", path=RATINGS, page=2)
    add("cut", path=RATINGS, page=3)
    add("repeated", path=RATINGS, page=4)
    started = len(upstream.requests)
    status = await collect(system, "rated-posts")
    assert counted(status)[2::2] == (0, 0)
    assert (status.state, status.rows) == ("succeeded", len(world.rows[RATINGS]))
    asked = [page for path, page in upstream.requests[started:] if path == RATINGS]
    assert (asked.count(1) >= 3, asked.count(2) >= 3, asked.count(3) >= 2) == (True, True, True)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "redirect"}, "unauthorised"),
        ({"kind": "wrong_mode"}, "RESONANCE_ALGORITHM"),
        ({"kind": "status", "status": 429, "retry_after": 4000}, "pause of 4000 s"),
        ({"kind": "status", "status": 404}, "answered 404"),
    ],
)
async def test_what_does_not_pass_fails_the_run_with_the_reason(
    system: System, upstream: Upstream, fault: dict[str, object], words: str
) -> None:
    upstream.faults.add(path=VIEWS, times=100, **fault)  # type: ignore[arg-type]
    started = len(upstream.requests)
    status = await collect(system, "viewed-posts")
    assert status.state == "failed"
    assert words in (status.last_error or "")
    assert ALGORITHM not in (status.last_error or "")
    assert len(upstream.requests) == started + 1  # nobody asks again in vain


async def test_bad_rows_are_skipped_with_their_reason(system: System, upstream: Upstream) -> None:
    rows = upstream.world.rows[VIEWS]
    bad = [{"id": 900_000, "post_id": "x", "user_id": 5, "viewed_at": "2024-01-10 07:20:55"},
           {"id": 900_001, "post_id": 5, "user_id": 5, "viewed_at": "yesterday"}]  # fmt: skip
    rows.extend(bad)
    status = await collect(system, "viewed-posts")
    del rows[-2:]
    assert status.state == "succeeded"
    assert status.skipped["post_id is no whole number from 1"] == 1
    assert status.skipped["viewed_at is no time from 1971 to now"] == 1


def command(system: System, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "reelstream", "collect", *arguments], env={**os.environ, **system.environment},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


async def test_a_killed_run_goes_on_at_its_page(system: System, upstream: Upstream) -> None:
    upstream.faults.add("slow", path=VIEWS, page=4, seconds=30)
    before = len(upstream.requests)
    process = command(system, "viewed-posts", "--page-size", "50")
    async with Store.at(system.environment["DATABASE_URL"]) as store:
        async for attempt in eventually():
            with attempt:
                status = (await store.statuses())["viewed-posts"]
                assert (VIEWS, 4) in upstream.requests[before:]
                assert (status.state, status.page) == ("running", 3)
        with pytest.raises(AlreadyRunning) as refused:
            await collect(system, "viewed-posts")
        assert refused.value.run_id == status.run_id
        process.send_signal(signal.SIGKILL)
        process.wait()
        async for attempt in eventually():
            with attempt:
                cut_off = (await store.statuses())["viewed-posts"]
                assert cut_off.state == "failed"
        assert "after page 3" in (cut_off.last_error or "")
    before = len(upstream.requests)
    resumed = command(system, "viewed-posts", "--page-size", "50")
    told, _ = resumed.communicate(timeout=60)
    assert resumed.returncode == 0
    asked = [page for _, page in upstream.requests[before:]]
    rows = len(upstream.world.rows[VIEWS])
    assert asked[0] == 4
    assert told.startswith(f"viewed-posts: {rows} rows, 0 published")
