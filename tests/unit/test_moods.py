"""Moods: words of a post through the mapping, the mapping itself, and how much a mood counts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.catalogue import Catalogue
from api.filters.mood import Mood as OfMood
from api.scorers.mood import ASKED, LEANING, Mood
from api.sources.mood import Mood as MoodSource
from api.stages import Candidates, Query
from online_models.moods import MAPPING, MoodMap
from schemas.errors import SettingsError
from schemas.item_state import ItemState
from schemas.parameters import MOODS
from schemas.posts import MOST_SUMMARY_WORDS, Post, decode_post, summary_words
from schemas.settings import Settings
from schemas.user_state import UserState
from tests.unit.evidence import evidence

EVENING = datetime(2026, 12, 1, 19, tzinfo=UTC).timestamp()


def post(**fields: object) -> Post:
    return decode_post(msgspec.json.encode({"id": 1, **fields}))


@pytest.mark.parametrize(
    ("fields", "shares"),
    [
        ({"mood": "calm", "tags": ["Comedy"]}, {"calm": 1.0}),
        ({"mood": "gloomy", "tags": ["Comedy"]}, {"entertainment": 1.0}),
        ({"tags": ["Action", "Drama"]}, {"energetic": 0.5, "inspiring": 0.5}),
        ({"post_summary": {"emotions": {"conveyed": ["Serenity, Calmness"], "peak": None}}}, {"calm": 1.0}),
        ({"post_summary": {"keywords": [{"keyword": "tutorial", "weight": 7}]}}, {"educational": 1.0}),
        ({"category": {"id": 8, "name": "Bloom Scroll"}, "title": "A funny dog"}, {"calm": 0.6, "entertainment": 0.4}),
        ({"title": "Nothing to say", "post_summary": []}, {}),
    ],
)
def test_a_post_is_of_the_moods_its_words_speak_for(fields: dict[str, object], shares: dict[str, float]) -> None:
    found = dict(zip(MOODS, MoodMap.load().of(post(**fields)).tolist(), strict=True))
    assert {mood: share for mood, share in found.items() if share} == pytest.approx(shares)


@given(st.text(st.sampled_from("calm-happy's/_FUNNY,.!?#\t\n\x1c 09"), max_size=40))
def test_words_of_ascii_are_those_of_any_other_text(title: str) -> None:
    moods = MoodMap({"calm": 0, "happy's": 1, "funny_funny": 2, "c-a": 3, "a": 4}, MoodMap.load().weights, [0] * 24)
    assert np.array_equal(moods.of(post(title=title + " x")), moods.of(post(title=title + " ж")))


@pytest.mark.parametrize(
    ("summary", "words"),
    [
        ([], []),
        (None, []),
        ("joy", []),
        ({"description": "joy"}, []),
        ({"emotions": {"a": ["Joy", " joy ", {"b": "Awe,hope"}], "n": 7}, "keywords": None}, ["joy", "awe", "hope"]),
        ({"keywords": [str(number) for number in range(99)]}, [str(number) for number in range(MOST_SUMMARY_WORDS)]),
        ({"emotions": "x" * 99}, ["x" * 40]),
    ],
)
def test_a_summary_of_any_shape_gives_its_emotions_and_keywords(summary: Any, words: list[str]) -> None:
    assert summary_words(summary) == words


def test_each_word_of_the_mapping_is_found_where_a_post_has_it() -> None:
    moods = MoodMap.load()
    for word, place in moods.words.items():
        assert moods.of(post(tags=[word.title()])).argmax() == place, word
    assert {MOODS[place] for place in moods.hours} == {*MOODS}


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("[weights]", "[weights", "can't be read"),
        ("tag = 1.0", 'tag = "much"', "a number for each of summary, tag, category, title"),
        ('22 = "calm"', '24 = "calm"', "hours from 0 to 23"),
        ('"zen",', '"zen", "comedy",', "'comedy' stands under"),
    ],
)
def test_a_mistake_in_the_mapping_is_named(tmp_path: Path, before: str, after: str, why: str) -> None:
    file = tmp_path / "moods.toml"
    text = MAPPING.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))
    with pytest.raises(SettingsError, match=why):
        MoodMap.load(file)


@pytest.fixture
def catalogue() -> Catalogue:
    """1 calm, 2 entertainment, 3 half each, 4 tells nothing."""
    catalogue = Catalogue()
    for post_id, tags in enumerate((["zen"], ["comedy"], ["zen", "comedy"], []), start=1):
        catalogue.set_row(post_id, decode_post(msgspec.json.encode({"id": post_id, "tags": tags})))
    catalogue.set_states([3], [ItemState(decayed=[50.0] * 3, at=EVENING)])
    return catalogue


async def test_a_mood_holds_back_others_and_brings_its_own(catalogue: Catalogue) -> None:
    query = Query("u", EVENING, catalogue, mood=MOODS.index("calm"))
    assert OfMood().keep(query, np.arange(4)).tolist() == [True, False, True, True]
    found = MoodSource().retrieve(query)
    assert evidence(query, found) == pytest.approx({1: 1.0, 3: 0.5 * (1 + np.log1p(50.0))})
    query.mood = None
    assert OfMood().keep(query, np.arange(4)).all()
    assert evidence(query, MoodSource().retrieve(query)) == {}


def test_the_mood_asked_for_decides_and_that_of_the_hour_fades_with_each_event(catalogue: Catalogue) -> None:
    slots = np.arange(4)
    candidates = Candidates(
        slots, slots.astype(np.int32), [], np.empty(0, np.bool_), np.empty((4, 0)), np.empty((4, 0), np.bool_),
        np.empty((4, 0), np.float32),
    )  # fmt: skip
    scorer = Mood(Settings(_env_file=None, cold_start_threshold=5))

    def scores(**fields: Any) -> list[float]:
        return scorer.score(Query("u", EVENING, catalogue, **fields), candidates, np.zeros(4)).tolist()

    assert scores(mood=MOODS.index("calm")) == [ASKED, 0.0, ASKED / 2, 0.0]
    by_events = [scores(state=UserState(events=events)) for events in range(12)]
    assert by_events[0] == [0.0, LEANING, LEANING / 2, 0.0]
    leaning = np.array([row[1] for row in by_events])
    assert leaning[5] == LEANING / 2
    steps = -np.diff(leaning)
    assert (steps > 0).all()
    assert (np.diff(steps) < 0).all()  # the first event takes most, and none of them is a switch
