"""What batch models learn from: a snapshot of the interactions in time order, cut at points in time.

Everything about a part of the snapshot is computed from that part alone. So nothing after a cut, not even the
take-back of an earlier like, changes what is learnt before it.
"""

import hashlib
from array import array
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

import msgspec
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from online_models.content_tokens import PostTokens, Tokens, post_tokens, user_tokens
from online_models.positives import Positives
from schemas import guests
from schemas.errors import ContractError
from schemas.events import INTERACTION_TYPES, NEGATIVE_TYPES, TYPE_CODES, InteractionType, strength
from schemas.posts import Post, decode_post
from schemas.user_state import HISTORY_LENGTH
from schemas.users import User, decode_user

from .post_facts import Facts, facts_of
from .shown_pages import NO_PAGES, PAGES, PageColumns, Pages, ShownPage

POSTS = "SELECT id, servable FROM posts"
EVENTS = """
SELECT username, post_id, interaction_type, interaction_value, extract(epoch FROM occurred_at)::float8
FROM interactions WHERE NOT starts_with(username, $2) AND occurred_at >= coalesce(
  (SELECT occurred_at FROM interactions ORDER BY occurred_at DESC OFFSET $1 LIMIT 1), '-infinity')
ORDER BY occurred_at, log_partition, log_offset, log_index
"""
ROWS_A_FETCH = 10_000
RECENCY = 0.95
"""Weight of a post in a user's history against the one after it. The API folds users in with the same number."""

_MEASURED = np.isin(INTERACTION_TYPES, ("view", "rating"))
_NEGATIVE = np.isin(INTERACTION_TYPES, tuple(NEGATIVE_TYPES))


class Row(NamedTuple):
    """One interaction; `at` in seconds since 1970."""

    username: str
    post_id: int
    interaction_type: str
    value: float
    at: float


class Content(NamedTuple):
    """What the rows of posts (p,) and of users (user_count, PROFILE) say, by position; zeros for those without."""

    posts: PostTokens
    users: Tokens


@dataclass(frozen=True)
class Interactions:
    """Columns of n interactions in time order. Parts of a snapshot share all that is told of posts and `user_count`.

    users, posts (n,): positions. types (n,): schemas.events.TYPE_CODES. values (n,). at (n,): seconds since 1970.
    post_ids (p,): known posts and all posts with interactions, ascending. servable (p,): may be recommended. facts:
    what their rows say. pages: what these users were shown, until the last interaction.
    """

    users: NDArray[np.int32]
    posts: NDArray[np.int32]
    types: NDArray[np.uint8]
    values: NDArray[np.float32]
    at: NDArray[np.float64]
    post_ids: NDArray[np.int64]
    servable: NDArray[np.bool_]
    facts: Facts
    user_count: int
    content: Content
    pages: Pages = NO_PAGES

    def __len__(self) -> int:
        return len(self.users)

    def digest(self) -> str:
        """SHA-256 of all that can be learnt from: the same interactions in the same order have the same."""
        found = hashlib.sha256()
        columns = (
            self.users, self.posts, self.types, self.values, self.at, self.post_ids, self.servable, *self.facts,
            *self.content.posts, self.content.users, *self.pages,
        )  # fmt: skip
        for column in columns:
            found.update(np.ascontiguousarray(column).tobytes())
        return found.hexdigest()

    def part(self, start: int, stop: int) -> "Interactions":
        """Interactions `start` to `stop` (not included)."""
        return self.where(slice(start, stop))

    def where(self, rows: slice | NDArray[Any]) -> "Interactions":
        """Those of the rows named, by a slice, a mask or ascending positions, and the pages until the last of them."""
        at = self.at[rows]
        return replace(
            self, users=self.users[rows], posts=self.posts[rows], types=self.types[rows], values=self.values[rows],
            at=at, pages=self.pages.until(float(at[-1])) if len(at) else NO_PAGES,
        )  # fmt: skip

    def of_users(self, users: NDArray[np.int64]) -> "Interactions":
        """Those of `users` (u,), who become the users 0 to u − 1, without pages. The same user may be named once."""
        place = np.full(self.user_count, -1, np.int32)
        place[users] = np.arange(len(users))
        found = self.where(place[self.users] >= 0)
        return replace(
            found, users=place[found.users], user_count=len(users), pages=NO_PAGES,
            content=self.content._replace(users=self.content.users[users]),
        )  # fmt: skip

    def of_posts(self, posts: NDArray[np.int64]) -> "Interactions":
        """Those on `posts` (k,), ascending, who become the posts 0 to k − 1, without pages."""
        place = np.full(len(self.post_ids), -1, np.int32)
        place[posts] = np.arange(len(posts))
        found = self.where(place[self.posts] >= 0)
        return replace(
            found, posts=place[found.posts], post_ids=self.post_ids[posts], servable=self.servable[posts],
            facts=self.facts.of(posts), content=self.content._replace(posts=self.content.posts.of(posts)),
            pages=NO_PAGES,
        )  # fmt: skip

    def split(self, share: float) -> tuple["Interactions", "Interactions"]:
        """Before and after the moment by which `share` of the interactions had happened; one moment is never cut."""
        place = min(int(len(self) * share), len(self) - 1)
        cut = int(np.searchsorted(self.at, self.at[place], side="left")) if len(self) else 0
        return self.part(0, cut), self.part(cut, len(self))


def pasts(part: Interactions, rows: NDArray[np.int64]) -> Interactions:
    """For each of `rows` (m,), all that its user did before it, as the interactions of user 0 to m − 1, without pages.

    So every model can be asked at any moment, and can't see what comes after it.
    """
    by_user = np.argsort(part.users, kind="stable")
    first = np.searchsorted(part.users[by_user], part.users[rows])
    place = np.empty(len(part), np.int64)
    place[by_user] = np.arange(len(part))
    lengths = place[rows] - first
    asked = np.repeat(np.arange(len(rows)), lengths)
    taken = by_user[np.arange(lengths.sum()) + np.repeat(first - (np.cumsum(lengths) - lengths), lengths)]
    return replace(
        part.where(taken), users=asked.astype(np.int32), user_count=len(rows), pages=NO_PAGES,
        content=part.content._replace(users=part.content.users[part.users[rows]]),
    )  # fmt: skip


class Pairs(NamedTuple):
    """Users and the posts they met, each pair once. last: position of the newest interaction; all columns (m,).

    strengths: the largest of the pair (TencentRec's max rule); the smallest where a dislike stands, as that outweighs.
    """

    users: NDArray[np.int64]
    posts: NDArray[np.int64]
    strengths: NDArray[np.float64]
    last: NDArray[np.int64]


class Columns:
    """Gathers rows in time order into columns, 25 bytes a row."""

    def __init__(self) -> None:
        self._users: dict[str, int] = {}
        self._columns = array("i"), array("q"), array("B"), array("f"), array("d")

    def extend(self, rows: Iterable[Row]) -> None:
        users, posts, types, values, times = self._columns
        for username, post_id, interaction_type, value, at in rows:
            users.append(self._users.setdefault(username, len(self._users)))
            posts.append(post_id)
            types.append(TYPE_CODES[interaction_type])
            values.append(value)
            times.append(at)

    def interactions(
        self, servable: Mapping[int, bool], posts: Iterable[Post] = (), users: Iterable[User] = (),
        shown: PageColumns | None = None,
    ) -> Interactions:  # fmt: skip
        """servable: of each known post. When no post is known, every post that was met may be recommended. posts,
        users: rows of known posts and of anybody, as far as there are any. shown: as begun by `pages`, and filled."""
        rows = [*posts]
        of_users, of_posts, types, values, times = self._columns
        met = np.frombuffer(of_posts, np.int64) if of_posts else np.empty(0, np.int64)
        post_ids = np.union1d(met, np.fromiter(servable, np.int64, len(servable)))
        return Interactions(
            users=np.array(of_users, np.int32), posts=np.searchsorted(post_ids, met).astype(np.int32),
            types=np.array(types, np.uint8), values=np.array(values, np.float32), at=np.array(times, np.float64),
            post_ids=post_ids, servable=np.array([servable.get(int(i), not servable) for i in post_ids], np.bool_),
            facts=facts_of(rows, post_ids), user_count=len(self._users),
            content=self._content(post_ids, rows, users),
            pages=shown.pages(post_ids, times[-1]) if shown is not None and times else NO_PAGES,
        )  # fmt: skip

    def pages(self) -> PageColumns:
        """To be filled with pages of the users whose interactions are here, as far as memory goes."""
        return PageColumns(self._users, len(self._columns[0]))

    @property
    def oldest(self) -> float:
        """When the first interaction happened; infinity without any."""
        return self._columns[-1][0] if self._columns[-1] else float("inf")

    def know(self, username: str) -> bool:
        """Whether there is an interaction of that user."""
        return username in self._users

    def _content(self, post_ids: NDArray[np.int64], posts: Iterable[Post], users: Iterable[User]) -> Content:
        of_posts = post_tokens([None] * len(post_ids))
        rows = iter(posts)
        while some := [*islice(rows, ROWS_A_FETCH)]:
            places = np.searchsorted(post_ids, [post.id for post in some])
            for column, found in zip(of_posts, post_tokens(some), strict=True):
                column[places] = found
        of_users = user_tokens([None] * len(self._users))
        for user in users:
            if (place := self._users.get(user.username)) is not None:
                of_users[place] = user_tokens([user])[0]
        return Content(of_posts, of_users)


async def snapshot(connection: Any, most: int) -> Interactions:
    """The newest `most` interactions, and all of the moment of the oldest, as one consistent view of the database (an
    asyncpg connection), with the pages that their users were shown meanwhile: 25 bytes and up to 24 each while they
    come, so memory does not grow with the record. What guests did is left out: they don't come back, and would be most
    of the users."""
    columns = Columns()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        servable = {row["id"]: row["servable"] for row in await connection.fetch(POSTS)}
        cursor = await connection.cursor(EVENTS, most - 1, guests.PREFIX)
        while rows := await cursor.fetch(ROWS_A_FETCH):
            columns.extend(Row(*row) for row in rows)
        shown = columns.pages()
        cursor = await connection.cursor(PAGES, columns.oldest)
        while not shown.full and (rows := await cursor.fetch(ROWS_A_FETCH)):
            shown.extend(ShownPage(*row) for row in rows)
        posts, users = [], []
        async for row in connection.cursor("SELECT row FROM posts", prefetch=ROWS_A_FETCH):
            with suppress(ContractError):  # the record may hold a row that the contract of today does not take
                posts.append(msgspec.structs.replace(decode_post(row["row"].encode()), item=b""))
        async for row in connection.cursor("SELECT username, row FROM users", prefetch=ROWS_A_FETCH):
            with suppress(ContractError):
                if columns.know(row["username"]):
                    users.append(decode_user(row["row"].encode()))
    return columns.interactions(servable, posts, users, shown)


def pairs(part: Interactions, weights: Mapping[InteractionType, float]) -> Pairs:
    """The pairs of a part, with what was taken back in it left out."""
    return _pairs(part, weights, np.flatnonzero(standing(part)))


def histories(
    part: Interactions, weights: Mapping[InteractionType, float], recency: float = RECENCY, by_strength: bool = True
) -> sp.csr_matrix:
    """(users, posts): recency^q · strength over the distinct posts of a user's newest interactions, newest q = 0.

    What the API computes from a user's state (a test compares them); dislikes are no part of a history. Without
    `by_strength` every strength above zero is 1.
    """
    rows = np.flatnonzero(standing(part))
    rows = rows[_rank_from_end(part.users[rows], rows) < HISTORY_LENGTH]
    found = _pairs(part, weights, rows[~_NEGATIVE[part.types[rows]]])
    strengths = found.strengths if by_strength else found.strengths > 0
    values = recency ** _rank_from_end(found.users, found.last) * strengths
    matrix = sp.csr_matrix(
        (values.astype(np.float32), (found.users, found.posts)), shape=(part.user_count, len(part.post_ids))
    )
    matrix.eliminate_zeros()
    return matrix


def liked(part: Interactions, weights: Mapping[InteractionType, float]) -> sp.csr_matrix:
    """(users, posts): 1 where a user has met a post and not disliked it."""
    found = pairs(part, weights)
    good = found.strengths > 0
    return sp.csr_matrix(
        (np.ones(good.sum(), np.float32), (found.users[good], found.posts[good])),
        shape=(part.user_count, len(part.post_ids)),
    )


def positive(part: Interactions, rules: Positives) -> NDArray[np.bool_]:
    """(n,) which interactions the rules call positive."""
    return rules.of(part.types.astype(np.int8), np.round(part.values * 1000).astype(np.int32))


def wanted(part: Interactions, rules: Positives) -> sp.csr_matrix:
    """(users, posts): 1 where a positive stands: what a model is to find, where `liked` is what it may tell it from."""
    rows = positive(part, rules) & standing(part)
    return cells(part.users[rows], part.posts[rows], (part.user_count, len(part.post_ids)))


def cells(users: NDArray[np.int32], posts: NDArray[np.int32], shape: tuple[int, int]) -> sp.csr_matrix:
    """(users, posts): 1 where the user met the post, however often."""
    matrix = sp.csr_matrix((np.ones(len(users), np.float32), (users, posts)), shape=shape)
    matrix.data[:] = 1.0
    return matrix


def _pairs(part: Interactions, weights: Mapping[InteractionType, float], rows: NDArray[np.int64]) -> Pairs:
    of_rows = event_strengths(part, weights)[rows]
    keys, place = np.unique(part.users[rows] * np.int64(len(part.post_ids)) + part.posts[rows], return_inverse=True)
    largest, smallest = np.full(len(keys), -np.inf), np.full(len(keys), np.inf)
    last = np.zeros(len(keys), np.int64)
    np.maximum.at(largest, place, of_rows)
    np.minimum.at(smallest, place, of_rows)
    np.maximum.at(last, place, rows)
    users, posts = np.divmod(keys, len(part.post_ids))
    return Pairs(users, posts, np.where(smallest < 0, smallest, largest), last)


def event_strengths(part: Interactions, weights: Mapping[InteractionType, float]) -> NDArray[np.float64]:
    """(n,) schemas.events.strength of each; it is linear in the value up to a cap of 1 for views."""
    unit = np.array([strength(name, 1.0, weights) for name in INTERACTION_TYPES])
    measured = np.where(part.types == TYPE_CODES["view"], np.minimum(part.values, 1.0), part.values)
    return unit[part.types] * np.where(_MEASURED[part.types], measured, 1.0)


def standing(part: Interactions) -> NDArray[np.bool_]:
    """(n,) False for take-backs and for what they took back: the newest of that user, post and type before."""
    stands = np.ones(len(part), np.bool_)
    back = np.where(_MEASURED[part.types], part.values < 0, part.values == 0)
    if not back.any():
        return stands
    keys = (part.users * np.int64(len(part.post_ids)) + part.posts) * len(INTERACTION_TYPES) + part.types
    open_rows: dict[int, list[int]] = {}
    for row in np.flatnonzero(np.isin(keys, keys[back])):
        stack = open_rows.setdefault(int(keys[row]), [])
        if not back[row]:
            stack.append(int(row))
            continue
        stands[row] = False
        if stack:
            stands[stack.pop()] = False
    return stands


def _rank_from_end(users: NDArray[Any], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """(m,) how many later entries (by `order`) the same user has."""
    ranks = np.empty(len(users), np.int64)
    by_user = np.lexsort((-order, users))
    _, starts, counts = np.unique(users[by_user], return_index=True, return_counts=True)
    ranks[by_user] = np.arange(len(users)) - np.repeat(starts, counts)
    return ranks
