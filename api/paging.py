"""Cuts a page from a list that is frozen, and checks each post of it by what holds now."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .stages import Mask, Query, Slots


@dataclass
class Cut:
    """slots (n,): the page. places (≤ n,): of the first of them in the list; the others come from behind it.

    place, below: where the next page begins (schemas.visits.Cursor). end: there is none.
    """

    slots: Slots
    places: Slots
    place: int
    below: int
    end: bool


def cut(query: Query, ranking: Slots, kept: Mask) -> Cut:
    """The page that the query asks for.

    ranking (r,): the frozen list, −1 for posts that this process does not have. kept (N,): what may be shown now. Posts
    that may not be any more are passed over: a page by cursor is filled up, a page by number is short by them, so that
    it does not shift into the next. Behind the list come all others by descending id, which no event changes.
    """
    size = query.page_size
    shown = (ranking >= 0) & kept[ranking] if len(ranking) else np.zeros(0, np.bool_)
    if query.cursor is not None:
        start, below = query.cursor.place, query.cursor.below
        end = _end(shown, start, size)
        skip = 0
    else:
        start, below = (query.page - 1) * size, 0
        end = min(start + size, len(ranking))
        skip = max(start - len(ranking), 0)
        start = min(start, len(ranking))
    places = start + np.flatnonzero(shown[start:end])
    chosen = ranking[places]
    wanted = size - len(chosen) if query.cursor is not None else size - (end - start)
    more_in_list = bool(shown[end:].any())
    if more_in_list or not wanted:
        rest = _behind(query, ranking, kept, below) if not more_in_list else ranking[:0]
        return Cut(chosen, places, end, below, end=not more_in_list and len(rest) == 0)
    rest = _behind(query, ranking, kept, below)
    tail = rest[skip : skip + wanted]
    below = int(query.catalogue.ids[tail[-1]]) if len(tail) else below
    return Cut(np.concatenate([chosen, tail]), places, end, below, end=skip + wanted >= len(rest))


def cut_from_list(query: Query, ranking: Slots, shown: Mask | None) -> Cut | None:
    """The same from a list (r,) alone, of which shown (r,) may be shown now, or all when it is None. None where a page
    needs what is behind the list, or tells whether there is anything."""
    size = query.page_size
    start = query.cursor.place if query.cursor is not None else (query.page - 1) * size
    end = start + size if shown is None or query.cursor is None else _end(shown, start, size)
    if end >= len(ranking) or not (shown is None or shown[end:].any()):
        return None
    places = np.arange(start, end) if shown is None else start + np.flatnonzero(shown[start:end])
    return Cut(ranking[places], places, end, query.cursor.below if query.cursor else 0, end=False)


def _end(shown: Mask, start: int, size: int) -> int:
    """Up to where the list has to be read for `size` posts that are shown."""
    places = np.flatnonzero(shown[start:])
    return start + int(places[size - 1]) + 1 if len(places) >= size else len(shown)


def _behind(query: Query, ranking: NDArray[np.int64], kept: Mask, below: int) -> Slots:
    """What is kept and not in the list, by descending id; `below` as in schemas.visits.Cursor."""
    rest = kept.copy()
    rest[ranking[ranking >= 0]] = False
    slots = np.flatnonzero(rest)
    ids = query.catalogue.ids[slots]
    limit = below - 1 if below else query.visit.newest if query.visit is not None and query.cursor is None else None
    if limit is not None:
        slots, ids = slots[ids <= limit], ids[ids <= limit]
    return np.asarray(slots[np.argsort(-ids)])
