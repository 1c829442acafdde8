"""What a feed is made of, in order. A new part is one file and one line here."""

from schemas.settings import Settings

from . import experiments
from .candidate_pipeline import CandidatePipeline
from .explainers.contributions import Contributions
from .explainers.history import History
from .explainers.tastes import Tastes as TasteMatches
from .filters.age import Age
from .filters.author_muted import AuthorMuted
from .filters.blocked import Blocked
from .filters.category import Category
from .filters.deleted import Deleted
from .filters.excluded import Excluded
from .filters.locked import Locked
from .filters.mood import Mood as OfMood
from .filters.not_interested import NotInterested
from .filters.not_public import NotPublic
from .filters.project import Project
from .filters.seen import Seen
from .filters.served import Served
from .query_hydrators.user_state import UserStateHydrator
from .ranked_lists import RankedLists
from .rules import Rule, load_rules
from .scorers.blend import Blend
from .scorers.mood import Mood as MoodBonus
from .scorers.ranker import Ranker
from .scorers.rules import Rules
from .scorers.source_weights import SourceWeights
from .selector.exploration import Exploration
from .selector.mmr import Mmr
from .selector.top import Top
from .serving import Serving
from .side_effects.impressions import Impressions
from .sources.co_visitation import CoVisitation
from .sources.collaborative import Collaborative
from .sources.content import Content
from .sources.deep import Deep
from .sources.ease import Ease
from .sources.factors import Factors
from .sources.fresh import Fresh
from .sources.graph import Graph
from .sources.mood import Mood
from .sources.next import Next
from .sources.popular import Popular
from .sources.popularity import Popularity
from .sources.rules import RuleSource
from .sources.segment import Segment
from .sources.sequence import Sequence
from .sources.svd import Svd
from .sources.taste_factors import TasteFactors
from .sources.tastes import Tastes
from .sources.trending import Trending
from .sources.trending_1h import TrendingHour
from .stages import Filter, Source


def feed_sources(rules: tuple[Rule, ...] = ()) -> list[Source]:
    """Of a feed. Those that only the learner has offer something once it published, to users with a past."""
    return [
        CoVisitation(), Ease(), Next(), Sequence(), TasteFactors(), Factors(), Tastes(), Svd(), Collaborative(),
        Graph(), Deep(), Content(), TrendingHour(), Trending(), Popular(), Popularity(), Fresh(), Segment(), Mood(),
        RuleSource(rules),
    ]  # fmt: skip


def reader_filters(settings: Settings) -> list[Filter]:
    """Wherever posts are shown: what is not there for anybody, and what is not for this reader."""
    return [
        Deleted(), Locked(), NotPublic(), Age(settings), NotInterested(), AuthorMuted(), Blocked(), Category(),
        Project(),
    ]  # fmt: skip


def feed_pipeline(serving: Serving) -> CandidatePipeline:
    """`GET /api/v1/feed`. `algorithm_used` names sources in the order they have here."""
    rules = load_rules(serving.settings.rules_path)
    sources, blend = feed_sources(rules), Blend(serving.settings)
    experiments.check(serving.experiments, [source.name for source in sources], [Blend.name, MoodBonus.name])
    return CandidatePipeline(
        query_hydrators=[UserStateHydrator(serving.reads, serving.settings)],
        sources=sources,
        filters=[*reader_filters(serving.settings), Seen(), Served(), Excluded(), OfMood()],
        scorers=[SourceWeights(), blend, Ranker(serving.settings), MoodBonus(serving.settings), Rules(rules)],
        selector=Exploration(Mmr(Top())),
        side_effects=[Impressions(serving.producer, serving.settings, serving.metrics)],
        metrics=serving.metrics,
        lists=RankedLists(serving.metrics),
        explainers=[History(), TasteMatches(), Contributions(blend)],
    )


def list_pipeline(serving: Serving) -> CandidatePipeline:
    """`GET /api/v1/trending` and `/similar`, which rank by themselves: only what a reader may see."""
    return CandidatePipeline(
        query_hydrators=[UserStateHydrator(serving.reads, serving.settings)],
        sources=[],
        filters=reader_filters(serving.settings),
        scorers=[],
        selector=Top(),
        side_effects=[],
        metrics=serving.metrics,
    )
