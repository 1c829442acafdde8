"""Experiments: who gets which variant, what is wrong with a file, and what a variant does to a feed."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from api import experiments
from api.candidate_pipeline import CandidatePipeline, Slate
from api.catalogue import Catalogue
from api.changes import Changes
from api.experiments import Experiment, Variant, assign, load_experiments
from api.metrics import Metrics
from api.routes import feed
from api.rules import load_rules
from api.scorers.blend import Blend
from api.scorers.mood import Mood
from api.scorers.rules import Rules
from api.scorers.source_weights import SourceWeights
from api.selector.exploration import Exploration
from api.selector.top import Top
from api.side_effects.impressions import _impression
from api.sources.fresh import Fresh
from api.sources.popular import Popular
from api.stages import EXPLORATION, Query
from schemas.errors import SettingsError
from schemas.item_state import ItemState
from schemas.parameters import FeedParameters
from schemas.posts import decode_post
from schemas.settings import Settings
from schemas.user_state import UserState

NOW = datetime(2026, 12, 1, 19, tzinfo=UTC).timestamp()
READERS = [f"user{number}" for number in range(20_000)]
FILE = """
[[experiments]]
name = "more-fresh"
share = 0.5
since = 2026-12-01
until = 2026-12-31

[[experiments.variants]]
name = "control"

[[experiments.variants]]
name = "fresh"
weight = 2
sources = { fresh = 3.0 }
rules = "others.toml"

[[experiments]]
name = "plain"
[[experiments.variants]]
name = "control"
[[experiments.variants]]
name = "plain"
exploration = false
"""


def experiment(**fields: object) -> Experiment:
    variants = [Variant(name="a"), Variant(name="b", weight=3.0)]
    return Experiment(**{"name": "e", "variants": variants, **fields})  # type: ignore[arg-type]


def test_readers_are_dealt_by_share_and_weight_and_keep_their_variant() -> None:
    half, whole = experiment(share=0.5), experiment()
    dealt = {reader: half.variant_of(reader) for reader in READERS}
    counts = Counter("" if variant is None else variant.name for variant in dealt.values())
    assert counts[""] == pytest.approx(10_000, abs=300)
    assert counts["a"] == pytest.approx(2_500, abs=200)
    for reader, variant in dealt.items():
        if variant is not None:  # more traffic moves nobody who takes part already
            assert whole.variant_of(reader) == variant


def test_experiments_deal_their_readers_independently_and_a_salt_deals_anew() -> None:
    for other in (experiment(name="f"), experiment(salt="2")):
        both = Counter(
            (experiment().variant_of(reader) == Variant(name="a"), other.variant_of(reader) == Variant(name="a"))
            for reader in READERS
        )
        assert both[True, True] == pytest.approx(20_000 / 16, abs=150)


def test_a_reader_has_a_variant_of_each_experiment_that_holds(tmp_path: Path) -> None:
    (tmp_path / "experiments.toml").write_text(FILE)
    found = load_experiments(tmp_path / "experiments.toml")
    labels = Counter(assign(found, reader, NOW)[0] for reader in READERS)
    assert labels["more-fresh=fresh,plain=plain"] == pytest.approx(20_000 / 6, abs=300)
    assert labels["plain=control"] == pytest.approx(5_000, abs=300)
    after = {assign(found, reader, NOW + 31 * 86_400)[0] for reader in READERS}
    assert after == {"plain=control", "plain=plain"}
    changes = next(c for label, c in (assign(found, r, NOW) for r in READERS) if label.endswith("fresh,plain=plain"))
    assert changes == Changes(sources={"fresh": 3.0}, exploration=False, rules=str(tmp_path / "others.toml"))
    assert assign((), "u", NOW) == ("default", Changes())
    assert load_experiments(None) == ()


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("share = 0.5", "share = 1.5", "share"),
        ('name = "fresh"', 'name = "a=b"', "name"),
        ('name = "fresh"', 'name = "control"', "two variants have the same name"),
        ("until = 2026-12-31", "until = 2026-11-30", "until is before since"),
        ("exploration = false", "explore = false", "explore"),
        ("exploration = false", "sources = { fresh = 0.0 }", "both change sources.fresh; make one experiment"),
        ('name = "plain"\n[[', 'name = "more-fresh"\n[[', "more-fresh is there twice"),
        ("[[experiments]]", "[[experiments", "EXPERIMENTS_PATH"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, before: str, after: str, why: str) -> None:
    assert before in FILE
    file = tmp_path / "experiments.toml"
    file.write_text(FILE.replace(before, after, 1))
    with pytest.raises(SettingsError, match="EXPERIMENTS_PATH") as refused:
        load_experiments(file)
    assert why in str(refused.value)


def test_experiments_that_change_the_same_may_follow_each_other(tmp_path: Path) -> None:
    second = FILE.replace('"plain"', '"later"').replace("exploration = false", "sources = { fresh = 0.0 }")
    file = tmp_path / "experiments.toml"
    file.write_text(second.replace('name = "later"\n[[', 'name = "later"\nsince = 2027-01-01\n[[', 1))
    assert [each.name for each in load_experiments(file)] == ["more-fresh", "later"]


def test_what_there_is_none_of_is_refused_at_the_start(tmp_path: Path) -> None:
    for changed, why in (
        ({"sources": {"luck": 2.0}}, "no source 'luck'; there are popular"),
        ({"scorers": {"luck": 2.0}}, "no scorer 'luck'; there are blend"),
        ({"rules": str(tmp_path / "none.toml")}, "can't be read"),
    ):
        tried = experiment(variants=[Variant(name="a"), Variant(name="b", **changed)])  # type: ignore[arg-type]
        with pytest.raises(SettingsError) as refused:
            experiments.check([tried], ["popular"], ["blend"])
        assert why in str(refused.value)


@pytest.fixture
def catalogue() -> Catalogue:
    """Posts 1 to 60: the lower the id the more popular, the higher the newer; 20 is calm, 21 funny."""
    catalogue = Catalogue()
    for post_id in range(1, 61):
        tags = {20: ["zen"], 21: ["comedy"]}.get(post_id, [])
        row = {"id": post_id, "created_at": (NOW - (61 - post_id) * 86_400) * 1000, "tags": tags, "username": "ann"}
        catalogue.set_row(post_id, decode_post(msgspec.json.encode(row)))
        catalogue.set_states([post_id], [ItemState(decayed=[100.0 / post_id] * 3, at=NOW)])
    return catalogue


async def served(catalogue: Catalogue, changes: Changes, events: int = 0) -> tuple[list[int], Slate, Query]:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    pipeline = CandidatePipeline(
        [], [Popular(), Fresh()], [], [SourceWeights(), Blend(settings), Mood(settings), Rules(())],
        Exploration(Top()), [], Metrics(),
    )  # fmt: skip
    query = Query("u", NOW, catalogue, changes=changes, seed=1, page_size=10, state=UserState(events=events))
    slate = await pipeline.run(query)
    assert not slate.degraded
    return catalogue.ids[slate.slots].tolist(), slate, query


async def test_a_variant_changes_sources_scorers_exploration_and_rules(catalogue: Catalogue, tmp_path: Path) -> None:
    plain, slate, _ = await served(catalogue, Changes(exploration=False))
    assert not any(EXPLORATION in sources for sources in slate.sources)
    _, slate, _ = await served(catalogue, Changes())
    assert sum(EXPLORATION in sources for sources in slate.sources) == 1

    only_fresh, slate, _ = await served(catalogue, Changes(exploration=False, sources={"popular": 0.0}))
    assert only_fresh[:2] == [21, 60]  # that of the mood of the hour, and the newest
    assert only_fresh != plain
    assert not any("popular" in sources for sources in slate.sources)
    funny, _, _ = await served(catalogue, Changes(exploration=False, scorers={"mood": 10.0}))
    assert funny[0] == 21  # what goes with the evening
    assert 21 not in (await served(catalogue, Changes(exploration=False, scorers={"mood": 0.0})))[0][:3]

    (tmp_path / "rules.toml").write_text(
        '[[rules]]\nname = "first"\nauthor = "ann"\nolder_than_days = 59.5\npin = true\n'
    )
    load_rules(tmp_path / "rules.toml")
    pinned, _, _ = await served(catalogue, Changes(exploration=False, rules=str(tmp_path / "rules.toml")))
    assert pinned[0] == 1


def test_what_does_not_know_the_user_fades_with_each_event_and_a_variant_says_how_fast(catalogue: Catalogue) -> None:
    def of(events: int, **fields: int) -> float:
        state = UserState(events=events)
        return Query("u", NOW, catalogue, state=state, changes=Changes(**fields)).coldness(5)  # type: ignore[arg-type]

    by_events = np.array([of(events) for events in range(200)])
    assert (by_events[0], by_events[5]) == (1.0, 0.5)
    steps = -np.diff(by_events)
    assert (steps > 0).all()
    assert (np.diff(steps) < 0).all()  # no switch: each event takes less than the one before
    assert steps[4] < 0.06
    assert [of(20, cold_start_threshold=20), of(0, cold_start_threshold=0), of(1, cold_start_threshold=0)] == [
        0.5,
        1,
        0,
    ]


def test_a_request_gets_the_changes_of_its_reader_and_what_it_names_itself_holds(catalogue: Catalogue) -> None:
    everybody = experiment(variants=[Variant(name="a", diversity=0.3), Variant(name="b", diversity=0.3)])
    serving: Any = SimpleNamespace(
        mirror=SimpleNamespace(catalogue=catalogue), models=SimpleNamespace(vectors={}), experiments=(everybody,),
        factors=SimpleNamespace(of=lambda _: None), settings=Settings(_env_file=None),  # type: ignore[call-arg]
    )  # fmt: skip
    asked = feed._query(serving, FeedParameters(username="ada"))
    assert asked.variant == assign([everybody], "ada", NOW)[0]
    assert asked.diversity == 0.3
    assert feed._query(serving, FeedParameters(username="ada", diversity=0.0)).diversity == 0.0
    guest = feed._query(serving, FeedParameters(session_id="a visit"))
    assert guest.variant == assign([everybody], "a visit", NOW)[0]
    shown = _impression(asked, Slate(np.empty(0, np.int64), np.empty(0), [], "", 0, {}, []))
    assert shown.variant == asked.variant
