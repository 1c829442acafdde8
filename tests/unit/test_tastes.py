"""What a user's posts are about, and at what hour of the day: the way of a post that nobody has met."""

import numpy as np
import pytest

from online_models.moods import MoodMap
from online_models.post_table import INTERESTS, LEADING, TAG_CODES, codes_of, interests_of, labels_of
from online_models.source_scores import AUTHOR_SHARE, hour_of, taste
from schemas.events import TYPE_CODES
from schemas.history import History
from schemas.posts import Post
from schemas.user_state import HistoryEvent, UserState
from tests.unit.test_api_learnt import HYDRATOR, NOW, catalogue, query_on
from tests.unit.test_recommender import post

__all__ = ["catalogue"]
HOUR = 3600.0


def interests(each: Post) -> list[int]:
    return interests_of(each, (MoodMap.load().of(each) >= LEADING).tolist())


def scores(rows: list[dict[str, object]], past: list[int], hours: list[int], hour: int = 8) -> list[float]:
    """Of posts with those rows. past: places among them."""
    made = [post(number + 1, **row) for number, row in enumerate(rows)]
    about = np.array([interests(each) for each in made], np.int16)
    author = np.array([hash(each.author) % 1000 if each.author else -1 for each in made], np.int32)
    found = np.empty(len(made), np.float32)
    taste(np.array(past, np.int32), np.array(hours, np.int8), hour, about, author, TAG_CODES, found)
    return [float(one) for one in found]


@pytest.mark.parametrize(
    "row", [{"category": "Bikes"}, {"topic": "Igloo"}, {"tags": ["surf"]}, {"mood": "calm"}, {"username": "ann"}]
)
def test_each_kind_of_interest_finds_a_post_that_nobody_has_met(row: dict[str, object]) -> None:
    first, new, other = scores([row, row, {"category": "x", "topic": "y", "tags": ["z"], "username": "b"}], [0], [8])
    assert first == new == pytest.approx(AUTHOR_SHARE if "username" in row else 1.0)
    assert other == 0.0


def test_words_of_one_mood_find_each_other() -> None:
    meditation, bikes, beach = scores([{"tags": ["meditation"]}, {"tags": ["bikes"]}, {"tags": ["beach"]}], [0], [8])
    assert meditation > beach > bikes == 0.0, "both speak for calm"


def test_the_last_posts_count_most() -> None:
    found = scores([{"tags": ["new"]}, {"tags": ["old"]}], [0, 1], [8, 8])
    assert found[0] > found[1] > 0


@pytest.mark.parametrize(("hour", "morning"), [(8, 2 / 3), (20, 1 / 3), (2, 1 / 2)])
def test_what_is_met_at_this_hour_counts_twice(hour: int, morning: float) -> None:
    found = scores([{"tags": ["here"]}, {"tags": ["there"]}] * 2, [0, 1] * 20, [8, 20] * 20, hour)
    assert found[0] == pytest.approx(morning, abs=0.03)
    assert found[0] + found[1] == pytest.approx(1.0)


def test_an_unknown_hour_counts_once_and_hours_are_of_the_day() -> None:
    found = scores([{"tags": ["a"]}, {"tags": ["b"]}], [0, 1], [-1, 8])
    assert found[1] > found[0] > 0
    assert [hour_of(at) for at in (0.0, 3599.0, 23.5 * HOUR, 24 * HOUR, NOW)] == [0, 0, 23, 0, int(NOW // HOUR) % 24]


def test_a_post_has_so_many_interests_and_no_more() -> None:
    codes = interests(post(1, tags=[f"t{number}" for number in range(30)], category="c", topic="t"))
    assert len(codes) == INTERESTS
    assert min(codes) >= 0
    assert interests(post(2)) == [-1] * INTERESTS


def test_a_feed_knows_the_hours_of_its_users_posts(catalogue: object) -> None:
    times = {1: 5.2, 2: 30.9, 3: 47.0}
    events = [HistoryEvent(int(at * HOUR * 1000), one, TYPE_CODES["like"], 1000) for one, at in times.items()]
    query = query_on(catalogue, state=UserState(History(events)))  # type: ignore[arg-type]
    HYDRATOR.set_history(query)
    assert query.hours.tolist() == [23, 6, 5]
    query.state = UserState()
    HYDRATOR.set_history(query)
    assert query.hours.tolist() == []


def test_codes_of_many_posts_are_those_of_each() -> None:
    rows: list[dict[str, object]] = [
        {}, {"category": "Bikes", "tags": ["surf", "Bikes", "surf"]}, {"tags": ["", "calm"]},
        {"topic": "Igloo", "tags": ["topic Igloo", "mood calm"], "mood": "calm"}, {"category": "x" * 99},
        {"category": "a", "tags": [str(number) for number in range(20)], "topic": "b", "mood": "inspiring"},
    ]  # fmt: skip
    posts = [post(number + 1, **row) for number, row in enumerate(rows)]
    tags, about = labels_of(posts, MoodMap.load().of_many(posts) >= LEADING)
    assert tags.tolist() == [codes_of(each)[1] for each in posts]
    assert about.tolist() == [interests(each) for each in posts]
