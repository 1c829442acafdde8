"""Pages of one visit, guests, sessions, parameters and lists that a hidden post leaves: through several processes."""

import asyncio
from typing import Any

import httpx
from redis import Redis

POSTS = 260


def ids(page: dict[str, Any]) -> list[int]:
    return [post["id"] for post in page["post"]]


async def churn(writer: Any, username: str) -> None:
    """Events that keep coming: counts jump, the user likes what was shown, posts come."""
    number = 0
    while True:
        number += 1
        writer.counts(number * 37 % POSTS + 1, 1e4 * number)
        writer.user(username, liked=[number % 250 + 1, number * 3 % 250 + 1])
        if number % 10 == 0:
            writer.post(10_000 + number)
        await asyncio.sleep(0.002)


async def test_ten_pages_by_cursor_repeat_nothing_while_everything_moves_and_two_processes_take_turns(
    clients: tuple[httpx.AsyncClient, ...], many: tuple[str, Any], feed: Any
) -> None:
    moving = asyncio.create_task(churn(many[1], "walker"))
    try:
        pages = [await feed(clients[0], "walker", page_size=20)]
        for number in range(1, 10):
            pages.append(await feed(clients[number % 2], "walker", page_size=20, cursor=pages[-1]["next_cursor"]))
    finally:
        moving.cancel()
    shown = [post_id for page in pages for post_id in ids(page)]
    assert len(shown) == len({*shown}) == 200
    assert [page["page"] for page in pages] == [*range(1, 11)]
    assert not any(page["end"] or page["degraded"] for page in pages)


async def test_ten_pages_by_number_are_disjoint_while_everything_moves(
    clients: tuple[httpx.AsyncClient, ...], many: tuple[str, Any], feed: Any
) -> None:
    moving = asyncio.create_task(churn(many[1], "somebody else"))
    try:
        pages = [await feed(clients[n % 2], "counter", page_size=20, page=n) for n in range(1, 11)]
    finally:
        moving.cancel()
    shown = [post_id for page in pages for post_id in ids(page)]
    assert len(shown) == len({*shown}) == 200


async def test_a_list_goes_on_until_all_is_shown_and_then_says_end(
    clients: tuple[httpx.AsyncClient, ...], feed: Any
) -> None:
    page = await feed(clients[0], "reader", page_size=50, category="solo")
    shown = ids(page)
    while not page["end"]:
        page = await feed(clients[1], "reader", page_size=50, category="solo", cursor=page["next_cursor"])
        shown += ids(page)
    assert page["next_cursor"] is None
    assert page["matched"] == {"category": "name"}
    assert sorted(shown) == [post_id for post_id in range(1, POSTS + 1) if post_id % 2]


async def test_a_cursor_of_others_changed_old_or_with_other_parameters_is_refused(
    clients: tuple[httpx.AsyncClient, ...], many: tuple[str, Any], feed: Any, until: Any
) -> None:
    cursor = (await feed(clients[0], "signer"))["next_cursor"]
    changed = cursor[:30] + ("A" if cursor[30] != "A" else "B") + cursor[31:]
    for parameters, why in (
        ({"username": "signer", "cursor": changed}, "was changed"),
        ({"username": "another", "cursor": cursor}, "too old, or of another user"),
        ({"username": "signer", "cursor": cursor, "mood": "calm"}, "other parameters"),
        ({"username": "signer", "cursor": cursor, "page": 2}, "one of them"),
    ):
        answer = await clients[1].get("/api/v1/feed", params=parameters)
        assert answer.status_code == 400, why
        assert answer.json()["error"]["field"] == "cursor"
        assert why in answer.json()["error"]["message"]

    async def gone() -> bool:  # once it was sent
        return bool(many[1].redis.delete("rs:visits:u:signer"))

    await until(gone)
    answer = await clients[0].get("/api/v1/feed", params={"username": "signer", "cursor": cursor})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "cursor")
    assert "too old" in answer.json()["error"]["message"]


async def test_lists_in_redis_expire_and_are_capped(
    clients: tuple[httpx.AsyncClient, ...], many: tuple[str, Any], feed: Any, until: Any
) -> None:
    redis: Redis = many[1].redis
    for _ in range(12):
        await feed(clients[0], "again", session_id="s", page_size=1)

    async def sent() -> bool:
        return redis.llen("rs:served:u:again:s") == 12

    await until(sent)
    assert redis.llen("rs:visits:u:again") == 8
    assert 0 < redis.ttl("rs:visits:u:again") <= 1800
    assert 0 < redis.ttl("rs:served:u:again:s") <= 1800


async def test_a_session_never_shows_a_post_twice_and_a_guest_needs_no_name(
    clients: tuple[httpx.AsyncClient, ...],
) -> None:
    async def guest(**parameters: object) -> dict[str, Any]:
        answer = await clients[0].get("/api/v1/feed", params={"session_id": "guest-1", "page_size": 20, **parameters})
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    first = await guest()
    again = await guest(explain="true")
    moody = await guest(mood="calm")
    shown = ids(first) + ids(again) + ids(moody)
    assert len(shown) == len({*shown}) == 60
    assert again["explain"]["dropped"]["served"] == 20
    assert {*again["explain"]["dropped_posts"]["served"]} <= {*ids(first)}
    assert first["algorithm_used"].startswith("cold_start:")
    nobody = await clients[0].get("/api/v1/feed")
    assert (nobody.status_code, nobody.json()["error"]["field"]) == (400, "username")
    assert "session_id" in nobody.json()["error"]["message"]


async def test_a_project_is_needed_found_and_said_and_ids_are_left_out(
    clients: tuple[httpx.AsyncClient, ...], feed: Any
) -> None:
    def asked(**parameters: object) -> Any:
        return clients[0].get("/api/v1/feed/category", params={"username": "u", "page_size": 50, **parameters})

    missing = await asked()
    assert (missing.status_code, missing.json()["error"]["field"]) == (400, "project_code")
    pages = {code: (await asked(project_code=code)).json() for code in ("walk", "super-feed", "13", "none")}
    assert {code: page["matched"]["project_code"] for code, page in pages.items()} == {
        "walk": "topic", "super-feed": "slug", "13": "id", "none": None,
    }  # fmt: skip
    assert sorted(ids(pages["walk"])) == [*range(10, POSTS + 1, 10)]
    assert {post_id % 2 for post_id in ids(pages["13"])} == {1}
    assert ids(pages["none"]) == []
    without = await feed(clients[0], "u", page_size=5, exclude="10,20,999999", project_code="walk")
    assert not {10, 20} & {*ids(without)}
    assert without["total_count"] == POSTS // 10 - 2


async def test_each_mood_shows_its_own_posts_to_strangers_and_to_users_with_a_past(
    clients: tuple[httpx.AsyncClient, ...], many: tuple[str, Any], feed: Any
) -> None:
    many[1].user("known", liked=[250, 251, 252, 253, 254, 255, 256])
    for username in ("stranger", "known"):
        tops = {
            mood: ids(await feed(clients[0], username, mood=mood, page_size=10))
            for mood in ("energetic", "calm", "inspiring", "educational", "entertainment")
        }
        for number, top in enumerate(tops.values()):
            assert {post_id % 5 for post_id in top} == {number}
            assert all(post_id % 3 for post_id in top)


async def test_a_post_that_is_hidden_or_deleted_leaves_every_list_and_pages_frozen_before(
    clients: tuple[httpx.AsyncClient, ...], many: tuple[str, Any], feed: Any, until: Any
) -> None:
    _, writer = many
    client = clients[0]
    for gone in (41, 42):
        writer.neighbours(7, {gone: 5e9, 44: 1e9})
        writer.counts(gone, 1e9)

        async def everywhere(gone: int = gone) -> list[bool]:
            lists = await asyncio.gather(
                feed(client, "hider", page_size=50),
                *(client.get(path) for path in ("/api/v1/trending", "/api/v1/similar/7", f"/api/v1/posts/{gone}")),
            )
            return [gone in ids(lists[0]), gone in ids(lists[1].json()), gone in ids(lists[2].json())]

        async def all_there(everywhere: Any = everywhere) -> bool:
            return all(await everywhere())

        async def all_gone(everywhere: Any = everywhere) -> bool:
            return not any(await everywhere())

        await until(all_there)
        frozen = await feed(client, f"before {gone}", page_size=1)
        assert gone not in ids(frozen) or frozen["next_cursor"]
        if gone == 41:
            writer.moody_post(gone, is_available_in_public_feed=False)
        else:
            writer.delete(gone)
        await until(all_gone)
        later = await feed(client, f"before {gone}", page_size=50, cursor=frozen["next_cursor"])
        assert gone not in ids(later)
        writer.moody_post(gone)


async def test_lists_for_a_user_leave_out_what_they_turned_down_and_put_last_what_they_saw(
    clients: tuple[httpx.AsyncClient, ...], many: tuple[str, Any], until: Any
) -> None:
    writer = many[1]
    writer.neighbours(9, {144: 4e9, 146: 3e9, 148: 2e9})
    writer.user("chooser", liked=[144], excluded=[146])

    async def lists(**parameters: str) -> tuple[list[int], list[int]]:
        similar = (await clients[0].get("/api/v1/similar/9", params={"page_size": 3, **parameters})).json()
        trending = (await clients[0].get("/api/v1/trending", params={"page_size": 50, **parameters})).json()
        return ids(similar), ids(trending)

    async def known() -> bool:
        similar, _ = await lists()
        return {*similar} == {144, 146, 148}

    await until(known)
    writer.counts(146, 1e15)

    async def on_top() -> bool:
        return (await lists())[1][0] == 146

    await until(on_top)
    similar, trending = await lists(username="chooser")
    assert similar[-1] == 144
    assert {*similar} == {144, 148}
    assert 146 not in trending
    writer.counts(146, float(POSTS - 146))
