"""How much each source counts, where an experiment changes it."""

from ..stages import Candidates, Query, Scores


class SourceWeights:
    """Multiplies value and rank of candidates with a source by the factor that the reader's variant has for it, for all
    scorers behind. What a silenced source alone offers stays a candidate, with nothing that speaks for it."""

    name = "source_weights"

    def score(self, query: Query, candidates: Candidates, scores: Scores) -> Scores:
        for name, factor in query.changes.sources.items():
            column = candidates.names.index(name)
            candidates.features[:, 2 * column : 2 * column + 2] *= factor
            if not factor:
                candidates.taken[:, column] = False
        return scores
