"""Rows of posts as the record keeps them."""

import json

from streams.catalogue_log import _posts
from streams.record import Record


def kept(value: bytes | None, key: bytes = b"1") -> list[object]:
    return [row and json.loads(row[1]) for _, row in _posts(Record("posts", 0, 0, 1.0, key, value))]


def test_a_post_is_kept_with_all_that_came() -> None:
    post = {"id": 1, "post_summary": {"emotions": None}, "new": [{"a": 1}], "username": "ann", "topic": []}
    assert kept(json.dumps(post).encode()) == [post]
    assert kept(json.dumps([post, {"id": "x"}, {"id": 2}]).encode()) == [post, {"id": 2}]


def test_a_null_value_deletes_and_what_can_not_be_read_is_left_to_the_dead_letters() -> None:
    assert kept(None) == [None]
    assert kept(None, b"x") == kept(b"[[") == []


def test_a_number_that_jsonb_would_refuse_is_kept_as_the_zero_it_is_to_us() -> None:
    assert kept(b'{"id": 1, "x": 1e-20000}') == [{"id": 1, "x": 0.0}]
