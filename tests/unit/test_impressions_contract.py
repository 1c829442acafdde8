"""Impressions as the API tells them, and what is refused of what others tell."""

import json
from typing import Any

import pytest

from schemas.errors import ContractError
from schemas.impressions import decode, encode

GOLDEN = {
    "recommendation_id": "0192", "username": "ada", "session_id": None, "served_at": 1_795_381_200.5,
    "algorithm_used": "svd+popular", "model_versions": {"svd": "7"}, "position": 20, "posts": [11, 12],
    "scores": [0.9, None], "sources": [["svd"], ["svd", "popular"]], "features": None, "variant": "default",
    "schema_version": 1,
}  # fmt: skip
"""Of version 1, before pages were explored."""


def told(**changes: Any) -> bytes:
    return json.dumps({**GOLDEN, **changes}).encode()


def test_the_golden_message_of_version_1_decodes_for_ever() -> None:
    page = decode(told(), produced_at=1_795_381_201.0)
    assert (page.posts, page.position, page.scores, page.propensities) == ([11, 12], 20, [0.9, None], None)
    assert page.served.isoformat() == "2026-11-22T21:00:00.500000+00:00"
    assert decode(encode(page)) == page
    assert decode(told(propensities=[1, 0.25], more=1)).propensities == [1.0, 0.25]
    assert page.outside is None
    assert decode(told(outside={"svd": [-1.25, 0], "graph": [1, 2.5]})).outside == {
        "svd": [-1.25, 0],
        "graph": [1, 2.5],
    }


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scores": [0.9]}, "scores"), ({"sources": []}, "sources"), ({"propensities": [1.0]}, "propensities"),
        ({"features": [{}]}, "features"), ({"propensities": [0.0, 1.0]}, "propensities"),
        ({"propensities": [1.5, 1.0]}, "propensities"), ({"posts": [0, 1]}, "posts"), ({"position": -1}, "position"),
        ({"username": None}, "username"), ({"recommendation_id": None}, "recommendation_id"),
        ({"algorithm_used": "a\0b"}, "algorithm_used"), ({"served_at": 5e9}, "served_at"),
        ({"posts": [1] * 1_001}, "posts"), ({"outside": {"svd": [1.0]}}, "outside"), ({"outside": [1.0]}, "outside"),
        ({"outside": {"svd": [1.0, 101.0]}}, "outside"), ({"outside": {"svd": [1.0, None]}}, "outside"),
        ({"outside": {"svd\n": [1.0, 2.0]}}, "outside"), ({"outside": {"": [1.0, 2.0]}}, "outside"),
        ({"outside": {f"s{number}": [1.0, 2.0] for number in range(33)}}, "outside"),
    ],
)  # fmt: skip
def test_what_breaks_the_contract_is_refused_and_the_field_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ContractError) as refused:
        decode(told(**changes))
    assert refused.value.field.split("[")[0] == field


def test_a_page_served_a_day_after_its_message_is_refused() -> None:
    with pytest.raises(ContractError, match="served_at: lies more than a day ahead"):
        decode(told(), produced_at=1_795_000_000.0)
    assert decode(told(), produced_at=-0.001).posts == [11, 12]
