"""Exploration: one place low on the page, drawn by what is believed of click-through, and told with its propensity."""

from collections import Counter, defaultdict

import msgspec
import numpy as np
import pytest

from api.candidate_pipeline import CandidatePipeline, Slate
from api.catalogue import Catalogue
from api.learnt import Learnt, LearntPosts
from api.metrics import Metrics
from api.scorers.blend import Blend
from api.selector.exploration import DRAWS, POOL, Exploration
from api.selector.top import Top
from api.side_effects.impressions import Impressions
from api.sources.popular import Popular
from api.stages import EXPLORATION, Query
from online_models.click_through import WEEK, ClickThrough
from online_models.features import FEATURES
from online_models.post_table import TAG_CODES
from schemas.impressions import decode
from schemas.item_state import ItemState
from schemas.learnt import Weights
from schemas.posts import decode_post
from schemas.settings import Settings
from schemas.user_state import UserState

NOW = 1_800_000_000.0
POSTS, SIZE = 70, 12


@pytest.fixture
def catalogue() -> Catalogue:
    """Posts 1 to POSTS, the lower the id the more popular; slot 0 is post 1."""
    catalogue = Catalogue()
    for post_id in range(1, POSTS + 1):
        catalogue.set_row(post_id, decode_post(msgspec.json.encode({"id": post_id})))
        catalogue.set_states([post_id], [ItemState(decayed=[1000.0 - post_id] * 3, at=NOW)])
    return catalogue


@pytest.fixture
def learnt(catalogue: Catalogue) -> Learnt:
    """Of a learner that has met all posts and shown none."""
    posts = LearntPosts(catalogue, 5 * 2 + 3)
    posts.known[:] = True
    width = len(FEATURES)
    linear, inner, outer = np.zeros(width, np.float32), np.zeros((2, width + 1), np.float32), np.zeros(2, np.float32)
    return Learnt(1, posts, Weights([*FEATURES], linear, inner, outer, np.ones(TAG_CODES, np.float32), 0.5, 1.0))


def feed() -> CandidatePipeline:
    return CandidatePipeline([], [Popular()], [], [Blend(Settings())], Exploration(Top()), [], Metrics())


async def served(catalogue: Catalogue, learnt: Learnt | None, user: str = "u", events: int = 0, **page: int) -> Slate:
    query = Query(user, NOW, catalogue, online=learnt, **{"page_size": SIZE, **page})  # type: ignore[arg-type]
    query.state = UserState(events=events)
    return await feed().run(query)


def explored(slate: Slate) -> list[int]:
    return [number for number, sources in enumerate(slate.sources) if EXPLORATION in sources]


@pytest.mark.parametrize("with_learner", [True, False])
async def test_one_place_in_the_last_third_and_no_post_twice_or_lost(
    catalogue: Catalogue, learnt: Learnt, with_learner: bool
) -> None:
    online = learnt if with_learner else None
    places = set()
    for events in range(20):
        pages = [await served(catalogue, online, events=events, page=page) for page in range(1, 7)]
        (place,) = explored(pages[0])
        assert [explored(page) for page in pages[1:]] == [[]] * 5
        ids = [post for page in pages for post in catalogue.ids[page.slots].tolist()]
        assert sorted(ids) == [*range(1, POSTS + 1)]
        assert [post for number, post in enumerate(ids[:SIZE]) if number != place] == [*range(1, SIZE)]
        assert "popular" in pages[0].sources[place]
        places.add(place)
    assert places == {8, 9, 10, 11}


async def test_a_page_that_is_asked_for_again_is_the_same_until_something_is_learnt(
    catalogue: Catalogue, learnt: Learnt
) -> None:
    first, again = await served(catalogue, learnt), await served(catalogue, learnt)
    assert first.slots.tolist() == again.slots.tolist()
    drawn = {(await served(catalogue, learnt, events=events)).slots.tobytes() for events in range(10)}
    others = {(await served(catalogue, learnt, user=f"user {number}")).slots.tobytes() for number in range(10)}
    assert min(len(drawn), len(others)) > 5
    learnt.posts.shown[first.slots[explored(first)]] = 1e6
    after = await served(catalogue, learnt)
    assert after.slots.tolist() != first.slots.tolist()


async def test_propensities_are_how_often_posts_are_drawn(catalogue: Catalogue, learnt: Learnt) -> None:
    learnt.posts.shown[20:23, WEEK], learnt.posts.taken[20:23, WEEK] = [30.0, 30.0, 60.0], [15.0, 6.0, 18.0]
    drawn, told, users = Counter[int](), defaultdict[int, float](float), 400
    for number in range(users):
        slate = await served(catalogue, learnt, user=f"user {number}")
        (place,) = explored(slate)
        drawn[int(slate.slots[place])] += 1
        told[int(slate.slots[place])] += slate.explored[int(slate.slots[place])]
        assert all(chance > 0 for chance in slate.explored.values())
    assert drawn.most_common(1)[0][0] == 20
    assert len(drawn) <= POOL
    for slot, count in drawn.items():
        share = count / users
        # What is told counts the draw that decided as well.
        assert told[slot] / count == pytest.approx(share + (1 - share) / DRAWS, abs=0.05)


async def test_there_is_nothing_to_explore_on_a_short_page_or_behind_the_last_post(
    catalogue: Catalogue, learnt: Learnt
) -> None:
    for page in ({"page_size": 2}, {"page_size": POSTS}):
        slate = await served(catalogue, learnt, **page)
        assert explored(slate) == []
        assert catalogue.ids[slate.slots].tolist() == [*range(1, page["page_size"] + 1)]


async def test_new_posts_are_shown_and_the_one_that_is_taken_stays(catalogue: Catalogue, learnt: Learnt) -> None:
    new, liked, draws = range(40, 60), 57, np.random.default_rng(1)
    learnt.posts.known[new] = False
    counts = ClickThrough(capacity=len(learnt.posts.shown))

    async def shown(first: int, pages: int, rate: float) -> Counter[int]:
        found = Counter[int]()
        for number in range(first, first + pages):
            slate = await served(catalogue, learnt, user=f"user {number}")
            slot = int(slate.slots[explored(slate)[0]])
            found[slot] += 1
            counts.learn_shown(slate.slots, 0, NOW + number)
            if draws.random() < (rate if slot == liked else 0.01):
                counts.learn_taken(slot, NOW + number)
            learnt.posts.shown[:], learnt.posts.taken[:] = counts.counts(np.arange(counts.capacity))
        return found

    assert set(new) <= (await shown(0, 150, 0.01)).keys()
    later = await shown(150, 250, 0.3)
    assert later[liked] > 0.5 * later.total()


async def test_an_impression_tells_what_was_explored_and_how_likely_that_was(
    catalogue: Catalogue, learnt: Learnt
) -> None:
    class Kafka:
        async def deliver(self, records: list) -> int:
            self.value = records[0].value
            return 1

    slate = await served(catalogue, learnt)
    (place,) = explored(slate)
    slate.scores[0] = np.nan
    kafka = Kafka()
    effect = Impressions(kafka, Settings(), Metrics())  # type: ignore[arg-type]
    await effect.run(Query("u", NOW, catalogue, page_size=SIZE), slate)
    await effect.close()
    told = decode(kafka.value)
    assert told.propensities is not None
    assert [number for number, chance in enumerate(told.propensities) if chance < 1] == [place]
    assert told.sources[place][-1] == EXPLORATION
    assert told.scores[0] is None
