"""Feeds, trending, similar: what a client sees while state changes underneath."""

import time
from typing import Any

import httpx

NOW = time.time()


async def test_an_unknown_user_gets_a_cold_start_feed(client: httpx.AsyncClient, feed: Any) -> None:
    page = await feed(client, "stranger")
    assert page["status"] == "success"
    assert page["algorithm_used"] == "cold_start:trending+popular+fresh"
    assert len(page["post"]) == page["page_size"] == 20
    assert page["degraded"] == []
    assert page["post"][0]["upvoted"] is False
    assert page["next_cursor"]
    assert not page["end"]


async def test_pages_of_one_visit_do_not_overlap_and_reach_the_whole_catalogue(
    client: httpx.AsyncClient, feed: Any
) -> None:
    pages = [await feed(client, "pager", page=number, page_size=25) for number in (1, 2, 3, 4)]
    ids = [post["id"] for page in pages for post in page["post"]]
    assert len(ids) == len(set(ids)) == pages[0]["total_count"]
    assert pages[3]["post"] == []
    assert [page["end"] for page in pages] == [False, False, True, True]


async def test_a_change_of_the_user_changes_the_feed_at_once(client: httpx.AsyncClient, worker: Any, feed: Any) -> None:
    before = await feed(client, "mover", page_size=5)
    worker.user("mover", liked=[1, 2], excluded=[3])
    after = await feed(client, "mover", page_size=50, explain="true")
    ids = [post["id"] for post in after["post"]]
    assert before["algorithm_used"].startswith("cold_start:")
    assert not after["algorithm_used"].startswith("cold_start:")
    assert "co_visitation" in after["algorithm_used"]
    assert not {1, 2, 3} & set(ids)
    assert any(post_id > 40 for post_id in ids[:5])
    assert after["explain"]["dropped"]["seen"] == 2
    assert after["explain"]["dropped"]["not_interested"] == 1
    assert after["post"][0]["explain"]["sources"]


async def test_a_category_narrows_the_feed(client: httpx.AsyncClient, feed: Any) -> None:
    page = await feed(client, "stranger", category="even", page_size=50)
    assert page["post"]
    assert {post["category"] for post in page["post"]} == {"Even"}
    assert (await feed(client, "stranger", category="nothing has this"))["post"] == []


async def test_the_mirror_follows_changes_deletions_and_late_rows(
    client: httpx.AsyncClient, worker: Any, feed: Any, until: Any
) -> None:
    worker.neighbours(10, {900: 5e9})
    worker.counts(900, 5000.0)
    worker.user("late", liked=[10])
    worker.post(900, created_at=NOW * 1000)

    async def served() -> bool:
        page = await feed(client, "late", page_size=1, explain="true")
        return page["post"][0]["id"] == 900 and "co_visitation" in page["post"][0]["explain"]["sources"]

    await until(served)
    trending = (await client.get("/api/v1/trending?page_size=1")).json()
    assert trending["post"][0]["id"] == 900
    assert trending["post"][0]["trending"]["rank"] == 1
    worker.delete(900)

    async def gone() -> bool:
        return (await client.get("/api/v1/similar/900")).status_code == 404

    await until(gone)
    assert 900 not in [post["id"] for post in (await feed(client, "late", page_size=50))["post"]]


async def test_an_emptied_redis_is_noticed_and_loaded_again(
    client: httpx.AsyncClient, worker: Any, feed: Any, until: Any
) -> None:
    saved = {key: worker.redis.dump(key) for key in worker.redis.scan_iter("*")}
    worker.redis.flushdb()

    async def empty() -> bool:
        return (await feed(client, "nobody"))["total_count"] == 0

    await until(empty)
    for key, payload in sorted(saved.items(), key=lambda pair: pair[0].endswith(b":changes")):  # announced last
        worker.redis.restore(key, 0, payload, replace=True)

    async def back() -> bool:
        return (await feed(client, "nobody"))["total_count"] == 60

    await until(back)


async def test_trending_narrows_by_category_and_says_scores(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api/v1/trending", params={"window": "1h", "category": "Odd", "page_size": 5})).json()
    assert [post["id"] for post in page["post"]] == [1, 3, 5, 7, 9]
    assert page["post"][0]["trending"]["score"] > page["post"][1]["trending"]["score"]


async def test_similar_answers_neighbours_and_404_for_an_unknown_post(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api/v1/similar/1", params={"page_size": 5})).json()
    assert all(post["id"] > 40 for post in page["post"])
    assert page["post"][0]["similar"]["source"] == "co_visitation"
    missing = await client.get("/api/v1/similar/123456")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "not_found"


async def test_a_post_comes_with_exact_counts(client: httpx.AsyncClient) -> None:
    post = (await client.get("/api/v1/posts/7")).json()
    assert post["id"] == 7
    assert post["counts"] == {"view": 93, "like": 1}
    assert (await client.get("/api/v1/posts/77777")).status_code == 404
    assert (await client.get("/api/v1/posts/seven")).status_code == 404


async def test_a_new_model_version_serves_without_a_restart(
    client: httpx.AsyncClient, worker: Any, feed: Any, until: Any
) -> None:
    worker.user("folded", liked=[5])
    for version, target in (("v1", 20), ("v2", 30)):
        vectors = [[1.0, 0.0] if post_id in (5, target) else [0.0, 1.0] for post_id in range(1, 61)]
        worker.model(version, list(range(1, 61)), vectors)

        async def switched(version: str = version) -> bool:
            return (await feed(client, "folded"))["model_versions"] == {"svd": version}

        await until(switched)
        page = await feed(client, "folded", explain="true")
        with_svd = [post["id"] for post in page["post"] if "svd" in post["explain"]["sources"]]
        assert with_svd == [target]
        near = (await client.get("/api/v1/similar/5")).json()
        assert [(post["id"], post["similar"]["source"]) for post in near["post"]] == [(target, "svd")]
