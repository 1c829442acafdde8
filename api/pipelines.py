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
from .sources.fresh import Fresh
from .sources.popular import Popular
from .sources.svd import Svd
from .sources.trending import Trending


def feed_pipeline(serving: Serving) -> CandidatePipeline:
    """`GET /api/v1/feed`. `algorithm_used` names sources in the order they have here."""
    return CandidatePipeline(
        query_hydrators=[UserStateHydrator(serving.redis, serving.settings)],
        sources=[CoVisitation(), Svd(), Trending(), Popular(), Fresh()],
        filters=[Unavailable(), Seen(), Excluded(), Category()],
        scorers=[Blend(serving.settings)],
        selector=Top(),
        side_effects=[Impressions(serving.producer, serving.settings, serving.metrics)],
        metrics=serving.metrics,
    )
