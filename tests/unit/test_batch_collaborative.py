"""The collaborative models on planted data, and the moments from which the hybrid's weights are learnt."""

import random

import numpy as np
import pytest
import scipy.sparse as sp

from batch_models import collaborative
from batch_models.collaborative import Collaborative, mixed, moments, sampled
from batch_models.collaborative_parts import parts, through_users
from batch_models.dataset import Columns, Interactions, Row, pairs, pasts
from batch_models.ease import Ease
from batch_models.item_based import ItemBased
from batch_models.neighbours import keep_largest
from batch_models.popularity import Popularity
from batch_models.protocols import EVERYTHING, by_time
from batch_models.recent_popularity import RecentPopularity
from batch_models.succession import Succession
from batch_models.user_based import UserBased
from online_models.positives import Positives
from schemas.events import DEFAULT_WEIGHTS


def ring(events: int = 2_000, users: int = 40, posts: int = 60) -> Interactions:
    """Each user goes on from the post before to one of the next three: only the newest post says where."""
    draw, columns = random.Random(2), Columns()
    at = dict.fromkeys(range(users), 0)
    for user in at:
        at[user] = draw.randrange(posts)
    for moment in range(events):
        user = draw.randrange(users)
        at[user] = (at[user] + draw.randrange(1, 4)) % posts
        columns.extend([Row(f"u{user}", 1 + at[user], "view", 1.0, float(moment))])
    return columns.interactions(dict.fromkeys(range(1, posts + 1), True))


def ndcg(model: object, whole: Interactions) -> float:
    questions = by_time(whole, EVERYTHING)
    fitted = model.fit(questions.train, DEFAULT_WEIGHTS, 1)  # type: ignore[attr-defined]
    return float(questions.ask(fitted, lambda done: None).ndcg.mean())


def test_what_was_done_before_a_moment_is_all_that_its_past_holds() -> None:
    whole = ring(300)
    rows = np.array([0, 50, 51, 299])
    found = pasts(whole, rows)
    assert found.user_count == 4
    for place, row in enumerate(rows):
        mine = np.flatnonzero(whole.users[:row] == whole.users[row])
        assert found.posts[found.users == place].tolist() == whole.posts[mine].tolist()
        assert found.at[found.users == place].tolist() == whole.at[mine].tolist()


def test_moments_are_new_posts_of_users_with_a_past() -> None:
    columns = Columns()
    kinds = [("a", 1, "view"), ("a", 2, "report"), ("b", 1, "view"), ("a", 3, "view"), ("a", 1, "view")]
    columns.extend(Row(*kind, 1.0, float(at)) for at, kind in enumerate(kinds))
    assert moments(columns.interactions({}), 1, EVERYTHING).tolist() == [3]


def test_a_moment_is_told_from_posts_that_were_not_met_by_then() -> None:
    whole = ring(400, users=4)
    rows = np.arange(150, 160)
    asked = pasts(whole, rows)
    chosen = sampled(whole, asked, rows, np.random.default_rng(1))
    assert chosen[:, 0].tolist() == whole.posts[rows].tolist()
    for place in range(len(rows)):
        assert not set(chosen[place, 1:]) & {*asked.posts[asked.users == place], chosen[place, 0]}


def test_mixed_finds_the_part_that_knows_and_gives_noise_next_to_nothing() -> None:
    draw = np.random.default_rng(1)
    features = draw.standard_normal((500, 30, 3)).astype(np.float32)
    features[:, 0, 1] += 2.0
    features[:, 0, 2] -= 2.0
    (noise, knows, opposite), _ = mixed(features)
    assert knows > 1.0
    assert noise < 0.2
    assert opposite == 0.0


def test_the_scale_of_a_part_changes_its_weight_and_nothing_else() -> None:
    features = np.random.default_rng(1).standard_normal((500, 30, 2)).astype(np.float32)
    features[:, 0, :] += 1.0
    mix, loss = mixed(features)
    scaled, same = mixed(features * np.array([10.0, 1.0], np.float32))
    assert scaled == pytest.approx(mix / [10.0, 1.0], rel=0.01)
    assert same == pytest.approx(loss, rel=1e-3)


def test_succession_knows_where_users_go_next_and_popularity_does_not() -> None:
    whole = ring()
    assert ndcg(Succession(EVERYTHING), whole) > 1.5 * ndcg(Popularity(), whole)


def test_the_hybrid_finds_the_order_in_which_posts_were_met() -> None:
    whole = ring()
    mix = collaborative.choose(whole, DEFAULT_WEIGHTS, 16).mix
    assert mix["succession"] > 0
    assert ndcg(Collaborative(16, EVERYTHING), whole) > 1.5 * ndcg(Popularity(), whole)


def test_without_a_moment_to_learn_from_parts_count_the_same() -> None:
    whole = ring(3)
    choice = collaborative.choose(whole, DEFAULT_WEIGHTS, 8)
    assert choice.mix == dict.fromkeys([*parts(8, EVERYTHING), "popularity"], 1.0)
    assert collaborative.fitted(whole, DEFAULT_WEIGHTS, choice).item_vectors.any()


def test_the_vectors_say_what_the_sum_of_the_parts_says() -> None:
    """All posts are known and the rank is enough, so nothing is lost."""
    whole = ring()
    mix = dict.fromkeys([*parts(8, EVERYTHING), "popularity"], 0.0) | {"succession": 2.0}
    choice = collaborative.Choice(8, mix, recency=0.8, exponent=1.0)
    scores = collaborative.fitted(whole, DEFAULT_WEIGHTS, choice).scores(whole, np.arange(40))
    single = Succession(Positives()).fit(whole, DEFAULT_WEIGHTS, 1).scores(whole, np.arange(40))
    histories = single.sum(axis=1) / scores.sum(axis=1)
    assert scores * histories[:, None] == pytest.approx(single, abs=1e-3)


def test_a_user_without_a_history_gets_what_is_popular_and_an_unknown_post_is_never_found() -> None:
    columns = Columns()
    columns.extend(Row(f"u{at % 7}", 1 + at % (2 + at // 40), "like", 1.0, float(at)) for at in range(100))
    whole = columns.interactions({1: True, 2: True, 3: True, 4: True, 9: True})
    mix = dict.fromkeys([*parts(8, EVERYTHING), "popularity"], 1.0)
    fitted = collaborative.fitted(whole, DEFAULT_WEIGHTS, collaborative.Choice(8, mix))
    scores = fitted.scores(whole.part(0, 0), np.zeros(1, np.int64))[0]
    assert np.isneginf(scores[-1])
    counts = RecentPopularity(Positives()).fit(whole, DEFAULT_WEIGHTS, 1).scores(whole, np.arange(1))[0]
    assert np.argsort(-scores)[:4].tolist() == np.argsort(-counts)[:4].tolist()


def test_through_users_a_post_says_what_those_who_met_it_turned_to() -> None:
    columns = Columns()
    columns.extend([Row("a", 1, "view", 0.1, 1.0), Row("a", 2, "like", 1.0, 2.0), Row("b", 3, "like", 1.0, 3.0)])
    whole = columns.interactions({})
    found = through_users(whole, DEFAULT_WEIGHTS, Positives()).toarray()
    length = np.hypot(0.95, 1.0)
    assert found == pytest.approx(np.array([[0, 0.95 / length, 0], [0, 1 / length, 0], [0, 0, 1]]), abs=1e-6)


@pytest.mark.parametrize("model", [UserBased(EVERYTHING), ItemBased("item-based", 0.8)])
def test_users_in_groups_get_the_posts_of_their_group(model: UserBased | ItemBased) -> None:
    draw, columns = random.Random(5), Columns()
    for at in range(1_200):
        user = draw.randrange(60)
        columns.extend([Row(f"u{user}", 1 + user % 3 * 20 + draw.randrange(20), "like", 1.0, float(at))])
    whole = columns.interactions({})
    scores = model.fit(whole, DEFAULT_WEIGHTS, 1).scores(whole, np.arange(60))
    found = pairs(whole, DEFAULT_WEIGHTS)
    group = found.posts[np.unique(found.users, return_index=True)[1]] // 20
    best = np.argsort(-scores, axis=1)[:, :15] // 20
    assert (best == group[:, None]).mean() > 0.98


def test_the_largest_entries_of_a_row_are_kept_and_nothing_below_zero() -> None:
    kept = keep_largest(sp.csr_matrix([[5.0, -1.0, 3.0, 4.0], [0.0, 0.0, -2.0, 0.0]]), 2)
    assert kept.toarray().tolist() == [[5.0, 0.0, 0.0, 4.0], [0.0] * 4]


def test_popularity_that_fades_prefers_what_is_liked_now() -> None:
    columns = Columns()
    columns.extend(Row(f"u{at}", 1 if at < 60 else 2, "like", 1.0, float(at)) for at in range(100))
    whole = columns.interactions({})
    assert Popularity().fit(whole, DEFAULT_WEIGHTS, 1).scores(whole, np.arange(1)).argmax() == 0
    fading = RecentPopularity(EVERYTHING).fit(whole, DEFAULT_WEIGHTS, 1)
    assert fading.scores(whole, np.arange(1)).argmax() == 1


def test_what_is_to_be_found_is_what_the_parts_find() -> None:
    """Every user rates all of two groups: high the one, low the other. Who wants high ratings gets only those."""
    draw, columns = random.Random(5), Columns()
    for at in range(1_500):
        user, post = draw.randrange(60), draw.randrange(40)
        columns.extend([Row(f"u{user}", 1 + post, "rating", 100.0 if post % 2 else 20.0, float(at))])
    whole = columns.interactions({})
    high = Positives(["rating:80"])
    for model in (UserBased(high), Succession(high), Ease(10.0, 0.95, high), RecentPopularity(high)):
        scores = model.fit(whole, DEFAULT_WEIGHTS, 1).scores(whole, np.arange(60))
        assert scores[:, 1::2].min() >= 0 or isinstance(model, Ease)
        assert scores[:, 1::2].mean() > 4 * max(abs(scores[:, ::2].mean()), 1e-6)
