"""The global online models behind one class: what the learner teaches, publishes and resumes from.

Test, then learn: a positive on a post that the user had not met is first ranked by every source and by the blend, as a
feed would have ranked it then; then the blend learns from the page that showed it, or, if none is known, from the list
that was ranked; then the sources learn the event. `reelstream evaluate online` runs this very class.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas import learnt
from schemas.events import INTERACTION_TYPES
from schemas.learning import LearningBatch, Shown, is_guest_hash
from schemas.posts import Post

from . import aversion, sources
from .admission import Doorkeeper
from .blend import Blend
from .candidates import NO_SLOTS, Candidates
from .click_through import PRIOR, WEEK
from .co_visitation import growth
from .contexts import distinct_contexts
from .drift import HitRate
from .explicit_ratings import ExplicitRatings
from .features import FEATURES, GATES, OTHERS, START_WEIGHTS, others
from .feed_rates import FeedRates
from .moved_vectors import MovedVectors
from .outside_sources import OutsideSources
from .positives import Positives
from .post_logs import post_logs
from .prequential import SHOWN, Prequential, Ranked
from .readers import Readers
from .shown_lists import Click, Page, ShownLists
from .side_features import side_features
from .source_scores import hour_of
from .sources import Sources
from .tested_lists import first, ranks_of

NO_POSTS = np.empty(0, np.int64)
MOST_POSTS, MOST_USERS = 100_000, 50_000
"""Users: 1 KB each, beyond which those who were away longest are strangers again."""
SAMPLE = 0.25
"""Share of the positives that are ranked live: 1 ms each, where learning an event takes .1."""
WINDOW = 10_000
"""Positives that live figures are of; those of the window before are told until a tenth of the next is there."""
REFRESHED = 1_000
"""Posts published each time because their vectors moved, although nobody came to them: .8 MB. 10,000 posts have all
had their turn after 10 s."""
DESCRIBED = 10
"""Pages of which features are kept, of those that come together: 1 ms each. A hundred a second teach enough."""
_RATING = INTERACTION_TYPES.index("rating")


class Changed(NamedTuple):
    """ids (n,) of posts and their records (n,), as in schemas.learnt; gone (g,): posts that have none any more.

    users (u,): hashes, and their vectors own (u, dim + RATING), float16 (schemas.learnt.encode_user); strangers (s,):
    users who have none any more. ease: the last solution (schemas.ease), empty unless it is new.
    """

    ids: NDArray[np.int64]
    records: NDArray[np.void]
    gone: NDArray[np.int64] = NO_POSTS
    users: NDArray[np.int64] = NO_POSTS
    own: NDArray[np.float16] = np.empty((0, 0), np.float16)
    strangers: NDArray[np.int64] = NO_POSTS
    ease: bytes = b""


class Recommender:
    """CPU work, called in a thread, one call at a time.

    positives: what is tested. sample: share of it.
    """

    def __init__(
        self, positives: Positives | None = None, sample: float = SAMPLE, capacity: int = MOST_POSTS,
        users: int = MOST_USERS, seed: int = 1,
    ) -> None:  # fmt: skip
        self.positives = positives or Positives()
        self.sample = sample
        self.sources = Sources(capacity, users, seed)
        self.blend = Blend(START_WEIGHTS, seed + 3, GATES)
        self.outside = OutsideSources()
        self.shown = ShownLists()
        self.feed_rates = FeedRates()
        self.clicks = 0
        self.hit_rate = HitRate()
        self.prequential = Prequential(sources.NAMES)
        self._former: dict[str, object] | None = None
        self.users = self.sources.factors.user_slots
        self.readers = Readers(self.users)
        self._past = self.readers.past
        self._door: Doorkeeper[Post] = Doorkeeper()
        self.ratings = ExplicitRatings(users, capacity, seed + 5)
        self._moved = MovedVectors(*self.sources.factors.own.shape)
        self._random = np.random.default_rng(seed)
        self._changed: set[int] = set()
        self._gone: set[int] = set()
        self._changed_users: set[int] = set()
        self._stale, self._turn = 0, 0

    def learn_posts(self, rows: Sequence[tuple[int, Post | None]]) -> None:
        """A row of each post; None deletes it."""
        for post_id, post in rows:
            if post is not None and (self.sources.slots.get(post_id) >= 0 or not self.sources.slots.crowded):
                self.sources.describe(self._admit(post_id), post)
            elif post is not None:
                self._door.note(post_id, post)  # until somebody comes to it
                continue
            self._door.leave(post_id)
            if post is None and (slot := self.sources.slots.release(post_id)) >= 0:
                self.sources.table.start(slot)
                self._gone.add(post_id)
                self._changed.discard(post_id)

    def learn_shown(self, pages: Sequence[Shown]) -> None:
        """Pages as they were served, before anything that follows from them."""
        described = 0
        for shown in pages:
            page = Page(shown.at, shown.position, array("q", shown.posts), shown.sources)
            if not self.shown.open(shown.user, page):
                continue
            self.feed_rates.add_page(page)
            slots = self.sources.slots.find(np.array(shown.posts))
            self.sources.click_through.learn_shown(slots, shown.position, shown.at)
            known = slots[slots >= 0]
            few = self.sources.click_through.counts(known)[0][:, WEEK] < PRIOR  # others may wait until it is their turn
            self._changed.update(self.sources.slots.ids[known[few]].tolist())
            if described < DESCRIBED:
                described += self._describe(shown, page, slots)
        self._stale = self.sources.slots.size

    def _describe(self, shown: Shown, page: Page, slots: NDArray[np.int32]) -> bool:
        """Keeps features of the posts of a page, for a user that the blend ranks for; those that the user has met since
        would look as if it had known."""
        user = self.users.get(shown.user)  # not of those who pass: the blend does not learn from them
        past = self._past.of(user) if user >= 0 else NO_SLOTS
        places = np.flatnonzero((slots >= 0) & ~np.isin(slots, past))
        if not len(past) or len(places) < 2:
            return False
        allowed = self.sources.table.known[: self.sources.slots.size].copy()
        allowed[past] = False
        _, found, features = self.candidates(user, page.at, allowed, slots[places])
        self.shown.describe(shown.user, page, places, features[found.places[slots[places]]], shown.outside_at(places))
        return True

    def learn_many(self, batch: LearningBatch, met: Callable[[int], NDArray[np.int64]] | None = None) -> None:
        """Tests, then learns, in order. met: the posts that the user of an event had met, by the event's number in the
        batch; without it, those among the last posts that are remembered."""
        starts, contexts = distinct_contexts(batch)
        glad = self.positives.of(batch.type_code, batch.value_milli)
        positive = glad & (batch.delta > 0) & batch.new
        negative, averse = aversion.NEGATIVE[batch.type_code], aversion.dislikes(batch.type_code, batch.value_milli)
        ratings = batch.type_code == _RATING
        values = np.where(ratings, batch.value_milli / 100_000, np.minimum(batch.value_milli / 1000, 1.0))
        columns = (batch.user, batch.post_id, batch.at, batch.delta, batch.weight, batch.gain, batch.new, batch.events)
        for number, (user_id, post_id, at, delta, weight, gain, new, events) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        ):
            user = self._user(user_id, contexts[starts[number] : starts[number + 1]])
            slot = self.sources.slots.get(post_id)
            if delta < 0:
                if negative[number]:
                    self._past.make_up(user, slot)
                continue
            if ratings[number] and not is_guest_hash(user_id):
                self.ratings.learn_one(user_id, post_id, float(values[number]))
            if negative[number]:
                self._past.drop(user, slot)
                if slot >= 0:
                    self._past.turn_against(user, slot)
                continue
            click = self.shown.take(user_id, post_id, at) if glad[number] else None
            own = self.readers.owns(user)
            if positive[number] and own:
                if not (slot >= 0 and self.sources.table.known[slot]):
                    self.prequential.cold_items += 1
                elif not self.readers.liked[user]:
                    self.prequential.cold_users += 1
                elif self._random.random() < self.sample:
                    self._test(user, slot, at, events, met(number) if met is not None else None, click is None)
                self.readers.liked[user] = True
            if (slot := self._admit(post_id)) < 0:
                continue
            if click is not None:
                self._learn_click(slot, click)
            past = self._past.of(user)
            self.sources.learn(slot, past, user if own else -1, at, gain, weight, float(values[number]), new)
            self._changed.add(post_id)
            if own:
                self._changed_users.add(user_id)
            self._past.add(user, slot, bool(glad[number]), hour_of(at))
            if averse[number]:
                self._past.turn_against(user, slot)
            self.readers.last_at[user] = at
        self.sources.catch_up()
        self._stale = self.sources.slots.size

    def _user(self, user_id: int, context: NDArray[np.int64]) -> int:
        """The row of a user; of one who is new, with the past that the event tells."""
        user, new = self.readers.enter(user_id)
        if new:
            slots = self.sources.slots.find(context)
            self.readers.start(user, slots[slots >= 0])
            if self.readers.owns(user):
                self.sources.start_user(user)
        return user

    def _admit(self, post_id: int) -> int:
        """The slot of a post that somebody came to; −1 when it has none, as it came for the first time to a table that
        is crowded (online_models.admission)."""
        slots = self.sources.slots
        known, given = slots.get(post_id) >= 0, slots.size
        if not known and slots.crowded and not self._door.knock(post_id):
            return -1
        slot, new = self.sources.admit(post_id)
        if new and slot < given:  # it was another's
            self._past.forget(slot)
        if new and (row := self._door.leave(post_id)) is not None:
            self.sources.describe(slot, row)
        return slot

    def _learn_click(self, slot: int, click: Click) -> None:
        self.clicks += 1
        self.feed_rates.add_click(click.page, click.place)
        self.sources.click_through.learn_taken(slot, click.page.at)
        if click.features is not None and len(click.features) > 1:
            if click.outside:
                said = self.blend.predict_many(click.features)
                self.outside.learn_one(said, click.outside, click.chosen, click.weight)
            self.blend.learn_one(click.features, click.chosen, click.weight)

    def _test(self, user: int, slot: int, at: float, events: int, met: NDArray[np.int64] | None, teaches: bool) -> None:
        """Ranks the post in `slot` as a feed for the user would now. teaches: the blend learns from the list."""
        made, table, past = self.sources, self.sources.table, self._past.of(user)
        allowed = table.known[: made.slots.size].copy()
        allowed[past] = False
        if met is not None:
            slots = made.slots.find(met)
            allowed[slots[slots >= 0]] = False
        allowed[slot] = True
        scores, found, features = self.candidates(user, at, allowed)
        logits, chosen = self.blend.predict_many(features), int(found.places[slot])
        ranks = np.append(ranks_of(slot, scores, allowed), np.inf)
        if chosen >= 0:
            better, equal = np.count_nonzero(logits > logits[chosen]), np.count_nonzero(logits == logits[chosen])
            ranks[-1] = better + 0.5 * (equal - 1)
            if teaches:
                self.blend.learn_one(features, chosen)
        if self.hit_rate.add(bool(ranks[-1] < SHOWN)):
            self.blend.hasten()
        total = table.total[: made.slots.size]
        shown, by, popularity = first(found.slots, found.ranks, logits, total)
        self.tested(Ranked(at, ranks, shown, by, popularity, events, int(np.count_nonzero(table.known[: len(total)]))))

    def candidates(
        self, user: int, at: float, allowed: NDArray[np.bool_], also: NDArray[np.int32] = NO_SLOTS
    ) -> tuple[NDArray[np.float32], Candidates, NDArray[np.float32]]:
        """Scores (S, N) of all slots, candidates among those allowed (N,) and also (a,), and their features (n, width),
        for the user in a slot at `at`; the scores are a view that the next call overwrites."""
        scores = self.sources.score(self._past.of(user), user, at, self._past.hours_of(user))
        found = Candidates(scores, sources.LOGITS, allowed, also, OTHERS)
        self.describe(found, user, at)
        return scores, found, found.features

    def describe(self, found: Candidates, user: int, at: float) -> None:
        """Fills the last OTHERS features of candidates."""
        made, past, scale, table = self.sources, self._past.of(user), 1.0 / growth(at), self.sources.table
        last_at, columns = float(self.readers.last_at[user]), table.columns(at)
        side, averse = others(found.features)
        side_features(
            side, found.slots, found.places, past, self._past.glad_of(user), columns,
            post_logs(found.slots, columns, at), np.arange(len(found.slots), dtype=np.int32), made.taste.outputs,
            made.rows(past), made.strength, scale, at - last_at if last_at else 0.0,
        )  # fmt: skip
        disliked = self._past.disliked_of(user)
        aversion.aversion(
            averse, found.slots, found.places, disliked, table.author, table.tags, made.rows(disliked), made.strength,
            scale,
        )  # fmt: skip

    def tested(self, ranked: Ranked) -> None:
        """Gets every test; an evaluation that counts only some, and for ever, takes its place."""
        self.prequential.add(ranked)
        if self.prequential.scored == WINDOW:
            self._former, self.prequential = self.prequential.report(), Prequential(sources.NAMES)

    def rehearse(self) -> None:
        """Calls everything that is compiled. 15 s the first time on a machine, 1 s later."""
        events = 12
        numbers, pasts = np.arange(events), np.arange(events + 1, dtype=np.int32)
        times = 60.0 * numbers.astype(np.float64)
        self.learn_many(LearningBatch(
            user=np.zeros(events, np.int64), post_id=1 + numbers % 4, at=times,
            type_code=np.ones(events, np.int8), value_milli=np.full(events, 1000, np.int32),
            delta=np.ones(events, np.int8), weight=np.ones(events), gain=np.ones(events),
            new=np.ones(events, np.bool_), events=numbers.astype(np.int32), previous_at=times,
            starts=pasts, context=1 + numbers % 4, kinds=np.ones(events, np.int32),
        ))  # fmt: skip

    def changed_vectors(self) -> Changed:
        """What changed since the last call, and some of what changed a little; after `load`, everything."""
        posts, users, made = self.sources.slots, self.users, self.sources
        gone, changed = self._gone | posts.take_dropped(), self._changed | self._refreshed()
        found = posts.find(np.array(sorted(changed), np.int64))
        slots = found[found >= 0]
        slots = slots[made.table.known[slots] | (made.click_through.shown[WEEK, slots] > 0)]
        own = users.find(np.array(sorted(self._changed_users), np.int64))
        own = np.union1d(own[own >= 0], self._moved.next(made.factors.own[: users.size]))
        own = own[users.find(users.ids[own]) == own]  # not those whose users are gone
        self._moved.tell(own, made.factors.own[own])
        self._gone, self._changed, self._changed_users = set(), set(), set()
        ids, records, whose = posts.ids[slots], made.records(slots), users.ids[own]
        gone.difference_update(ids.tolist())
        records["rating"] = self.ratings.post_vectors(ids)
        vectors = np.concatenate([made.factors.own[own], self.ratings.user_vectors(whose)], axis=1)
        strangers = np.array(sorted(users.take_dropped()), np.int64)
        gone_ids, own_vectors = np.array(sorted(gone), np.int64), vectors.astype(np.float16)
        return Changed(ids, records, gone_ids, whose, own_vectors, strangers, made.new_ease())

    def _refreshed(self) -> set[int]:
        """The next REFRESHED posts, until every one had its turn since the last event.

        An event moves vectors of a hundred other posts a little, those of its past and of its negatives: to publish
        all of them would be 100 times the work.
        """
        size = self.sources.slots.size
        count = min(REFRESHED, self._stale)
        slots = (self._turn + np.arange(count)) % max(size, 1)
        self._turn, self._stale = self._turn + count, self._stale - count
        return set(self.sources.slots.ids[slots].tolist())

    def weights(self) -> bytes:
        """The blend, and what features need of all posts together: less than 64 KB."""
        blend, table = self.blend.serving(), self.sources.table
        return learnt.encode_weights(learnt.Weights(
            list(FEATURES), blend.linear, blend.inner, blend.outer, table.tag_share, table.mean_value, table.spread,
            self.ratings.mean, self.outside.weights,
        ))  # fmt: skip

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything to resume from."""
        parts = {"sources": self.sources.state(), "blend": self.blend.state(), "ratings": self.ratings.state(),
                 "outside": self.outside.state()}  # fmt: skip
        kept = {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
        return kept | self.readers.state()

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes a state over. Raises KeyError or ValueError for one of another kind."""
        parts: dict[str, dict[str, NDArray[Any]]] = {
            name: {} for name in ("sources", "blend", "past", "ratings", "outside")
        }  # fmt: skip
        for name, column in state.items():
            part, slash, rest = name.partition("/")
            if slash:
                parts[part][rest] = column
        if "ease.held" in parts["sources"]:  # before there was `ease`, a blend had another source in its place
            self.blend.load(parts["blend"])
        self.sources.load(parts["sources"])
        self.readers.load(parts["past"], state)
        if parts["ratings"]:  # snapshots of before there were ratings have none
            self.ratings.load(parts["ratings"])
        if parts["outside"]:  # nor of sources that only feeds have
            self.outside.load(parts["outside"])
        self._changed = {int(one) for one in self.sources.slots.known_ids()}
        self._changed_users = {int(one) for one in self.users.known_ids()}

    def metrics(self) -> dict[str, float]:
        """How good it is, by name."""
        few = self._former is not None and self.prequential.scored < WINDOW // 10
        report: dict[str, Any] = self._former if self._former is not None and few else self.prequential.report()
        figures = {name: float(value) for name, value in report.items() if isinstance(value, float | int)}
        figures |= self.feed_rates.rates()
        figures |= {"pages_shown": float(len(self.shown)), "clicks": float(self.clicks)}
        for name, each in report["by_source"].items():
            figures |= {f"{figure}_{name}": value for figure, value in each.items()}
        figures |= {f"weight_{name}": weight for name, weight in self.blend.weights(list(sources.NAMES)).items()}
        figures |= {f"weight_{name}": weight for name, weight in self.outside.weights.items()}
        return figures | {"hit_rate": self.hit_rate.rate, "drifts": float(self.hit_rate.drifts)}
