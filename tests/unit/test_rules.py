"""Business rules: what they fit, what they do to a feed, and what is wrong with a file."""

from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest

from api.candidate_pipeline import CandidatePipeline
from api.catalogue import Catalogue
from api.metrics import Metrics
from api.rules import Rule, load_rules
from api.scorers.blend import Blend
from api.scorers.rules import Rules
from api.selector.mmr import Mmr
from api.selector.top import Top
from api.sources.popular import Popular
from api.sources.rules import RuleSource
from api.stages import Query
from schemas.errors import SettingsError
from schemas.item_state import ItemState
from schemas.posts import decode_post
from schemas.settings import Settings

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()
POSTS = 200


@pytest.fixture
def catalogue() -> Catalogue:
    """Posts 1 to POSTS, a day older each; the lower the id, the more popular."""
    catalogue = Catalogue()
    for post_id in range(1, POSTS + 1):
        row = {
            "id": post_id, "category": {"id": post_id % 3, "name": f"C {post_id % 3}"}, "username": f"A{post_id % 5}",
            "tags": ["Rare"] if post_id % 50 == 0 else [], "created_at": (NOW - post_id * 86_400) * 1000,
        }  # fmt: skip
        catalogue.set_row(post_id, decode_post(msgspec.json.encode(row)))
        catalogue.set_states([post_id], [ItemState(decayed=[1000.0 / post_id] * 3, at=NOW)])
    return catalogue


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (Rule(name="r", factor=2, category="c-1"), lambda i: i % 3 == 1),
        (Rule(name="r", factor=2, project="2"), lambda i: i % 3 == 2),
        (Rule(name="r", factor=2, author="a4"), lambda i: i % 5 == 4),
        (Rule(name="r", factor=2, author="nobody"), lambda i: False),
        (Rule(name="r", factor=2, tag="rare", older_than_days=99.5), lambda i: i % 50 == 0 and i >= 100),
        (Rule(name="r", factor=2, newer_than_days=2.5, author="a1"), lambda i: i == 1),
    ],
)
def test_a_rule_fits_posts_that_have_all_it_names(catalogue: Catalogue, rule: Rule, fits: object) -> None:
    mask = rule.fits(catalogue, np.arange(POSTS), NOW)
    assert catalogue.ids[:POSTS][mask].tolist() == [i for i in range(1, POSTS + 1) if fits(i)]  # type: ignore[operator]


def test_a_rule_holds_from_its_first_day_to_its_last() -> None:
    rule = Rule(name="r", factor=2, tag="t", since=date(2026, 12, 1), until=date(2026, 12, 2))
    days = [rule.holds(NOW + day * 86_400) for day in (-1, 0, 1, 2)]
    assert days == [False, True, True, False]


@pytest.mark.parametrize("diversity", [0.0, 0.4])
async def test_feeds_boost_bury_and_pin_even_what_no_other_source_has(catalogue: Catalogue, diversity: float) -> None:
    async def top(*rules: Rule) -> list[int]:
        feed = CandidatePipeline(
            [], [Popular(), RuleSource(rules)], [], [Blend(Settings(_env_file=None)), Rules(rules)], Mmr(Top()), [],
            Metrics(),
        )  # fmt: skip
        query = Query("u", NOW, catalogue, page_size=10, explain=True, diversity=diversity)
        slate = await feed.run(query)
        assert slate.degraded == []
        names = {name for slot in slate.slots.tolist() for name in query.rules.get(slot, [])}
        assert names <= {rule.name for rule in rules}
        return catalogue.ids[slate.slots].tolist()

    plain = await top()
    pinned = await top(Rule(name="pin", pin=True, tag="rare", older_than_days=170))
    assert pinned[0] == 200
    assert sum(i % 5 == 4 for i in await top(Rule(name="boost", factor=20, author="A4"))) > sum(
        i % 5 == 4 for i in plain
    )
    assert all(i % 3 for i in await top(Rule(name="bury", factor=0.01, category="C 0")))
    gone = Rule(name="over", pin=True, tag="rare", until=date(2026, 11, 30))
    assert await top(gone) == plain


def test_a_file_has_rules_or_says_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[rules]]\nname = "spring"\ntag = "run"\nfactor = 2.5\nsince = 2026-03-01\n')
    [rule] = load_rules(file)
    assert (rule.tag, rule.factor, rule.since) == ("run", 2.5, date(2026, 3, 1))
    assert load_rules(None) == ()
    for number, (text, why) in enumerate(
        {
            "rules = 1": "Expected `array`",
            "[[rules]\n": "has no",
            '[[rules]]\nname = "all"\nfactor = 2\n': "fits everything",
            '[[rules]]\nname = "none"\ntag = "x"\n': "needs a factor other than 1",
            '[[rules]]\nname = "x"\ntag = "x"\nfactor = 0\n': "> 0.0",
            '[[rules]]\nname = "x"\ntag = "x"\nfacter = 2\n': "unknown field `facter`",
        }.items()
    ):
        wrong = tmp_path / f"{number}.toml"
        wrong.write_text(text)
        with pytest.raises(SettingsError, match=why) as refused:
            load_rules(wrong)
        assert "RULES_PATH" in str(refused.value)
    with pytest.raises(SettingsError, match="can't be read"):
        load_rules(tmp_path / "missing.toml")
