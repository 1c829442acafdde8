"""What a row and the memory of it make together: which events, with which ids."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from collector.changes import Remembered, publish, take_back
from collector.kinds import KINDS
from collector.rows import InteractionRow, WrongMode, read_interaction, read_user
from schemas.errors import ContractError
from schemas.events import TAKEN_BACK, Interaction

AT = datetime(2024, 1, 11, 12, 45, 41, tzinfo=UTC)
NOW = AT + timedelta(days=90)
LIKED, RATED, VIEWED = KINDS["liked-posts"], KINDS["rated-posts"], KINDS["viewed-posts"]


def row(value: float = 1.0, at: datetime = AT, post_id: int = 516) -> InteractionRow:
    return InteractionRow(7, 114, post_id, value, at)


def told(events: list[Interaction]) -> list[tuple[str, int, float | None, datetime | None]]:
    return [(event.username, event.post_id, event.interaction_value, event.occurred_at) for event in events]


def test_a_new_row_is_an_event_at_its_own_time_and_the_same_row_nothing() -> None:
    events, kept = publish(LIKED, row(), None, "ann", 1, NOW)
    assert told(events) == [("ann", 516, 1.0, AT)]
    again, still = publish(LIKED, row(), kept, "ann", 2, NOW)
    assert again == []
    assert still == msgspec.structs.replace(kept, scan=2)


def test_the_same_change_has_the_same_id_and_another_change_another() -> None:
    first, kept = publish(RATED, row(64), None, "ann", 1, NOW)
    assert publish(RATED, row(64), None, "ann", 1, NOW)[0] == first
    up, kept = publish(RATED, row(80), kept, "ann", 2, NOW)
    down, kept = publish(RATED, row(64), kept, "ann", 3, NOW)
    ids = [event.event_id for event in first + up + down]
    assert len(set(ids)) == 3
    assert told(up) == [("ann", 516, 80.0, NOW)]
    back, kept = take_back(RATED, kept)
    assert [event.interaction_value for event in back] == [TAKEN_BACK] * 3
    assert (kept.username, kept.events) == (None, 0)


def test_a_like_that_comes_back_is_another_event() -> None:
    first, kept = publish(LIKED, row(), None, "ann", 1, NOW)
    back, kept = take_back(LIKED, kept)
    assert told(back) == [("ann", 516, 0.0, AT)]
    second, _ = publish(LIKED, row(), kept, "ann", 3, NOW)
    assert len({event.event_id for event in first + back + second}) == 3


def test_a_view_with_a_later_time_is_another_view_and_a_like_is_not() -> None:
    later = AT + timedelta(hours=1)
    for kind, count in ((VIEWED, 1), (LIKED, 0)):
        _, kept = publish(kind, row(), None, "ann", 1, NOW)
        assert len(publish(kind, row(at=later), kept, "ann", 2, NOW)[0]) == count


def test_a_name_that_arrives_moves_the_event_and_nobody_s_rows_are_nobody_s() -> None:
    _, kept = publish(LIKED, row(), None, "user:114", 1, NOW)
    moved, kept = publish(LIKED, row(), kept, "ann", 2, NOW)
    assert told(moved) == [("user:114", 516, 0.0, AT), ("ann", 516, 1.0, AT)]
    out, kept = publish(LIKED, row(), kept, None, 3, NOW)
    assert told(out) == [("ann", 516, 0.0, AT)]
    assert publish(LIKED, row(), kept, None, 4, NOW)[0] == []
    assert publish(LIKED, row(), None, None, 1, NOW) == ([], Remembered(7, 114, 516, 1.0, AT, None, 0, 0, 1))


def raw(**fields: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"id": 1, "post_id": 5, "user_id": 9, **fields}))


def test_rows_are_read_leniently_and_refused_with_the_field() -> None:
    good = raw(rated_at="2024-01-11 12:45:41", rating_percent=64, new_field={"a": 1})
    assert read_interaction(RATED, good) == InteractionRow(1, 9, 5, 64.0, AT)
    for fields, field in (
        ({"rating_percent": 64}, "rated_at"),
        ({"rated_at": "2024-01-11 12:45:41", "rating_percent": True}, "rating_percent"),
        ({"rated_at": "2999-01-01 00:00:00", "rating_percent": 64}, "rated_at"),
        ({"rated_at": "2024-01-11 12:45:41", "rating_percent": 64, "user_id": -1}, "user_id"),
    ):  # fmt: skip
        with pytest.raises(ContractError) as refused:
            read_interaction(RATED, raw(**fields))
        assert refused.value.field == field
    with pytest.raises(WrongMode, match="RESONANCE_ALGORITHM"):
        read_interaction(VIEWED, raw(title=""))


def test_no_e_mail_address_gets_through_wherever_it_stands() -> None:
    read = read_user(
        raw(username="ann", email="a@b.example", bio="mail a.b+c@d.example now", website_url="x@y.example")
    )
    assert b"@" not in read.message
    with pytest.raises(ContractError, match="e-mail"):
        read_user(raw(username="ann@b.example"))
