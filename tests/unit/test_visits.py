"""Lists that are paged through: cursors that nobody can change, and pages that never share a post."""

import asyncio
import base64
import string

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.candidate_pipeline import Slate
from api.catalogue import Catalogue
from api.paging import cut, cut_from_list
from api.stages import Query
from api.visits import UNREACHABLE, Visits
from schemas.errors import ContractError, ServiceUnavailable
from schemas.posts import decode_post
from schemas.visits import (
    Cursor,
    Visit,
    decode_page,
    decode_visit,
    digest,
    encode_page,
    read_cursor,
    sign,
)

POSTS = 60


@given(st.lists(st.integers(1, 2**53 - 1) | st.integers(1, 2**32 - 1), max_size=50))
def test_a_visit_and_a_page_survive_encoding(posts: list[int]) -> None:
    visit = Visit.begin(digest("a"), max(posts, default=0), np.array(posts, np.int64))
    assert visit.posts.tolist() == posts
    assert decode_visit(visit.encode()) == visit
    assert decode_page(encode_page(visit.id, posts)) == (visit.id, visit.posts)
    assert decode_visit(b"\xff" + visit.encode()[1:]) is None


def test_a_cursor_is_read_by_whoever_has_the_visit_and_in_no_other_form() -> None:
    visit, other = (Visit.begin(digest("a"), 9, np.array([1, 2])) for _ in range(2))
    cursor = Cursor(visit.id, 2, 2**40, 3)
    text = sign(cursor, visit)
    assert len(text) == 52
    assert read_cursor(text, [other, decode_visit(visit.encode())]) == (cursor, visit)  # type: ignore[list-item]
    alphabet = string.ascii_letters + string.digits + "-_"
    for place in range(len(text)):
        changed = text[:place] + alphabet[(alphabet.index(text[place]) + 1) % 64] + text[place + 1 :]
        with pytest.raises(ContractError, match="the cursor") as refused:
            read_cursor(changed, [visit, other])
        assert refused.value.field == "cursor"
    with pytest.raises(ContractError, match="too old"):
        read_cursor(text, [other])
    with pytest.raises(ContractError, match="another version"):
        read_cursor(base64.urlsafe_b64encode(b"\1" + base64.urlsafe_b64decode(text)[1:]).decode(), [visit])
    for nonsense in ("x", "====", "ÄÖ", "A" * 200):
        with pytest.raises(ContractError):
            read_cursor(nonsense, [visit])


def catalogue_of(ids: range) -> Catalogue:
    catalogue = Catalogue()
    for post_id in ids:
        catalogue.set_row(post_id, decode_post(msgspec.json.encode({"id": post_id})))
    return catalogue


def test_pages_by_cursor_are_full_and_disjoint_whatever_is_hidden_and_added_between() -> None:
    rng = np.random.default_rng(1)
    catalogue = catalogue_of(range(1, POSTS + 1))
    frozen = rng.permutation(POSTS)[:30]
    visit = Visit.begin(b"", POSTS, catalogue.ids[frozen])
    kept, query, pages = np.ones(POSTS, np.bool_), Query("u", 0.0, catalogue, page_size=7, visit=visit), []
    query.cursor = Cursor(visit.id, 0, 0, 1)
    while True:
        page = cut(query, frozen, kept)
        pages.append(page.slots.tolist())
        assert len(page.slots) == 7 or page.end
        if page.end:
            break
        query.cursor = Cursor(visit.id, page.place, page.below, 1)
        kept[rng.integers(len(kept), size=2)] = False
        catalogue.set_row(1000 + len(pages), decode_post(b'{"id":%d}' % (1000 + len(pages))))
        kept = np.append(kept, True)
    shown = [slot for page in pages for slot in page]
    assert len(shown) == len({*shown})
    assert {*np.flatnonzero(kept[:POSTS]).tolist()} <= {*shown}


def test_pages_by_number_are_slices_that_hidden_posts_shorten_and_do_not_shift() -> None:
    catalogue = catalogue_of(range(1, 21))
    visit = Visit.begin(b"", 20, np.arange(1, 11))
    kept, frozen = np.ones(20, np.bool_), np.arange(10)

    def page(number: int) -> tuple[list[int], bool]:
        found = cut(Query("u", 0.0, catalogue, page=number, page_size=4, visit=visit), frozen, kept)
        return catalogue.ids[found.slots].tolist(), found.end

    before = [page(number) for number in range(1, 7)]
    assert before[:3] == [([1, 2, 3, 4], False), ([5, 6, 7, 8], False), ([9, 10, 20, 19], False)]
    assert before[3:] == [([18, 17, 16, 15], False), ([14, 13, 12, 11], True), ([], True)]
    kept[[0, 5]] = False
    assert [page(number)[0] for number in (1, 2)] == [[2, 3, 4], [5, 7, 8]]


def test_a_page_of_a_list_alone_is_the_page_that_all_posts_give() -> None:
    catalogue, rng = catalogue_of(range(1, POSTS + 1)), np.random.default_rng(2)
    frozen, kept, none_hidden = rng.permutation(POSTS)[:30], rng.random(POSTS) < 0.8, np.ones(POSTS, np.bool_)
    visit = Visit.begin(b"", POSTS, catalogue.ids[frozen])
    for number in range(1, 5):
        for cursor in (None, Cursor(visit.id, 7 * (number - 1), 0, number)):
            query = Query("u", 0.0, catalogue, page=number, page_size=7, visit=visit, cursor=cursor)
            for mask, shown in ((kept, kept[frozen]), (none_hidden, None), (none_hidden, none_hidden[frozen])):
                whole, alone = cut(query, frozen, mask), cut_from_list(query, frozen, shown)
                if alone is not None:
                    assert alone.slots.tolist() == whole.slots.tolist()
                    assert alone.places.tolist() == whole.places.tolist()
                    assert (alone.place, alone.below, alone.end) == (whole.place, whole.below, whole.end)
                else:
                    assert whole.place == len(frozen) or not mask[frozen[whole.place :]].any()


def test_a_list_that_ends_with_its_last_page_says_so() -> None:
    catalogue, frozen, kept = catalogue_of(range(1, 9)), np.arange(8), np.ones(8, np.bool_)
    assert cut(Query("u", 0.0, catalogue, page_size=8), frozen, kept).end
    assert not cut(Query("u", 0.0, catalogue, page_size=7), frozen, kept).end
    kept[7] = False
    assert cut(Query("u", 0.0, catalogue, page_size=7), frozen, kept).end


class Redis:
    """Takes and gives lists while it is up. `wait` holds back what it takes."""

    def __init__(self) -> None:
        self.lists: dict[str, list[bytes]] = {}
        self.up, self.wait, self._asked, self._pushed = True, asyncio.Event(), [], []
        self.wait.set()

    def pipeline(self, transaction: bool) -> "Redis":
        self._asked, self._pushed = [], []
        return self

    def eval(self, script: str, numkeys: int, key: str, value: bytes, last: int, seconds: int) -> None:
        self._pushed.append((key, value, last))

    def lrange(self, key: str, start: int, end: int) -> "Redis":
        self._asked.append(self.lists.get(key, []))
        return self

    def expire(self, key: str, seconds: int) -> "Redis":
        self._asked.append(True)
        return self

    async def execute(self) -> list[object]:
        asked, pushed = self._asked, self._pushed
        if pushed:
            await self.wait.wait()
        if not self.up:
            raise ConnectionError("gone")
        for key, value, last in pushed:
            self.lists[key] = [value, *self.lists.get(key, [])][: last + 1]
        return asked


def slate_of(catalogue: Catalogue) -> Slate:
    slots = np.arange(catalogue.size)
    return Slate(slots[:2], np.zeros(2), [[], []], "", 9, {}, [], ranking=slots, next_place=2, end=False)


async def test_a_list_on_its_way_is_known_here_and_another_process_looks_twice() -> None:
    catalogue, redis = catalogue_of(range(1, 9)), Redis()
    here, there = Visits(redis), Visits(redis)  # type: ignore[arg-type]
    redis.wait.clear()
    cursor = here.keep(Query("u", 0.0, catalogue, session_id="s", asked=digest(1)), slate_of(catalogue))
    assert cursor
    again = Query("u", 0.0, catalogue, session_id="s", asked=digest(1))
    await here.open(again, None)
    assert again.served.tolist() == [0, 1]
    for visits, arrives in ((here, False), (there, True)):
        query = Query("u", 0.0, catalogue, asked=digest(1))
        opening = asyncio.create_task(visits.open(query, cursor))
        await asyncio.sleep(0.01)
        if arrives:
            redis.wait.set()
        await opening
        assert query.cursor == Cursor(query.visit.id, 2, 0, 2)  # type: ignore[union-attr]
        assert query.visit.posts.tolist() == [*range(1, 9)]  # type: ignore[union-attr]
    await here.close()
    redis.wait.clear()
    here.keep(Query("u", 0.0, catalogue, asked=digest(2)), slate_of(catalogue))
    second = Query("u", 0.0, catalogue, asked=digest(2), page=2)
    opening = asyncio.create_task(there.open(second, None))
    await asyncio.sleep(0.01)
    redis.wait.set()
    await opening
    assert second.visit is not None


async def test_without_redis_there_is_no_cursor_and_numbered_pages_say_so() -> None:
    catalogue, redis = catalogue_of(range(1, 9)), Redis()
    visits, slate = Visits(redis), slate_of(catalogue)  # type: ignore[arg-type]
    cursor = visits.keep(Query("u", 0.0, catalogue), slate)
    redis.up = False
    visits.keep(Query("u", 0.0, catalogue), slate)
    await visits.close()
    assert visits.keep(Query("u", 0.0, catalogue), slate) is None
    assert slate.degraded == [UNREACHABLE]
    second = Query("u", 0.0, catalogue, page=2)
    await visits.open(second, None)
    assert (second.visit, second.problems) == (None, [UNREACHABLE])
    with pytest.raises(ServiceUnavailable):
        await visits.open(Query("u", 0.0, catalogue), cursor)
