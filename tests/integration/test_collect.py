"""Collecting from the stand-in upstream: through Kafka and the workers to Redis, PostgreSQL and a feed."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from collecting import (
    LIKES,
    PARTITIONS,
    POSTS,
    RATINGS,
    TOKEN,
    VIEWS,
    admins,
    collect,
    counted,
    counts_are,
    names,
    secrets,
    serving,
    settings_of,
    stand_in,
    standing,
)
from live_system import Client, System, client, event, eventually, running_system

from collector.kinds import KINDS
from reelstream.dev_upstream.server import Upstream
from reelstream.exporting import EXPORTED, export
from reelstream.forgetting import forget
from reelstream.importing import import_files
from schemas import keys, topics, users
from schemas.forgetting import name_hash


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return stand_in()


@pytest.fixture(scope="module")
def system(own_kafka: str, valkey: str, postgres: str, upstream: Upstream, port: int) -> Iterator[System]:
    """Workers, and an API that starts beside them, on a log that has nothing but what is collected here."""
    command = [sys.executable, "-m", "reelstream", "api", "--port", str(port)]
    with (
        serving(upstream) as url,
        running_system(own_kafka, valkey, postgres, 11, **secrets(url)) as system,
        subprocess.Popen(command, env={**os.environ, **system.environment}) as process,
    ):
        yield system
        process.terminate()


@pytest.fixture(scope="module")
def port(free_port: Callable[[], int]) -> int:
    return free_port()


@pytest.fixture
async def here(system: System, upstream: Upstream) -> AsyncIterator[Client]:
    upstream.faults.put([])
    async with client(system) as connected:
        yield connected


async def test_rows_of_unknown_users_move_to_their_names_when_these_arrive(
    system: System, here: Client, upstream: Upstream
) -> None:
    """The first collection of all: interactions come before users."""
    for name in ("viewed-posts", "liked-posts"):
        assert (await collect(system, name)).state == "succeeded"
    likes, views = upstream.world.rows[LIKES], upstream.world.rows[VIEWS]
    await counts_are(here, "like", likes)
    await counts_are(here, "view", views)
    someone = next(row for row in standing(upstream, LIKES))
    number, post_id = int(str(someone["user_id"])), int(str(someone["post_id"]))
    assert post_id in (await here.user(f"user:{number}")).seen
    status = await collect(system, "all-users")
    assert counted(status) == ("succeeded", 120, 120, 0, 0)
    await counts_are(here, "like", standing(upstream, LIKES), {int(str(row["post_id"])): 0 for row in likes})
    await counts_are(here, "view", standing(upstream, VIEWS), {int(str(row["post_id"])): 0 for row in views})
    username = names(upstream)[number]
    async for attempt in eventually():
        with attempt:
            before, after = await here.user(f"user:{number}"), await here.user(username)
            assert not list(before.history)
            assert {past.post_id for past in after.history} == {
                row["post_id"]
                for path in (LIKES, VIEWS)
                for row in upstream.world.rows[path]
                if row["user_id"] == number
            }
    for admin in admins(upstream):
        assert not list((await here.user(f"user:{admin}")).history)
        assert not list((await here.user(names(upstream)[admin])).history)


async def test_collecting_twice_changes_nothing(system: System, here: Client, upstream: Upstream) -> None:
    first = {name: await collect(system, name) for name in KINDS}
    skipped = {
        name: len(upstream.world.rows[kind.path]) - len(standing(upstream, kind.path))
        for name, kind in KINDS.items()
        if kind.interaction
    }
    for name, status in first.items():
        rows = upstream.world.rows[KINDS[name].path]
        assert (status.state, status.rows) == ("succeeded", len(rows)), status
        assert sum(status.skipped.values()) == skipped.get(name, 0)
        assert status.published + status.unchanged == len(rows) - skipped.get(name, 0)
    again = {name: await collect(system, name) for name in KINDS}
    for name, status in again.items():
        rows = len(upstream.world.rows[KINDS[name].path])
        assert counted(status) == ("succeeded", rows, 0, rows - skipped.get(name, 0), 0)
    await counts_are(here, "rating", standing(upstream, RATINGS))
    stored = await here.record.fetchval("SELECT count(*) FROM interactions WHERE source = 'collector'")
    await asyncio.sleep(0.5)
    assert stored == await here.record.fetchval("SELECT count(*) FROM interactions WHERE source = 'collector'")


async def test_posts_are_kept_whole_and_users_without_addresses(
    system: System, here: Client, upstream: Upstream
) -> None:
    rows = upstream.world.rows[POSTS]
    async for attempt in eventually():
        with attempt:
            assert await here.record.fetchval("SELECT count(*) FROM posts") == len(rows)
            assert await here.record.fetchval("SELECT count(*) FROM users") == 120
    kept = {row["id"]: row for row in await here.record.fetch('SELECT id, tags, servable, "row"::text FROM posts')}
    for row in rows:
        assert json.loads(kept[row["id"]]["row"]) == row
        assert kept[row["id"]]["servable"] == (row["is_available_in_public_feed"] and not row["is_locked"])
    tagged = next(row for row in rows if "#" in row["title"])
    assert kept[tagged["id"]]["tags"][-1] == tagged["title"].split("#")[-1].lower()
    for table in ("users", "collected_users"):
        assert not await here.record.fetchval(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%@%'")
    writer = next(row for row in upstream.world.rows["/users/get_all"] if "@" in row["bio"])["username"]
    profile = await here.redis.get(keys.user_profile(topics.owner(writer, PARTITIONS), writer))
    assert users.decode_user(profile).bio == "Write to"


async def test_what_an_app_said_of_a_user_stays_when_the_row_changes(
    system: System, here: Client, upstream: Upstream
) -> None:
    row = next(row for row in upstream.world.rows["/users/get_all"] if row["role"] == "U")
    name, home = row["username"], topics.owner(row["username"], PARTITIONS)
    told = json.dumps({"username": name, "attributes": {"muted_authors": ["ann"], "post_count": 1}}).encode()
    await here.producer.send_and_wait(topics.USERS, told, key=name.encode(), partition=home)
    async for attempt in eventually():
        with attempt:
            kept = await here.record.fetchval('SELECT "row"::text FROM users WHERE username = $1', name)
            assert "muted_authors" in kept
    row["post_count"] = 7
    assert counted(await collect(system, "all-users"))[1:4] == (120, 1, 119)
    async for attempt in eventually():
        with attempt:
            profile = users.decode_user(await here.redis.get(keys.user_profile(home, name)))
            assert profile.attributes["muted_authors"] == ["ann"]
            assert profile.attributes["post_count"] == 7


async def test_a_changed_rating_is_another_rating_and_nothing_else_is_published(
    system: System, here: Client, upstream: Upstream
) -> None:
    changed = standing(upstream, RATINGS)[:3]
    for row in changed:
        row["rating_percent"] = 100 - int(str(row["rating_percent"]))
    rows = upstream.world.rows[RATINGS]
    status = await collect(system, "rated-posts")
    assert counted(status)[:3] == ("succeeded", len(rows), 3)
    row, username = changed[0], names(upstream)[int(str(changed[0]["user_id"]))]
    async for attempt in eventually():
        with attempt:
            values = [
                past.value
                for past in (await here.user(username)).history
                if (past.post_id, past.interaction_type) == (row["post_id"], "rating")
            ]
            assert len(values) == 2
            assert values[-1] == row["rating_percent"]


async def test_a_like_that_vanishes_is_taken_back_and_counts_again_when_it_returns(
    system: System, here: Client, upstream: Upstream
) -> None:
    liked, rated = standing(upstream, LIKES)[5], standing(upstream, RATINGS)[0]
    viewed = standing(upstream, VIEWS)[0]
    for path, row in ((LIKES, liked), (RATINGS, rated), (VIEWS, viewed)):
        upstream.world.remove(path, int(str(row["id"])))
    assert counted(await collect(system, "liked-posts"))[2::2] == (0, 1)
    assert counted(await collect(system, "rated-posts"))[2::2] == (0, 1)
    assert counted(await collect(system, "viewed-posts"))[2::2] == (0, 0)
    await counts_are(here, "like", standing(upstream, LIKES), {int(str(liked["post_id"])): 0})
    username = names(upstream)[int(str(rated["user_id"]))]
    async for attempt in eventually():
        with attempt:
            history = (await here.user(username)).history
            assert not [
                past for past in history if (past.post_id, past.interaction_type) == (rated["post_id"], "rating")
            ]
    upstream.world.rows[LIKES].append(liked)
    upstream.world.rows[LIKES].sort(key=lambda row: row["id"])
    assert counted(await collect(system, "liked-posts"))[2::2] == (1, 0)
    await counts_are(here, "like", standing(upstream, LIKES))
    await counts_are(here, "view", [*standing(upstream, VIEWS), viewed])


async def test_a_post_that_upstream_no_longer_lists_is_deleted_until_it_is_back(
    system: System, here: Client, upstream: Upstream
) -> None:
    rows = upstream.world.rows[POSTS]
    assert counted(await collect(system, "all-posts"))[4] == 0
    before, gone = len(rows), upstream.world.remove(POSTS, rows[7]["id"])
    assert counted(await collect(system, "all-posts")) == ("succeeded", before - 1, 0, before - 1, 1)
    async for attempt in eventually():
        with attempt:
            assert not await here.record.fetchval("SELECT count(*) FROM posts WHERE id = $1", gone["id"])
            assert not (await here.item(gone["id"])).known
    hidden = [rows.pop() for _ in range(before // 2)]
    status = await collect(system, "all-posts")
    assert (status.taken_back, "COLLECT_MOST_VANISHED" in (status.note or "")) == (0, True)
    rows.extend([gone, *hidden])
    rows.sort(key=lambda row: row["id"])
    assert counted(await collect(system, "all-posts")) == ("succeeded", before, 1, before - 1, 0)
    async for attempt in eventually():
        with attempt:
            assert await here.record.fetchval("SELECT count(*) FROM posts") == before


async def test_rows_that_come_while_pages_are_read_are_met(system: System, here: Client, upstream: Upstream) -> None:
    upstream.faults.add("slow", path=VIEWS, page=2, seconds=0.5)
    task = asyncio.create_task(collect(system, "viewed-posts"))
    await asyncio.sleep(0.3)
    person = next(row for row in upstream.world.rows["/users/get_all"] if row["role"] == "U")
    row = upstream.world.add(VIEWS, person["id"], 999_999)
    assert counted(await task)[2] == 1
    await counts_are(here, "view", [row])
    async for attempt in eventually():  # the record has it later than Redis, and the next test counts its rows
        with attempt:
            assert await here.record.fetchval("SELECT count(*) FROM interactions WHERE post_id = 999999") == 1


@pytest.mark.parametrize("name", ["part.jsonl.gz", "part.parquet"])
async def test_what_is_exported_can_be_imported_and_counts_once(
    system: System, here: Client, tmp_path: Path, name: str
) -> None:
    settings, url = settings_of(system), system.environment["DATABASE_URL"]
    since, until = datetime(2024, 1, 11, tzinfo=UTC), datetime(2024, 1, 20, tzinfo=UTC)
    query = "SELECT count(*) FROM interactions WHERE occurred_at >= $1 AND occurred_at < $2"
    stored, total = await here.record.fetchval(query, since, until), "SELECT count(*) FROM interactions"
    before = await here.record.fetchval(total)
    file = tmp_path / name
    assert await export(EXPORTED["interactions"], file, url, since, until, lambda rows: None) == stored > 0
    report = await import_files(file, settings, "interactions", {}, lambda *_: None)
    assert (report.sent, report.rejected) == ({"interactions": stored}, [])
    fresh = f"imported-{name}"
    (tmp_path / "interactions.csv").write_text(f"user,post_id,interaction_type\n{fresh},7,like\n{fresh},x,like\n")
    report = await import_files(tmp_path / "interactions.csv", settings, None, {"username": "user"}, lambda *_: None)
    assert report.sent == {"interactions": 1}
    assert [place for place, _ in report.rejected] == ["interactions.csv:3"]
    async for attempt in eventually():
        with attempt:
            assert (await here.user(fresh)).events == 1
            assert await here.record.fetchval(total) == before + 1


@pytest.fixture
async def api(system: System, port: int) -> str:
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient() as http:
        async for attempt in eventually():
            with attempt:
                try:
                    await http.get(f"{url}/health/live")
                except httpx.TransportError as error:
                    raise AssertionError("it does not listen yet") from error
    return url


async def test_the_endpoints_ask_for_the_token_and_run_one_of_a_kind(
    system: System, here: Client, upstream: Upstream, api: str
) -> None:
    async with httpx.AsyncClient(base_url=f"{api}/api/v1", headers={"Flic-Token": TOKEN}) as http:
        for method, path in (("POST", "/collect/liked-posts"), ("GET", "/collection-status")):
            del http.headers["Flic-Token"]
            assert (await http.request(method, path)).status_code == 401
            assert (await http.request(method, path, headers={"Flic-Token": "guess"})).status_code == 403
            http.headers["Flic-Token"] = TOKEN
        assert (await http.post("/collect/everything")).status_code == 404
        refused = await http.post("/collect/liked-posts?page_size=1001")
        assert (refused.status_code, refused.json()["error"]["field"]) == (400, "page_size")
        upstream.faults.add("slow", path=LIKES, seconds=1.0)
        started = await http.post("/collect/liked-posts?page=1&page_size=500")
        assert started.status_code == 202
        second = await http.post("/collect/liked-posts")
        assert second.status_code == 409
        assert second.json()["run_id"] == started.json()["run_id"]
        async for attempt in eventually():
            with attempt:
                kinds = (await http.get("/collection-status")).json()["kinds"]
                assert kinds["liked-posts"]["state"] == "succeeded"
        assert kinds.keys() == KINDS.keys()
        assert kinds["liked-posts"]["rows"] == len(upstream.world.rows[LIKES])


async def test_what_was_collected_makes_a_feed_until_it_is_deleted(
    system: System, here: Client, upstream: Upstream, api: str
) -> None:
    async with httpx.AsyncClient(base_url=f"{api}/api/v1") as http:
        rows = {row["id"]: row for row in upstream.world.rows[POSTS]}

        async def shown() -> set[int]:
            page = (await http.get("/feed?username=somebody-new&page_size=50")).json()
            return {post["id"] for post in page["post"]}

        async for attempt in eventually():
            with attempt:
                found = await shown()
                assert len(found) >= 20
        assert all(rows[i]["is_available_in_public_feed"] and not rows[i]["is_locked"] for i in found if i in rows)
        gone = next(iter(found))
        assert (await http.delete(f"/posts/{gone}")).status_code == 202
        async for attempt in eventually():
            with attempt:
                assert gone not in await shown()
                assert not await here.record.fetchval("SELECT count(*) FROM posts WHERE id = $1", gone)


async def test_a_forgotten_user_is_nowhere_and_collecting_brings_nobody_back(
    system: System, here: Client, upstream: Upstream, api: str
) -> None:
    number, username = next(
        (number, name)
        for number, name in names(upstream).items()
        if number not in admins(upstream) and any(row["user_id"] == number for row in upstream.world.rows[LIKES])
    )
    post_id = next(int(str(row["post_id"])) for row in upstream.world.rows[LIKES] if row["user_id"] == number)
    before, home = (await here.item(post_id)).counts_by_type(), topics.owner(username, PARTITIONS)
    assert (await here.user(username)).events
    async with httpx.AsyncClient(base_url=f"{api}/api/v1") as http:
        assert (await http.delete(f"/users/{username}")).status_code == 202

    async def nowhere() -> None:
        for key in (keys.user_state(home, username), keys.user_profile(home, username)):
            assert not await here.redis.exists(key)
        for table in ("interactions", "impressions", "users", "collected_users", "collected_interactions"):
            assert not await here.record.fetchval(f"SELECT count(*) FROM {table} WHERE username = $1", username), table

    async for attempt in eventually():
        with attempt:
            await nowhere()
    assert (await here.item(post_id)).counts_by_type() == before
    for name in KINDS:
        status = await collect(system, name)
        assert (status.state, status.published) == ("succeeded", 0), status
        if name in ("all-users", "liked-posts"):
            assert status.skipped["the user was forgotten"] >= 1
    await nowhere()
    await forget(settings_of(system), username)
    await here.send(event(username, post_id, "share"), username)
    async for attempt in eventually():
        with attempt:
            assert (await here.user(username)).events == 1
    begun = await here.record.fetch("SELECT actor, subject, outcome FROM audit_log WHERE action = 'forget' ORDER BY at")
    assert [row["subject"] for row in begun] == [f"hash:{name_hash(username).hex()}"] * 2
    assert begun[0]["actor"].startswith("HTTP from 127.0.0.1")
    assert username not in str([dict(row) for row in begun])
    assert await here.record.fetchval("SELECT count(*) FROM audit_log WHERE action = 'collect'") > len(KINDS)


async def test_who_was_forgotten_before_upstream_told_the_name_is_not_collected_later(
    system: System, here: Client, upstream: Upstream
) -> None:
    """One by name, before any row had it; one by the number under which events were kept."""
    settings, world, template = settings_of(system), upstream.world, upstream.world.rows["/users/get_all"][-1]
    named, numbered = template["id"] + 1, template["id"] + 2
    for number in (named, numbered):
        world.add(LIKES, number, world.rows[POSTS][0]["id"])
    assert (await collect(system, "liked-posts")).published == 2
    async for attempt in eventually():
        with attempt:
            assert (await here.user(f"user:{named}")).events == (await here.user(f"user:{numbered}")).events == 1
    await forget(settings, "shy")
    await forget(settings, f"user:{numbered}")
    for number, username in ((named, "shy"), (numbered, "shyer")):
        world.rows["/users/get_all"].append({**template, "id": number, "username": username})
    for _ in range(2):
        users_status, likes = await collect(system, "all-users"), await collect(system, "liked-posts")
        assert (users_status.published, users_status.skipped["the user was forgotten"]) == (0, 3)
        assert (likes.published, likes.skipped["the user was forgotten"] >= 2) == (0, True)
    async for attempt in eventually():
        with attempt:
            assert not list((await here.user(f"user:{named}")).history)  # taken back when the name was heard
            for name in ("shy", "shyer", f"user:{numbered}"):
                assert not (await here.user(name)).events
                for table in ("interactions", "users", "collected_users"):
                    assert not await here.record.fetchval(f"SELECT count(*) FROM {table} WHERE username = $1", name)
