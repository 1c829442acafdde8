"""The model: what users, posts and the record have to be, computed from the log in the plainest way.

Only what co-visitation learns from an event (its gain and context) is taken from online_models.user_history; counts,
histories, seen sets and exclusions are computed here on their own.
"""

from bisect import insort_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiokafka import ConsumerRecord

from online_models import user_history
from online_models.co_visitation import BACKWARD, DECAY, CoVisitation, growth
from online_models.decayed_counters import HALF_LIVES
from schemas.errors import ContractError
from schemas.events import DEFAULT_WEIGHTS, INTERACTION_TYPES, NEGATIVE_TYPES, strength
from schemas.posts import Post, decode_posts
from schemas.user_state import HISTORY_LENGTH, REACTIONS_LENGTH, HistoryEvent, UserState, reaction_key

from .log import Entry, Place, home

NEGATIVE_CODES = frozenset(code for code, name in enumerate(INTERACTION_TYPES) if name in NEGATIVE_TYPES)
MEASURED_CODES = frozenset(code for code, name in enumerate(INTERACTION_TYPES) if name in ("view", "rating"))


@dataclass
class ExpectedUser:
    """left: reaction keys of what left the history because it was full, oldest first; they stand all the same."""

    events: int = 0
    history: list[HistoryEvent] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    excluded: set[int] = field(default_factory=set)
    left: list[int] = field(default_factory=list)

    @property
    def standing(self) -> Counter[int]:
        """reaction key → how many of it stand."""
        kept = [reaction_key(past.post_id, past.type_code) for past in self.history if _is_reaction(past)]
        return Counter(kept + self.left)

    def take(self, event: HistoryEvent) -> int:
        """Applies an event. Returns 1, -1 for a take-back of what stands, 0 for one of what doesn't."""
        self.events += 1
        if _is_reaction(event) and event.value_milli == 0:
            return self._take_back(event)
        insort_right(self.history, event)
        (self.excluded if event.type_code in NEGATIVE_CODES else self.seen).add(event.post_id)
        if len(self.history) > HISTORY_LENGTH:
            oldest = self.history.pop(0)
            if _is_reaction(oldest):
                self.left = [*self.left, reaction_key(oldest.post_id, oldest.type_code)][-REACTIONS_LENGTH:]
        return 1

    def _take_back(self, event: HistoryEvent) -> int:
        key = reaction_key(event.post_id, event.type_code)
        same = [place for place, past in enumerate(self.history) if past[1:3] == event[1:3]]
        if same:
            del self.history[same[-1]]
        elif key in self.left:
            del self.left[len(self.left) - 1 - self.left[::-1].index(key)]
        else:
            return 0
        negative = {reaction_key(event.post_id, code) for code in NEGATIVE_CODES}
        if key in negative and not negative & self.standing.keys():
            self.excluded.discard(event.post_id)
        return -1


def _is_reaction(event: HistoryEvent) -> bool:
    """Whether it can be taken back, or takes back."""
    return event.type_code not in MEASURED_CODES


@dataclass
class ExpectedPost:
    """counts: type code → how many stand, for every type that was ever counted. gains: event time, what it added."""

    counts: Counter[int] = field(default_factory=Counter)
    gains: list[tuple[float, float]] = field(default_factory=list)
    row: Post | None = None

    @property
    def at(self) -> float:
        return max((at for at, _ in self.gains), default=0.0)

    def decayed(self, absolute: bool = False) -> list[float]:
        """The decayed sums as of `at`; absolute: of what was added and taken away alike, the scale of rounding."""
        newest = self.at
        return [
            sum((abs(gain) if absolute else gain) * 2.0 ** ((at - newest) / half) for at, gain in self.gains)
            for half in HALF_LIVES
        ]


@dataclass
class Expected:
    """rows: (username, event id) → the entry whose row PostgreSQL has. evidence: post → neighbour → all its weight."""

    users: dict[str, ExpectedUser]
    posts: dict[int, ExpectedPost]
    co_visitation: CoVisitation
    evidence: dict[int, dict[int, float]]
    rows: dict[tuple[str, str], Entry]


def expect(found: Iterable[Entry], post_records: Iterable[ConsumerRecord], refused: set[Place]) -> Expected:
    """found: the events of the log, each partition's in its order, and the partitions in about the order of time.

    Refused rows of posts are added to `refused`.
    """
    users: dict[str, ExpectedUser] = defaultdict(ExpectedUser)
    states: dict[str, UserState] = defaultdict(UserState)
    posts: dict[int, ExpectedPost] = defaultdict(ExpectedPost)
    co_visitation = CoVisitation()
    evidence: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    rows: dict[tuple[str, str], Entry] = {}
    for entry in found:
        if not home(entry) or entry.name in rows:
            continue
        rows[entry.name] = entry
        event = entry.event
        past = HistoryEvent(round(entry.at * 1000), event.post_id, entry.code, round(entry.value * 1000))
        delta = users[event.username].take(past)
        effect = user_history.learn_one(states[event.username], past, DEFAULT_WEIGHTS)
        if delta:
            post = posts[event.post_id]
            post.counts[entry.code] += delta
            weight = strength(event.interaction_type, past.value, DEFAULT_WEIGHTS)
            post.gains.append((entry.at, delta * max(weight, 0.0)))
        if effect.gain > 0:
            co_visitation.learn_one(event.post_id, effect.context, effect.gain, entry.at)
            for rank, before in enumerate(effect.context):
                weight = effect.gain * growth(entry.at) * DECAY**rank
                evidence[before][event.post_id] += weight
                evidence[event.post_id][before] += BACKWARD * weight
    for record in post_records:
        _take_rows(record, posts, refused)
    return Expected(dict(users), dict(posts), co_visitation, evidence, rows)


def _take_rows(record: ConsumerRecord, posts: dict[int, ExpectedPost], refused: set[Place]) -> None:
    place = record.topic, record.partition, record.offset
    if record.value is None:
        if (record.key or b"").isdigit():
            posts[int(record.key)].row = None
        else:
            refused.add((*place, 0))
        return
    try:
        rows = decode_posts(record.value)
    except ContractError:
        refused.add((*place, 0))
        return
    for index, row in enumerate(rows):
        if isinstance(row, ContractError):
            refused.add((*place, index))
        else:
            posts[row.id].row = row
