"""The window of seen event ids."""

from collections import defaultdict

from online_models.event_ids import BLOCK_IDS, BLOCKS, SeenEventIds, event_hash


def stored_after(ids: SeenEventIds, hashes: list[int], stored: dict[int, bytes]) -> None:
    for block, appended in ids.add(hashes).items():
        stored[block] += appended
        stored.pop(ids.expired, None)


def test_an_id_is_seen_once_added_and_after_a_reload():
    ids, stored = SeenEventIds(0, [None]), defaultdict(bytes)
    hashes = [event_hash(f"event {number}") for number in range(1000)]
    assert not any(map(ids.seen, hashes))
    stored_after(ids, hashes, stored)
    reloaded = SeenEventIds(0, [stored[0]])
    for each in (ids, reloaded):
        assert all(map(each.seen, hashes))
        assert not each.seen(event_hash("another"))


def test_the_window_holds_a_million_ids_and_no_more():
    ids, stored = SeenEventIds(0, [None]), defaultdict(bytes)
    total = (BLOCKS + 2) * BLOCK_IDS + 10
    for start in range(0, total, 50_000):
        stored_after(ids, list(range(start, min(start + 50_000, total))), stored)
    assert len(stored) == BLOCKS
    reloaded = SeenEventIds(ids.block, [stored[block] for block in sorted(stored)])
    for each in (ids, reloaded):
        assert each.seen(total - 1)
        assert each.seen(total - (BLOCKS - 1) * BLOCK_IDS)
        assert not each.seen(0)


def test_hashes_are_stable_across_versions():
    assert event_hash("0192") == -702171217189037585
