"""What a feed is made of, in order. A new part is one file and one line here."""

from .candidate_pipeline import CandidatePipeline
from .filters.category import Category
from .filters.excluded import Excluded
from .filters.seen import Seen
from .filters.unavailable import Unavailable
from .query_hydrators.user_state import UserStateHydrator
from .scorers.blend import Blend
from .selector.top import Top
from .serving import Serving
from .side_effects.impressions import Impressions
from .sources.co_visitation import CoVisitation
from .sources.deep import Deep
from .sources.factors import Factors
from .sources.fresh import Fresh
from .sources.next import Next
from .sources.popular import Popular
from .sources.popularity import Popularity
from .sources.profile import Profile
from .sources.sequence import Sequence
from .sources.svd import Svd
from .sources.taste_factors import TasteFactors
from .sources.tastes import Tastes
from .sources.trending import Trending
from .sources.trending_1h import TrendingHour
from .stages import Source


def feed_sources() -> list[Source]:
    """Of a feed. Those that only the learner has offer something once it published, to users with a past."""
    return [
        CoVisitation(), Profile(), Next(), Sequence(), TasteFactors(), Factors(), Tastes(), Svd(), Deep(),
        TrendingHour(), Trending(), Popular(), Popularity(), Fresh(),
    ]  # fmt: skip


def feed_pipeline(serving: Serving) -> CandidatePipeline:
    """`GET /api/v1/feed`. `algorithm_used` names sources in the order they have here."""
    return CandidatePipeline(
        query_hydrators=[UserStateHydrator(serving.redis, serving.settings)],
        sources=feed_sources(),
        filters=[Unavailable(), Seen(), Excluded(), Category()],
        scorers=[Blend(serving.settings)],
        selector=Top(),
        side_effects=[Impressions(serving.producer, serving.settings, serving.metrics)],
        metrics=serving.metrics,
    )
