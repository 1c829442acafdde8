"""The global models together: what is tested and when, what is published, and what a snapshot brings back."""

from typing import Any

import msgspec
import numpy as np
import pytest

from online_models import recommender as module
from online_models.blend import START
from online_models.click_through import WEEK
from online_models.positives import DEFAULT, Positives
from online_models.prequential import Prequential, Ranked
from online_models.recommender import Recommender
from schemas.errors import ReelstreamError
from schemas.events import TYPE_CODES
from schemas.learning import LearningBatch, Shown
from schemas.learnt import decode_weights
from schemas.posts import Post, decode_post

LIKE, VIEW, REPORT = TYPE_CODES["like"], TYPE_CODES["view"], TYPE_CODES["report"]
AT = 1_700_000_000.0


def batch(
    *events: tuple[int, int], kind: int = LIKE, value: int = 1000, at: float = AT, **columns: Any
) -> LearningBatch:
    """Events (user, post), each with the posts of that user earlier in this batch for its past."""
    pasts: dict[int, list[int]] = {}
    before = []
    for user, post in events:
        before.append(pasts.setdefault(user, []).copy())
        pasts[user].append(post)
    count = len(events)
    lengths = np.array([len(past) for past in before])
    flat = np.array([post for past in before for post in past], np.int64)
    values: dict[str, Any] = {
        "user": np.array([user for user, _ in events]), "post_id": np.array([post for _, post in events]),
        "at": at + 60.0 * np.arange(count), "type_code": np.full(count, kind, np.int8),
        "value_milli": np.full(count, value, np.int32), "delta": np.ones(count, np.int8), "weight": np.ones(count),
        "gain": np.ones(count),
        "new": np.array([event[1] not in past for event, past in zip(events, before, strict=True)]),
        "events": lengths.astype(np.int32), "previous_at": np.zeros(count),
        "starts": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), "context": flat,
        "kinds": np.full(len(flat), 1000 << 4 | kind, np.int32),
    }  # fmt: skip
    return LearningBatch(**(values | columns))


def small(**options: Any) -> Recommender:
    return Recommender(sample=1.0, capacity=512, users=128, **options)


def walks(events: int, users: int = 30, posts: int = 60, seed: int = 1) -> list[tuple[int, int]]:
    """Each user goes on from their last post to one of the next three, and comes back to none."""
    draws = np.random.default_rng(seed)
    last = {user: int(draws.integers(posts)) for user in range(1, users + 1)}
    seen: dict[int, set[int]] = {user: set() for user in last}
    found = []
    while len(found) < events:
        user = int(draws.integers(1, users + 1))
        last[user] = (last[user] + int(draws.integers(1, 4))) % posts
        if last[user] not in seen[user]:
            seen[user].add(last[user])
            found.append((user, last[user] + 1))
        if len(seen[user]) > posts // 2:
            seen[user].clear()
    return found


def post(post_id: int, **fields: Any) -> Post:
    return decode_post(msgspec.json.encode({"id": post_id, **fields}))


def test_what_users_do_next_is_found_before_it_is_learnt() -> None:
    model = small()
    model.learn_many(batch(*walks(1_500)))
    report = model.prequential.report()
    assert report["recall@10"] > 1.5 * report["by_source"]["popularity"]["recall@10"] > 0
    assert report["recall@10"] >= max(each["recall@10"] for each in report["by_source"].values()) - 0.05


def test_no_source_sees_its_own_target() -> None:
    """Posts are dealt out at random over the same events: nothing is better than to guess 10 of 60."""
    model, draws = small(), np.random.default_rng(5)
    dealt = draws.integers(1, 61, 1_500)
    model.learn_many(batch(*[(user, int(other)) for (user, _), other in zip(walks(1_500), dealt, strict=True)]))
    report = model.prequential.report()
    assert report["scored"] > 500
    for name, figures in [("blend", report), *report["by_source"].items()]:
        assert figures["recall@10"] < 0.45, name  # users have met half of the posts: 10 of some 30


def test_only_a_new_post_that_is_known_is_scored_for_a_user_with_a_positive() -> None:
    model = small()
    model.learn_many(batch((1, 10), (1, 11), (2, 10), (2, 11), (2, 11), (2, 10)))
    figures = model.prequential
    # 10 and 11 are met for the first time by 1; the first of 2 is of a user without a positive; the last two repeat.
    assert (figures.cold_items, figures.cold_users, figures.scored) == (2, 1, 1)


def test_what_is_not_positive_is_learnt_and_not_scored() -> None:
    model = small()
    events = [(1, 10), (2, 10), (1, 11), (2, 11)]
    model.learn_many(batch(*events, kind=VIEW, value=400))
    assert model.prequential.scored == model.prequential.cold_items == 0
    assert model.sources.table.total[model.sources.slots.get(10)] == 2


def test_a_dislike_takes_a_post_out_of_the_past() -> None:
    model = small()
    model.learn_many(batch((1, 10), (1, 11)))
    model.learn_many(batch((1, 11), kind=REPORT))
    slots = model.sources.slots
    assert model._past.of(model.users.get(1)).tolist() == [slots.get(10)]


def test_the_same_seed_learns_the_same() -> None:
    first, second, other = small(seed=7), small(seed=7), small(seed=8)
    for model in (first, second, other):
        model.learn_many(batch(*walks(300)))
    assert first.weights() == second.weights() != other.weights()
    np.testing.assert_array_equal(first.changed_vectors().records, second.changed_vectors().records)


def test_a_snapshot_brings_back_what_ranks() -> None:
    model, resumed = small(), small(seed=9)
    model.learn_many(batch(*walks(600)))
    model.changed_vectors()
    model.sources.ease.solve()  # as the one that resumes does
    resumed.load({name: array.copy() for name, array in model.state().items()})
    past, user = model._past.of(model.users.get(3)), model.users.get(3)
    np.testing.assert_array_equal(resumed._past.of(resumed.users.get(3)), past)
    hours = model._past.hours_of(user)
    np.testing.assert_array_equal(resumed._past.hours_of(user), hours)
    scores = [each.sources.score(past, user, AT, hours) for each in (resumed, model)]
    np.testing.assert_allclose(*scores, rtol=1e-6)
    assert resumed.weights() == model.weights()
    assert len(resumed.changed_vectors().ids) == len(model.sources.slots), "all of it is published again"
    resumed.learn_many(batch(*walks(100, seed=2), at=AT + 1e6))


def test_only_what_changed_is_published_and_a_deleted_post_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFRESHED", 0)
    model = small()
    model.learn_posts([(post_id, post(post_id)) for post_id in (10, 11)])
    model.learn_many(batch((1, 10), (1, 11), (2, 10)))
    assert model.changed_vectors().ids.tolist() == [10, 11]
    model.learn_many(batch((2, 11)))
    assert model.changed_vectors().ids.tolist() == [11]
    model.learn_posts([(10, None)])
    changed = model.changed_vectors()
    assert (changed.ids.tolist(), changed.gone.tolist()) == ([], [10])


def test_memory_is_bounded_and_the_newest_stay() -> None:
    model = small()
    model.learn_many(batch(*[(1 + number // 2 % 400, 1 + number // 2) for number in range(6_000)]))
    assert len(model.sources.slots) <= 512
    assert len(model.users) <= 128
    assert model.sources.slots.get(3_000) >= 0 > model.sources.slots.get(1)
    assert all(np.isfinite(array).all() for array in model.state().values() if array.dtype.kind == "f")


def test_content_finds_a_post_that_nobody_has_met() -> None:
    model = small()
    rows = [post(1, tags=["sport"]), post(2, tags=["sport"]), post(3, tags=["food"]), post(4, tags=["sport"])]
    model.learn_posts([(row.id, row) for row in rows])
    model.learn_many(batch((1, 1), (1, 2)))
    slots, tastes = model.sources.slots, module.sources.NAMES.index("tastes")
    user = model.users.get(1)
    scores = model.sources.score(model._past.of(user), user, AT, model._past.hours_of(user))[tastes]
    assert scores[slots.get(4)] > scores[slots.get(3)] == 0


def shown(user: int, at: float, *posts: int, position: int = 0, **outside: list[float]) -> Shown:
    packed = {name: np.array(values, "<f2").tobytes() for name, values in outside.items()}
    return Shown(user, at, position, [*posts], {}, packed)


def test_a_click_teaches_by_the_page_that_was_shown_and_not_by_the_list_that_might_have_been() -> None:
    model = small()
    model.learn_many(batch(*walks(300)))
    user, past = 3, model._past.of(model.users.get(3))
    unmet = [post for post in range(1, 61) if model.sources.slots.get(post) not in past][:6]
    model.learn_shown([shown(user, AT + 30_000, *unmet)])
    lists, scored = model.blend.lists, model.prequential.scored
    model.learn_many(batch((user, unmet[4]), at=AT + 30_010))
    assert (model.blend.lists, model.prequential.scored) == (lists + 1, scored + 1)
    features, chosen, weight = model.blend._ring[(model.blend.lists - 1) % len(model.blend._ring)]
    assert (len(features), chosen) == (6, 4)
    assert weight == pytest.approx(np.log2(6))
    model.learn_many(batch((user, unmet[5]), at=AT + 33_000))
    features, _, weight = model.blend._ring[(model.blend.lists - 1) % len(model.blend._ring)]
    assert (len(features) > 20, weight) == (True, 1.0), "half an hour later it is no click"
    shown_to, taken = model.sources.click_through.counts(model.sources.slots.find(np.array(unmet)))
    assert taken[:, WEEK].tolist() == [0, 0, 0, 0, 1, 0]
    np.testing.assert_allclose(shown_to[:, WEEK], 1 / np.log2(2 + np.arange(6)))
    assert model.metrics()["clicks"] == 1.0


def test_clicks_teach_how_far_to_trust_what_only_feeds_have() -> None:
    """`knows` puts first what the user takes next; `noise` says nothing. Both begin alike, and a restart keeps all."""
    model, draws = small(), np.random.default_rng(5)
    model.learn_many(batch(*walks(300)))
    unmet = [each for each in range(1, 61) if model.sources.slots.get(each) not in model._past.of(model.users.get(3))]
    assert decode_weights(model.weights()).outside == {}
    for turn, taken in enumerate(draws.permutation(unmet[:30]).tolist()):
        at = AT + 30_000 + 60 * turn
        page = draws.permutation([taken, *draws.choice([each for each in unmet if each != taken], 7, False)]).tolist()
        knows = [1.0 if each == taken else draws.normal(-1.0, 0.3) for each in page]
        model.learn_shown([shown(3, at, *page, knows=knows, noise=draws.normal(0.0, 1.0, 8).tolist())])
        model.learn_many(batch((3, taken), at=at + 10))
        if turn == 0:
            assert {*decode_weights(model.weights()).outside} == {"knows", "noise"}
    weights = decode_weights(model.weights()).outside
    assert weights["knows"] > 2 * START
    assert weights["noise"] < weights["knows"] - START, "thirty clicks: one that says nothing still wanders"
    metrics = model.metrics()
    assert {name: metrics[f"weight_{name}"] for name in weights} == weights
    resumed = small()
    resumed.load(model.state())
    assert decode_weights(resumed.weights()).outside == pytest.approx(weights)
    before = {name: column for name, column in model.state().items() if not name.startswith("outside/")}
    resumed = small()
    resumed.load(before)
    assert decode_weights(resumed.weights()).outside == {}, "a snapshot of before there were any begins anew"


def test_features_of_a_page_are_those_of_when_it_was_served() -> None:
    model, other = small(), small()
    for each in (model, other):
        each.learn_many(batch(*walks(300)))
    past = model._past.of(model.users.get(3))
    unmet = [post for post in range(1, 61) if model.sources.slots.get(post) not in past][:4]
    for each in (model, other):
        each.learn_shown([shown(3, AT + 30_000, *unmet)])
    # One of them sees much of what was shown watched before the click; what the blend learns is the same.
    model.learn_many(batch(*[(user, unmet[0]) for user in range(10, 30)], kind=VIEW, value=100, at=AT + 30_001))
    model.learn_many(batch((3, unmet[0]), kind=VIEW, value=100, at=AT + 30_002))
    for each in (model, other):
        each.learn_many(batch((3, unmet[1]), at=AT + 30_010))
    learnt, same = (each.blend._ring[(each.blend.lists - 1) % len(each.blend._ring)] for each in (model, other))
    np.testing.assert_array_equal(learnt[0], same[0])


def test_pages_of_strangers_and_of_posts_that_nobody_knows_are_kept_and_teach_nothing_yet() -> None:
    model = small()
    model.learn_posts([(post_id, post(post_id)) for post_id in (1, 2)])
    model.learn_shown([shown(9, AT, 1, 2, 70), shown(9, AT, 1, 2, 70)])
    changed = model.changed_vectors()
    assert changed.ids.tolist() == [1, 2], "feeds get to know how often posts were shown that nobody has met"
    assert changed.records["first_at"].tolist() == [0, 0]
    np.testing.assert_allclose(changed.records["shown"], np.tile([[1], [1 / np.log2(3)]], 3))
    model.learn_many(batch((9, 70), at=AT + 60))
    assert model.blend.lists == 0
    assert model.metrics()["clicks"] == 1.0


def test_what_was_shown_outlives_a_restart() -> None:
    model, resumed = small(), small()
    model.learn_posts([(post_id, post(post_id)) for post_id in (1, 2)])
    model.learn_shown([shown(9, AT, 1, 2)])
    resumed.load(model.state())
    slots = resumed.sources.slots.find(np.array([1, 2]))
    assert resumed.sources.click_through.counts(slots)[0].tolist() == [[1] * 3, [1 / np.log2(3)] * 3]
    before = {name: column for name, column in model.state().items() if "click_through" not in name}
    small().load(before)


def test_metrics_are_numbers_by_name() -> None:
    model = small()
    model.learn_many(batch(*walks(300)))
    metrics = model.metrics()
    assert metrics["scored"] > 0
    assert {"hit_rate", "drifts", "cold_user", "cold_item"} <= metrics.keys()
    figures = [f"{name}@{cut}" for name in ("recall", "ndcg", "mrr") for cut in (10, 20)]
    for name in ("", *(f"_{source}" for source in module.sources.NAMES)):
        assert {f"{figure}{name}" for figure in (*figures, "coverage", "mean_popularity_rank")} <= metrics.keys()
        assert f"weight{name}" in metrics or not name
    assert metrics["coverage_popularity"] <= metrics["coverage"] <= 1.0
    assert all(isinstance(value, float) for value in metrics.values())


def test_partitions_that_are_months_apart_in_time_make_no_infinities() -> None:
    model = small()
    for number, part in enumerate(np.array_split(np.array(walks(900)), 30)):
        months_ahead = 1e7 * (number % 2)
        model.learn_many(batch(*map(tuple, part.tolist()), at=AT + 1e4 * number + months_ahead))
        user = model.users.get(int(part[0][0]))
        _, _, features = model.candidates(
            user, AT + 1e4 * number, model.sources.table.known[: len(model.sources.slots)]
        )
        assert np.isfinite(features).all()
    assert model.blend.lists > 100
    assert np.isfinite(model.blend.linear).all()


def test_posts_of_one_date_are_a_day_apart_at_least() -> None:
    model = small()
    model.learn_posts([(number, post(number, created_at="2026-11-24T18:17:03.647Z")) for number in range(1, 61)])
    model.learn_many(batch(*walks(700)))
    assert model.sources.table.spread == 86_400.0
    assert model.weights()


def test_a_list_that_is_no_number_teaches_nothing() -> None:
    model = small()
    before = model.weights()
    features = np.zeros((3, len(model.blend.start)), np.float32)
    features[1, 4] = np.nan
    model.blend.learn_one(features, 0)
    assert model.weights() == before


def test_live_figures_are_of_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 100)
    model = small()
    model.learn_many(batch(*walks(600)))
    assert model.prequential.scored < 100
    assert 10 <= model.metrics()["scored"] <= 100
    assert model.metrics()["recall@10_sequence"] > 0


def test_a_fall_of_the_hit_rate_is_a_drift() -> None:
    from online_models.drift import HitRate

    rate, draws = HitRate(), np.random.default_rng(1)
    assert not any(rate.add(bool(draws.random() < 0.3)) for _ in range(3_000))
    assert any(rate.add(bool(draws.random() < 0.05)) for _ in range(1_000))
    assert rate.drifts >= 1


def test_figures_by_hand() -> None:
    figures = Prequential(["one"])
    for rank, shown in [(0.0, [1, 2]), (3.0, [2, 3]), (np.inf, [3])]:
        ranks = np.array([15.0, rank])
        shown, by = np.array([*shown, 4, 5]), np.array([1] * len(shown) + [0, 0])
        popularity = np.array([*[0.0, 4.0][: len(shown) - 2], 1.0, 2.0])
        figures.add(Ranked(AT, ranks, shown, by, popularity, int(rank == 0.0), 6))
    report = figures.report()
    assert report["recall@10"] == pytest.approx(2 / 3, abs=1e-4)
    assert report["ndcg@10"] == pytest.approx((1 + 1 / np.log2(5)) / 3, abs=1e-4)
    assert report["mrr@10"] == pytest.approx((1 + 1 / 4) / 3, abs=1e-4)
    assert (report["coverage"], report["mean_popularity_rank"]) == (0.5, 1.6)
    one = report["by_source"]["one"]
    assert (one["coverage"], one["mean_popularity_rank"]) == (round(2 / 6, 4), 1.5)
    assert report["by_source"]["one"]["recall@10"] == 0.0
    assert report["by_source"]["one"]["recall@20"] == 1.0


@pytest.mark.parametrize(
    ("rule", "reason"),
    [("dislike", "none of"), ("report", "none of"), ("view:x", "no number"), ("like:2", "have a value")],
)
def test_a_rule_that_is_none_is_refused(rule: str, reason: str) -> None:
    with pytest.raises(ReelstreamError, match=reason):
        Positives([rule])


def test_the_default_is_what_a_feed_wants() -> None:
    rules = Positives(DEFAULT)
    codes = np.array([VIEW, VIEW, LIKE, TYPE_CODES["rating"], TYPE_CODES["rating"], REPORT], np.int8)
    assert rules.of(codes, np.array([499, 500, 1000, 79_000, 80_000, 1000])).tolist() == [
        False, True, True, False, True, False,
    ]  # fmt: skip
