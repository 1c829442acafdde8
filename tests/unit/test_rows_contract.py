"""Rows of posts and users, as publishers and the external API send them."""

import json

import msgspec
import pytest

from schemas.errors import ContractError, ReelstreamError
from schemas.posts import MOST_HASHTAGS, decode, decode_post, decode_posts, encode
from schemas.users import decode_user

UPSTREAM = {
    "id": 3291, "category": {"id": 13, "name": "Flic", "count": 127}, "topic": {"id": 4, "name": "Animation",
    "project_code": "flic"}, "title": "forest shooting", "tags": ["socialmedia"], "created_at": 1740249695000,
    "first_name": "Ada", "last_name": "L", "username": "ada", "picture_url": "p", "user_type": "hirer",
    "has_evm_wallet": False, "has_solana_wallet": True, "is_locked": False, "is_available_in_public_feed": True,
    "video_link": "v.mp4", "post_summary": {"keywords": [{"keyword": "tree", "weight": 9}]}, "source_matrix": [],
}  # fmt: skip


def post(**changes):
    return decode_post(json.dumps({**UPSTREAM, **changes}).encode())


def test_the_upstream_post_is_taken_as_it_is():
    row = post()
    assert (row.id, row.category, row.category_id, row.topic, row.project_code) == (
        3291,
        "Flic",
        13,
        "Animation",
        "flic",
    )
    assert (row.author, row.created_at, row.servable) == ("ada", 1740249695.0, True)
    item = msgspec.json.decode(row.item)
    assert item["owner"]["name"] == "Ada L"
    assert item["video_link"] == "v.mp4"
    assert "post_summary" not in item
    assert decode(encode(row)) == row


def test_a_row_in_redis_takes_half_of_its_json():
    assert len(encode(post())) < len(post().item) / 2 + 100


@pytest.mark.parametrize("payload", [b"", b"\x80", msgspec.msgpack.encode({"id": 1}), encode(post())[:-1]])
def test_a_row_of_another_format_is_refused_and_the_remedy_named(payload):
    with pytest.raises(ReelstreamError, match="reelstream rebuild"):
        decode(payload)


def test_only_the_id_is_required():
    row = decode_post(b'{"id": 5}')
    assert (row.title, row.category, row.created_at, row.servable) == ("", "", 0.0, True)


@pytest.mark.parametrize(
    "empty",
    [
        {"topic": []},
        {"topic": None},
        {"category": None},
        {"post_summary": []},
        {"tags": None},
        {"post_summary": None},
        {"post_summary": {"emotions": None, "actions": [], "genre": {}}},
        {"post_summary": "none"},
    ],
)
def test_the_shapes_of_nothing_are_accepted(empty):
    assert post(**empty).id == 3291


def test_hashtags_of_the_title_are_tags_after_those_of_the_row_each_once():
    row = post(tags=["Social", "calm"], title="#social what a day #Forêt #run_2 # #Forêt")
    assert row.tags == ["Social", "calm", "forêt", "run_2"]
    assert len(post(title=" ".join(f"#t{number}" for number in range(99))).tags) == 1 + MOST_HASHTAGS


def test_a_category_may_be_a_string_and_a_time_iso():
    row = post(category="Motivation", created_at="2026-11-20T08:00:00Z")
    assert (row.category, row.created_at) == ("Motivation", 1795161600.0)


@pytest.mark.parametrize("hidden", [{"is_locked": True}, {"is_available_in_public_feed": False}])
def test_locked_and_non_public_posts_are_not_servable(hidden):
    assert not post(**hidden).servable


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"id": 0}, "id"), ({"id": "x"}, "id"), ({"created_at": "soon"}, "created_at"),
     ({"created_at": 1e300}, "created_at"), ({"title": 5}, "title"), ({"title": "a\x00b"}, "title"),
     ({"duration_ms": 10**400}, "duration_ms"),
     ({"category": {"id": 2**64}}, "category.id"), ({"category": "c" * 129}, "category"),
     ({"unknown": {"deep": "\ud83d"}}, "unknown"), ({"unknown": float("nan")}, "unknown")],
)  # fmt: skip
def test_a_refused_row_names_its_field(changes, field):
    with pytest.raises(ContractError) as refused:
        post(**changes)
    assert refused.value.field == field


def test_a_bad_row_of_an_array_costs_only_itself():
    rows = decode_posts(b'[{"id": 1}, {"id": "x"}, {"id": 2}]')
    assert [type(row).__name__ for row in rows] == ["Post", "ContractError", "Post"]


def test_an_e_mail_address_is_not_kept():
    user = decode_user(b'{"username": "ada", "email": "a@b.c", "attributes": {"email": "a@b.c", "age": 36}}')
    assert b"a@b.c" not in msgspec.json.encode(user)
    assert user.attributes == {"age": 36}


def test_a_name_that_is_no_text_is_refused_where_a_nul_is_looked_for():
    with pytest.raises(ContractError, match="UTF-8"):
        decode_user(b'{"username": "ada", "\xff": "\\u0000"}')
