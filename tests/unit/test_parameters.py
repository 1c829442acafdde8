"""Parameters: what is refused names the parameter and what is allowed."""

import pytest

from schemas.errors import ContractError
from schemas.parameters import (
    MOODS,
    CategoryFeedParameters,
    FeedParameters,
    TrendingParameters,
    read_parameters,
)


def test_text_of_an_address_becomes_values_and_what_is_empty_or_unknown_is_left_out() -> None:
    given = {"page": "3", "explain": "1", "diversity": "0.5", "mood": MOODS[1], "exclude": "1,22", "seed": "", "x": "y"}
    assert read_parameters(FeedParameters, given) == FeedParameters(
        page=3, explain=True, diversity=0.5, mood="calm", exclude="1,22"
    )


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("page", "0", "a whole number from 1 to 1000000"),
        ("page", "1.5", "a whole number from 1 to 1000000"),
        ("page", "9" * 5_000, "a whole number from 1 to 1000000"),
        ("diversity", "1.01", "a number from 0 to 1"),
        ("diversity", "nan", "a number from 0 to 1"),
        ("mood", "sad", "calm, educational, energetic, entertainment, inspiring"),
        ("explain", "maybe", "true or false"),
        ("exclude", "1,,2", "up to 500 post ids with commas between"),
        ("username", "u" * 129, "1 to 128 characters"),
        ("username", "a\0b", "1 to 128 characters"),
    ],
)
def test_what_is_not_allowed_is_named(name: str, value: str, allowed: str) -> None:
    with pytest.raises(ContractError) as refused:
        read_parameters(FeedParameters, {name: value})
    assert refused.value.field == name
    assert str(refused.value).endswith(f"; allowed: {allowed}")
    assert len(str(refused.value)) < 200


def test_what_is_missing_and_a_window_that_is_none_are_named() -> None:
    with pytest.raises(ContractError, match="project_code is required"):
        read_parameters(CategoryFeedParameters, {"username": "u"})
    with pytest.raises(ContractError, match="window is '2h'; allowed: 1h, 24h, 7d"):
        read_parameters(TrendingParameters, {"window": "2h"})
