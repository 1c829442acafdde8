"""The collaborative models on planted data, and the moments from which the hybrid's weights are learnt."""

import random

import numpy as np
import pytest
import scipy.sparse as sp

from batch_models.collaborative import Collaborative, mixed, moments, parts, sampled, standardised
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
    noise, knows, opposite = mixed(features)
    assert knows > 1.0
    assert noise < 0.2
    assert opposite == 0.0


def test_standardised_scores_keep_their_order_and_unknown_posts_are_last() -> None:
    rows = np.array([[3.0, -np.inf, 100.0, 1.0], [-np.inf] * 4], np.float32)
    first, second = standardised(rows)
    assert np.argsort(first).tolist()[2:] == [0, 2]
    assert first[1] == first[3] == first.min()
    assert second.tolist() == [0.0] * 4


def test_succession_knows_where_users_go_next_and_popularity_does_not() -> None:
    whole = ring()
    assert ndcg(Succession(EVERYTHING), whole) > 1.5 * ndcg(Popularity(), whole)


def test_the_hybrid_finds_the_order_in_which_posts_were_met() -> None:
    whole = ring()
    hybrid = Collaborative(16, EVERYTHING).fit(whole, DEFAULT_WEIGHTS, 1)
    weights = dict(zip((part.name for part in parts(16, EVERYTHING)), hybrid.mix, strict=True))
    assert max(weights, key=weights.__getitem__) == "succession"
    assert ndcg(Collaborative(16, EVERYTHING), whole) > 1.5 * ndcg(Popularity(), whole)


def test_without_a_moment_to_learn_from_parts_count_the_same() -> None:
    whole = ring(3)
    assert set(Collaborative(8, EVERYTHING).fit(whole, DEFAULT_WEIGHTS, 1).mix) == {1.0}


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
