"""The main job on real data: `reelstream up --dataset ml-100k`, a stranger's likes, a feed that moves, and every
command of the README."""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from itertools import combinations, pairwise
from pathlib import Path

import asyncpg
import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from playwright.async_api import async_playwright, expect

from reelstream.addresses import load_settings
from schemas import impressions, topics
from schemas.parameters import MOODS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
STAR_WARS = [50, 181, 172, 174, 210]


class Demo:
    """A running demo: its API, its state directory, and what it printed until the data set was loaded."""

    def __init__(self, process: Process, api: httpx.AsyncClient, data: Path, printed: str) -> None:
        self.process, self.api, self.data, self.printed = process, api, data, printed

    async def feed(self, username: str, **parameters: object) -> dict:
        answer = await self.api.get("/api/v1/feed", params={"username": username, "page_size": 10, **parameters})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def ids(self, username: str) -> list[int]:
        return [item["id"] for item in (await self.feed(username))["post"]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    data = tmp_path_factory.mktemp("demo") / "state"
    services = {"KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "DATABASE_URL"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "reelstream", "up", "--port", "0", "--data", str(data), "--dataset", "ml-100k",
        stdout=PIPE, stderr=STDOUT, env={name: text for name, text in os.environ.items() if name not in services},
    )  # fmt: skip
    lines: list[str] = []
    try:
        async for raw in process.stdout:
            lines.append(raw.decode().rstrip("\n"))
            if lines[-1].startswith("streaming the last"):
                break
        else:
            raise AssertionError("the demo ended:\n" + "\n".join(lines))
        [url] = re.findall(r"^ready (\S+)$", "\n".join(lines), flags=re.MULTILINE)
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as api:
            yield Demo(process, api, data, "\n".join(lines))
        process.send_signal(signal.SIGINT)
        await asyncio.gather(process.stdout.read(), process.wait())
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_whole_data_set_is_behind_the_first_feeds(demo: Demo):
    answer = await demo.feed("stranger")
    assert answer["algorithm_used"].startswith("cold_start:")
    assert answer["total_count"] == 1682
    assert len({item["id"] for item in answer["post"]}) == 10
    folder = demo.data / "datasets" / "ml-100k"
    assert demo.printed.count("GroupLens") + (demo.data / "logs" / "replay.log").read_text().count("GroupLens") > 0
    assert folder.is_dir()


async def test_each_mood_has_a_top_ten_of_its_own(demo: Demo):
    tops = {"": {*await demo.ids("moody")}}
    for mood in MOODS:
        tops[mood] = {item["id"] for item in (await demo.feed("moody", mood=mood))["post"]}
    assert all(len(top) == 10 for top in tops.values())
    for one, other in combinations(tops, 2):
        assert len(tops[one] & tops[other]) <= 5, (one, other)


async def test_five_likes_change_a_strangers_feed(demo: Demo):
    before = await demo.ids("padawan")
    likes = [{"username": "padawan", "post_id": post_id, "interaction_type": "like"} for post_id in STAR_WARS]
    assert (await demo.api.post("/api/v1/interactions", json=likes)).status_code == 202
    while "co_visitation" not in (answer := await demo.feed("padawan", explain=True))["algorithm_used"]:
        await asyncio.sleep(0.02)
    after = [item["id"] for item in answer["post"]]
    assert not set(STAR_WARS) & set(after)
    assert len(set(after) - set(before)) >= 3
    assert answer["degraded"] == []
    assert all(item["explain"]["sources"] for item in answer["post"])


@pytest.mark.parametrize("kind", ["view", "like", "exit", "not_interested"])
async def test_a_reaction_takes_the_post_out_of_that_users_feed_and_of_no_others(demo: Demo, kind: str):
    username = f"reacting-{kind}"
    post_id = (await demo.ids(username))[0]
    event = {"username": username, "post_id": post_id, "interaction_type": kind}
    assert (await demo.api.post("/api/v1/interaction", json=event)).status_code == 202
    while post_id in await demo.ids(username):
        await asyncio.sleep(0.02)
    assert post_id in [item["id"] for item in (await demo.feed("bystander", page_size=50))["post"]]


async def test_counts_are_exact(demo: Demo):
    username_count = 7
    before = (await demo.api.get("/api/v1/posts/1")).json()["counts"]
    events = [{"username": f"counted-{n}", "post_id": 1, "interaction_type": "share"} for n in range(username_count)]
    for _ in range(2):  # the same event ids twice count once
        body = [{**event, "event_id": f"share-{n}"} for n, event in enumerate(events)]
        assert (await demo.api.post("/api/v1/interactions", json=body)).status_code == 202
    await demo.api.post("/api/v1/interactions", json=[{**events[0], "event_id": "last", "post_id": 2}])
    while (await demo.api.get("/api/v1/posts/2")).json()["counts"].get("share", 0) == 0:
        await asyncio.sleep(0.02)
    while (now := (await demo.api.get("/api/v1/posts/1")).json()["counts"]).get("share", 0) < username_count:
        await asyncio.sleep(0.02)
    assert now["share"] - before.get("share", 0) == username_count


@pytest.mark.timeout(600)  # training yields to whatever else runs on the machine
async def test_the_trained_model_is_taken_up_without_a_restart(demo: Demo):
    while "svd" not in (answer := await demo.feed("u196"))["model_versions"]:
        await asyncio.sleep(0.2)
    assert "svd" in answer["algorithm_used"]
    while "svd" not in (await demo.feed("u1"))["algorithm_used"]:
        await asyncio.sleep(0.2)


async def test_what_was_served_is_an_impression_and_an_interaction_may_name_it(demo: Demo):
    answer = await demo.feed("impressed")
    settings = load_settings(demo.data)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.require("KAFKA_BOOTSTRAP_SERVERS"), auto_offset_reset="earliest"
    )
    await consumer.start()
    consumer.assign([TopicPartition(topics.IMPRESSIONS, topics.owner("impressed", settings.kafka_partitions))])
    async for message in consumer:
        if (shown := impressions.decode(message.value)).recommendation_id == answer["recommendation_id"]:
            break
    await consumer.stop()
    assert shown.posts == [item["id"] for item in answer["post"]]
    event = {
        "username": "impressed", "post_id": shown.posts[0], "interaction_type": "view", "event_id": "of-impression",
        "recommendation_id": shown.recommendation_id,
    }  # fmt: skip
    assert (await demo.api.post("/api/v1/interaction", json=event)).status_code == 202
    record = await asyncpg.connect(settings.require("DATABASE_URL"))
    query = "SELECT recommendation_id FROM interactions WHERE event_id = 'of-impression'"
    while (recorded := await record.fetchval(query)) is None:
        await asyncio.sleep(0.05)
    assert recorded == shown.recommendation_id
    query = "SELECT posts FROM impressions JOIN interactions USING (recommendation_id) WHERE event_id = 'of-impression'"
    while (posts := await record.fetchval(query)) is None:
        await asyncio.sleep(0.05)
    await record.close()
    assert posts == shown.posts


async def test_ready_and_metrics_tell_of_parts_workers_lag_and_freshness(demo: Demo):
    ready = (await demo.api.get("/health/ready")).json()
    assert {worker["id"] for worker in ready["workers"]} == {"learn-0", "models-0", "record-0"}
    assert all(worker["pid"] and worker["partitions"] for worker in ready["workers"])
    metrics = (await demo.api.get("/metrics")).text
    for name in ("request_seconds", "consumer_lag", "event_to_feed_seconds"):
        assert f"reelstream_{name}" in metrics


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


async def test_every_command_of_the_readme_works(demo: Demo, tmp_path: Path):
    """Set-up aside: `make demo` runs the very `up` of this module, and the others are looked at one by one."""
    servers = load_settings(demo.data).require("KAFKA_BOOTSTRAP_SERVERS")
    for block in blocks("sh"):
        if block.startswith(("git clone", "make setup")):
            continue
        script = block.replace("http://127.0.0.1:8000", str(demo.api.base_url).rstrip("/"))
        script = script.replace(".venv/bin/reelstream", f"{shlex.quote(sys.executable)} -m reelstream")
        script = re.sub(r"(-m reelstream .*)", rf"\1 --data {shlex.quote(str(demo.data))}", script)
        ran = await asyncio.to_thread(
            subprocess.run, ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True
        )
        assert ran.returncode == 0, f"{script}\n{ran.stdout}\n{ran.stderr}"
        assert '"status":"error"' not in ran.stdout, f"{script}\n{ran.stdout}"
    [example] = blocks("python")
    program = example.replace("127.0.0.1:9092", servers)
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], check=True, cwd=tmp_path)
    while 98 not in await seen_by(demo, "you"):
        await asyncio.sleep(0.05)


async def seen_by(demo: Demo, username: str) -> set[int]:
    """What a feed of the whole catalogue leaves out."""
    shown: set[int] = set()
    for page in range(1, 35):
        answer = await demo.feed(username, page=page, page_size=50)
        shown |= {item["id"] for item in answer["post"]}
        if len(answer["post"]) < 50:
            break
    return set(range(1, 1683)) - shown


async def test_the_page_likes_and_says_how_soon_the_feed_knew(demo: Demo):
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser_path is None and os.environ.get("CI") != "true":
        pytest.skip("no Chromium: install Debian's chromium to look at the page")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=browser_path,
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
        )
        page = await browser.new_page()
        await page.goto(f"{demo.api.base_url}?username=spectator")
        await page.locator("#feed .card:not(.blank)").first.get_by_role("button", name="Like").click()
        await expect(page.get_by_text(re.compile(r"Feed reflects your last like after \d+ ms"))).to_be_visible()
        await browser.close()


async def test_trending_is_streamed(demo: Demo):
    settings = load_settings(demo.data)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.require("KAFKA_BOOTSTRAP_SERVERS"), auto_offset_reset="earliest"
    )
    await consumer.start()
    consumer.assign([TopicPartition(topics.TRENDING, topics.owner("all", settings.kafka_partitions))])
    orders: list[list[int]] = []
    while len(orders) < 3:
        message = await consumer.getone()
        if message.key == b"all":
            orders.append([post["post_id"] for post in json.loads(message.value)["posts"]])
    await consumer.stop()
    assert all(before != after for before, after in pairwise(orders))
