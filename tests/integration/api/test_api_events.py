"""What is posted: acknowledged means in Kafka, refused says why."""

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from schemas import events, impressions, topics


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/feed", "username"),
        ("/api/v1/feed?username=u&page_size=51", "page_size"),
        ("/api/v1/feed?username=u&page=0", "page"),
        ("/api/v1/feed?username=u&page=x", "page"),
        ("/api/v1/feed?username=u&explain=maybe", "explain"),
        ("/api/v1/trending?window=2h", "window"),
    ],
)
async def test_a_bad_parameter_is_named(client: httpx.AsyncClient, path: str, field: str) -> None:
    answer = await client.get(path)
    body = answer.json()
    assert answer.status_code == 400
    assert body["status"] == "error"
    assert body["error"]["field"] == field
    assert body["request_id"] == answer.headers["X-Request-ID"]


async def test_a_sane_request_id_is_kept_and_another_replaced(client: httpx.AsyncClient) -> None:
    kept = await client.get("/nowhere", headers={"X-Request-ID": "abc-1"})
    replaced = await client.get("/api/v1/interaction", headers={"X-Request-ID": "a b\tc"})
    assert (kept.status_code, kept.json()["request_id"], kept.headers["X-Request-ID"]) == (404, "abc-1", "abc-1")
    assert replaced.status_code == 405
    assert len(replaced.headers["X-Request-ID"]) == 32


async def test_acknowledged_interactions_are_in_the_topic_on_their_partition(
    client: httpx.AsyncClient, messages: Any
) -> None:
    one = await client.post(
        "/api/v1/interaction", json={"username": "poster", "post_id": 1, "interaction_type": "like", "event_id": "e-1"}
    )
    entries = [
        {"username": f"poster{number}", "post_id": number + 1, "interaction_type": "view"} for number in range(20)
    ]
    many = await client.post("/api/v1/interactions", json=entries)
    assert (one.status_code, many.status_code) == (202, 202)
    assert one.json() == {"status": "accepted", "event_ids": ["e-1"]}
    found, groups = {}, 0
    for partition, key, value in await messages(topics.INTERACTIONS):
        if not key.startswith(b"poster"):
            continue
        groups += 1
        decoded = events.decode_message(value or b"")
        assert key == decoded[0].username.encode()
        for event in decoded:
            found[event.event_id] = event
            assert partition == topics.owner(event.username, 4)
            assert event.source == "api"
            assert event.occurred_at is not None
    assert {"e-1", *many.json()["event_ids"]} == set(found)
    assert groups <= 1 + 4


async def test_an_array_with_a_bad_entry_answers_207_with_a_result_each(client: httpx.AsyncClient) -> None:
    good = {"username": "mixed", "post_id": 1, "interaction_type": "like"}
    answer = await client.post("/api/v1/interactions", json=[good, {**good, "post_id": "x"}, 7])
    body = answer.json()
    assert answer.status_code == 207
    assert (body["accepted"], body["rejected"]) == (1, 2)
    assert [result["status"] for result in body["results"]] == ["accepted", "rejected", "rejected"]
    assert body["results"][1]["error"]["field"] == "post_id"


@pytest.mark.parametrize(
    ("path", "content", "status", "field"),
    [
        ("/api/v1/interaction", b"{", 400, None),
        ("/api/v1/interaction", b'{"post_id":1,"interaction_type":"like"}', 400, "username"),
        ("/api/v1/interaction", b'{"username":"u","post_id":1,"interaction_type":"lick"}', 400, "interaction_type"),
        ("/api/v1/interaction", b'{"username":"u","post_id":1,"interaction_type":"rating","interaction_value":101}',
         400, "interaction_value"),
        ("/api/v1/interaction",
         b'{"username":"u","post_id":1,"interaction_type":"like","occurred_at":"2999-01-01T00:00:00Z"}',
         400, "occurred_at"),
        ("/api/v1/interactions", b'{"username":"u","post_id":1,"interaction_type":"like"}', 400, None),
        ("/api/v1/interactions", b"[]", 400, None),
        ("/api/v1/interactions", b"[1,2]", 400, None),
        ("/api/v1/interactions", b"[" + b"1," * 1000 + b"1]", 400, None),
        ("/api/v1/interactions", b" " * (1 << 20) + b"[]", 413, None),
        ("/api/v1/posts", b'[{"title":"no id"}]', 400, "id"),
        ("/api/v1/users", b'{"username":""}', 400, "username"),
    ],
)  # fmt: skip
async def test_what_breaks_the_contract_is_refused_with_its_field(
    client: httpx.AsyncClient, path: str, content: bytes, status: int, field: str | None
) -> None:
    answer = await client.post(path, content=content)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["field"] == field


async def test_posts_and_users_go_into_kafka_and_a_deletion_is_a_null(client: httpx.AsyncClient, messages: Any) -> None:
    row = {"id": 4711, "title": "new", "anything": {"kept": True}}
    posted = await client.post("/api/v1/posts", json=[row, {"id": 0}])
    single = await client.post("/api/v1/posts", json={"id": 4712})
    user = await client.post("/api/v1/users", json=[{"username": "ann", "email": "a@example.org", "bio": "hi"}])
    deleted = await client.delete("/api/v1/posts/4712")
    statuses = [answer.status_code for answer in (posted, single, user, deleted)]
    assert statuses == [207, 202, 202, 202]
    posts = await messages(topics.POSTS)
    assert msgspec.json.decode(next(value for _, key, value in posts if key == b"4711") or b"") == row
    assert [value is None for _, key, value in posts if key == b"4712"] == [False, True]
    assert all(partition == topics.owner(key.decode(), 4) for partition, key, _ in posts if key in (b"4711", b"4712"))
    users = await messages(topics.USERS)
    assert [b"example.org" in (value or b"") for _, key, value in users if key == b"ann"] == [False]


async def test_a_served_page_arrives_as_an_impression(client: httpx.AsyncClient, feed: Any, messages: Any) -> None:
    page = await feed(client, "watcher", page=2, page_size=5, session_id="s1")
    found = [impressions.decode(value or b"") for _, key, value in await messages(topics.IMPRESSIONS)
             if key == b"watcher"]  # fmt: skip
    assert [impression.recommendation_id for impression in found] == [page["recommendation_id"]]
    assert found[0].posts == [post["id"] for post in page["post"]]
    assert (found[0].position, found[0].session_id) == (5, "s1")
    assert len(found[0].scores) == len(found[0].sources) == 5


async def test_an_idempotent_producer_is_acknowledged_by_apache_kafka(
    worker: Any, redis_url: str, kafka: str, free_port: Callable[[], int], serve: Any, until: Any
) -> None:
    with serve(free_port(), redis_url, kafka, idempotence="true") as address:
        async with httpx.AsyncClient(base_url=address) as client:
            entries = [{"username": f"u{n}", "post_id": 1, "interaction_type": "view"} for n in range(1000)]

            async def accepted() -> bool:
                return (await client.post("/api/v1/interactions", json=entries)).status_code == 202

            await until(accepted)
            assert (await client.get("/health/ready")).json()["parts"]["kafka"]["up"] is True
