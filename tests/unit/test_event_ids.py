"""The window of seen event ids."""

from collections import defaultdict

from online_models.event_ids import BLOCK_IDS, BLOCKS, SeenEventIds, event_hash


def stored_after(ids: SeenEventIds, hashes: list[int], stored: dict[int, bytes]) -> None:
    for block, appended in ids.add(hashes).items():
        stored[block] = ids.full_block(block) if block < ids.block else stored[block] + appended
        stored.pop(ids.expired, None)


def test_an_id_is_seen_once_added_and_after_a_reload():
    ids, stored = SeenEventIds(0, [None]), defaultdict(bytes)
    hashes = [event_hash("ada", f"event {number}") for number in range(1000)]
    assert not any(ids.seen(hashes))
    stored_after(ids, hashes, stored)
    reloaded = SeenEventIds(0, [stored[0]])
    for each in (ids, reloaded):
        assert all(each.seen(hashes))
        assert each.seen([event_hash("ada", "another"), event_hash("bob", "event 1")]) == [False, False]


def test_the_window_holds_a_million_ids_and_no_more():
    ids, stored = SeenEventIds(0, [None]), defaultdict(bytes)
    total = (BLOCKS + 2) * BLOCK_IDS + 10
    for start in range(0, total, 50_000):
        stored_after(ids, list(range(start, min(start + 50_000, total))), stored)
    assert len(stored) == BLOCKS
    reloaded = SeenEventIds(ids.block, [stored[block] for block in sorted(stored)])
    for each in (ids, reloaded):
        assert each.seen([total - 1, total - (BLOCKS - 1) * BLOCK_IDS, 0]) == [True, True, False]


def test_hashes_are_stable_across_versions():
    assert event_hash("ada", "0192") == -3129426960870698253
