"""The stand-in for the external content API: its two modes, its pages, its faults, and its skew."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest

from reelstream.dev_upstream.server import Upstream
from reelstream.dev_upstream.world import TIMES, World


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Upstream(World(users=40, posts=30, interactions=200), "token", "algorithm"))
    async with httpx.AsyncClient(transport=transport, base_url="http://upstream") as client:
        yield client


async def test_one_path_has_two_modes_and_a_redirect_without_a_token(http: httpx.AsyncClient) -> None:
    everybody = (await http.get("/posts/view?resonance_algorithm=algorithm&page_size=5")).json()
    assert {"id", "post_id", "user_id", "viewed_at"} == everybody["posts"][0].keys()
    assert (everybody["page_size"], everybody["max_page_size"], everybody["page"]) == (5, 5, 1)
    own = (await http.get("/posts/view", headers={"Flic-Token": "token"})).json()
    assert "title" in own["posts"][0]
    for path in ("/posts/view?resonance_algorithm=wrong", "/posts/summary/get", "/users/get_all"):
        assert (await http.get(path)).status_code == 302


async def test_pages_ascend_and_end_with_a_short_one_and_empty_ones(http: httpx.AsyncClient) -> None:
    sizes, ids = [], []
    for page in (1, 2, 3, 4):
        rows = (await http.get(f"/users/get_all?page={page}&page_size=15", headers={"Flic-Token": "token"})).json()
        sizes.append(len(rows["users"]))
        ids += [row["id"] for row in rows["users"]]
    assert sizes == [15, 15, 10, 0]
    assert ids == sorted(ids)


async def test_rows_change_and_faults_come_as_asked(http: httpx.AsyncClient) -> None:
    path = "/posts/like?resonance_algorithm=algorithm"
    first, second = (await http.get(path)).json()["posts"][:2]
    changes = {
        "path": "/posts/like",
        "remove": [first["id"]],
        "change": [{**second, "post_id": 5}],
        "add": [{"id": 99_999}],
    }
    assert (await http.post("/rows", json=changes)).status_code == 200
    rows = (await http.get(path)).json()["posts"]
    assert (rows[0], rows[-1]) == ({**second, "post_id": 5}, {"id": 99_999})
    faults = [{"kind": "status", "status": 429, "retry_after": 7}, {"kind": "empty"}, {"kind": "garbage"}]
    assert (await http.put("/faults", json=faults)).status_code == 200
    asked = [await http.get(path) for _ in range(4)]
    assert (asked[0].status_code, asked[0].headers["retry-after"]) == (429, "7")
    assert asked[1].json()["posts"] == []
    assert asked[2].text.startswith("<html>")
    assert asked[3].json()["posts"] == rows
    assert (await http.put("/faults", json=[{"kind": "earthquake"}])).status_code == 400


def test_the_world_is_as_skewed_as_what_was_seen() -> None:
    world = World()
    rows = [row for path in TIMES for row in world.rows[path]]
    users, posts = (Counter(row[name] for row in rows) for name in ("user_id", "post_id"))
    counts = sorted(users.values())
    assert 900 < len(users) < 1050  # 978 were seen
    assert 3 <= counts[len(counts) // 2] <= 6  # 4
    assert 25 <= counts[len(counts) * 9 // 10] <= 40  # 33
    top = sum(count for _, count in posts.most_common(137))
    assert 0.42 < top / len(rows) < 0.54  # 0.48
    admins = {row["id"] for row in world.rows["/users/get_all"] if row["role"] == "A"}
    assert 0.13 < sum(users[number] for number in admins) / len(rows) < 0.20  # 0.16 to 0.19
    for path in ("/posts/view", "/posts/like", "/posts/rating"):
        pairs = [(row["user_id"], row["post_id"]) for row in world.rows[path]]
        assert len(pairs) == len(set(pairs))


def test_the_command_serves_once_it_says_so() -> None:
    command = [sys.executable, "-P", "-m", "reelstream", "dev-upstream", "--port", "0", "--users", "9", "--posts", "5"]
    environment = {**os.environ, "FLIC_TOKEN": "", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, "--interactions", "9"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        rows = httpx.get(f"{url}/users/get_all", headers={"Flic-Token": "dev"}).json()["users"]
        process.terminate()
    assert len(rows) == 9
