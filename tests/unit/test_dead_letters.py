"""Dead letters: that they fit and decode, which are found, and what becomes of them when they are resent."""

import json
import random
from datetime import UTC, datetime

import msgspec
import pytest

from reelstream.dead_letters import Filter, Found
from reelstream.resending import plan
from schemas import dead_letters
from schemas.dead_letters import MOST_BYTES, DeadLetter
from schemas.decoding import MOST_REFUSED
from schemas.errors import ContractError
from schemas.events import decode_message
from streams.producing import dead_letter
from streams.reading import ReadEvent, read_events
from streams.record import Record

PRODUCED_AT = 1_795_161_600.0
AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
EVENT = {"username": "ada", "post_id": 7, "interaction_type": "like"}
A_KAFKA_MESSAGE = 1_000_000


def letter(payload: object, **changes: object) -> Found:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    fields = {
        "topic": "interactions", "partition": 2, "offset": 1041, "index": 0, "reason": "it was refused",
        "field": "post_id", "payload": text, "encoding": "utf-8", "produced_at": PRODUCED_AT, "size": len(text),
    }  # fmt: skip
    return Found(AT, (0, 0), DeadLetter(**(fields | changes)))


def sent(*letters: Found) -> list[dict]:
    made = plan(list(letters))
    assert made.refused == []
    return [json.loads(message.value) for message in made.messages]


def refused(*letters: Found) -> list[str]:
    made = plan(list(letters))
    assert made.messages == []
    return [why for _, why in made.refused]


def of(payload: bytes, reason: str = "no", field: str = "") -> DeadLetter:
    made = DeadLetter.of(
        payload, topic="interactions", partition=2, offset=1041, index=0, reason=reason, field=field
    )  # fmt: skip
    encoded = dead_letters.encode(made)
    assert len(encoded) < A_KAFKA_MESSAGE
    assert dead_letters.decode(encoded) == made
    return made


def test_a_letter_of_an_earlier_version_decodes_for_ever():
    old = (
        b'{"topic":"posts","partition":1,"offset":5,"index":0,"reason":"r","field":"id","payload":"{}",'
        b'"encoding":"utf-8"}'
    )
    decoded = dead_letters.decode(old)
    assert (decoded.name, decoded.source, decoded.cut, decoded.produced_at) == ("posts-1-5-0", b"{}", False, 0.0)


@pytest.mark.parametrize(
    "payload",
    [
        random.Random(1).randbytes(10_000_000), b"a" * 10_000_000, b'"' * 10_000_000, b"\x01\x02\x1f" * 3_000_000,
        b"[" * 900_000, "é".encode() * 500_000, "😀".encode() * 250_000, b"x" + "é".encode() * 500_000,
    ],
    ids=["random", "text", "quotes", "control", "brackets", "two-byte", "four-byte", "cut-in-a-character"],
)  # fmt: skip
def test_a_letter_fits_into_a_message_whatever_was_refused_and_says_that_it_was_cut(payload: bytes):
    made = of(payload)
    assert (made.cut, made.size) == (True, len(payload))
    assert payload.startswith(made.source)
    assert MOST_BYTES - 3 <= len(made.source) <= MOST_BYTES


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"\xff\xfe", b"\x00\x01\x02\x03\x1b", "a😀\t\n".encode(), b'"\\ud800"']
)
def test_a_short_payload_comes_back_byte_by_byte(payload: bytes):
    made = of(payload)
    assert (made.source, made.cut, made.size) == (payload, False, len(payload))


def test_reason_and_field_are_bounded_and_neither_rule_a_terminal_nor_break_the_encoder():
    made = of(b"{}", reason="\x1b[2J \ud800 \u202e \0 " + "x" * 5000, field="\ud83d\n" * 400)
    assert made.reason.startswith("\\x1b[2J \\ud800 \\u202e \\x00 xxx")
    assert len(made.reason) == len(made.field) == 500
    assert (made.reason + made.field).isprintable()


def test_what_is_no_letter_is_refused_with_a_sentence():
    for payload in (b"", b"[]", b"\xff", b'{"topic":1}'):
        with pytest.raises(ContractError, match="not a dead letter"):
            dead_letters.decode(payload)
    with pytest.raises(ContractError, match="base64"):
        _ = letter("??", encoding="base64").letter.source


def test_a_filter_lets_through_what_matches_all_it_asks():
    found = letter(EVENT, reason="post_id: Expected `int`, got `str`")
    passes = [Filter(), Filter(topic="interactions"), Filter(reason="expected `INT`"), Filter(field="post_id"),
              Filter(since=AT), Filter(names=["interactions-2-1041-0"]),
              Filter(topic="interactions", field="post_id")]  # fmt: skip
    fails = [Filter(topic="posts"), Filter(reason="missing"), Filter(field="id"), Filter(until=AT),
             Filter(names=["interactions-2-1041-1"]), Filter(topic="interactions", field="id")]  # fmt: skip
    assert all(each.lets_through(found.letter, AT) for each in passes)
    assert not any(each.lets_through(found.letter, AT) for each in fails)


def test_a_resent_event_has_the_id_of_its_first_place_and_the_time_of_its_first_message():
    [event] = sent(letter(EVENT))
    assert (event["event_id"], event["occurred_at"]) == ("interactions-2-1041", "2026-11-20T08:00:00Z")
    [event] = sent(letter(EVENT, of_array=True, index=3))
    assert event["event_id"] == "interactions-2-1041-3"
    assert plan([letter(EVENT)]).messages[0].key == "ada"


def test_a_resent_event_keeps_an_id_and_a_time_of_its_own():
    [event] = sent(letter({**EVENT, "event_id": "mine", "occurred_at": "2026-11-01T00:00:00Z"}))
    assert (event["event_id"], event["occurred_at"]) == ("mine", "2026-11-01T00:00:00Z")


@pytest.mark.parametrize("count", [1, 3])
def test_a_resent_array_has_the_ids_that_reading_it_gives(count: int):
    payload = json.dumps([EVENT] * count)
    read = read_events(Record("interactions", 2, 1041, PRODUCED_AT, None, payload.encode()))
    assert [event["event_id"] for event in sent(letter(payload))] == [event.event_id for event in read]


def test_a_letter_without_its_time_takes_the_moment_it_was_refused():
    [event] = sent(letter(EVENT, produced_at=0.0))
    assert event["occurred_at"] == "2026-11-20T09:00:00Z"


def test_what_the_contract_still_refuses_is_listed_and_its_neighbours_are_sent():
    made = plan([letter([EVENT, {**EVENT, "post_id": "x"}, EVENT]), letter({"username": "ada"}, offset=7)])
    assert [json.loads(message.value)["event_id"] for message in made.messages] == [
        "interactions-2-1041-0", "interactions-2-1041-2",
    ]  # fmt: skip
    assert [(name, why.partition(":")[0]) for name, why in made.refused] == [
        ("interactions-2-1041-0", "post_id"), ("interactions-2-7-0", "post_id"),
    ]  # fmt: skip


def test_an_event_from_the_far_future_stays_refused():
    assert "a day ahead" in refused(letter({**EVENT, "occurred_at": "2099-01-01T00:00:00Z"}))[0]


def test_letters_that_hold_no_whole_message_say_what_to_do_instead():
    [cut] = refused(letter("{", cut=True, size=900_000))
    assert "262144 of its 900000 bytes" in cut
    assert "offset 1041 of partition 2 of interactions" in cut
    assert "null value" in refused(letter("x", topic="posts", deletion=True))[0]
    assert "written by reelstream alone" in refused(letter("x", topic="item-signals"))[0]
    assert "base64" in refused(letter("??", encoding="base64"))[0]


def test_posts_and_users_are_resent_row_by_row_under_their_keys():
    rows = [{"id": 5, "title": "five"}, {"id": 6}]
    made = plan([letter(rows, topic="posts"), letter({"username": "ada", "email": "a@b.c"}, topic="users")])
    assert [(message.topic, message.key) for message in made.messages] == [
        ("posts", "5"), ("posts", "6"), ("users", "ada"),
    ]  # fmt: skip
    assert json.loads(made.messages[0].value) == rows[0]
    assert b"a@b.c" not in made.messages[2].value
    assert made.counts == "2 to posts, 1 to users"


def test_what_a_worker_refuses_is_refused_again_as_long_as_nothing_is_mended():
    message = json.dumps([EVENT, {**EVENT, "post_id": "x"}, {**EVENT, "occurred_at": "2031-01-01T00:00:00Z"}, [EVENT]])
    record = Record("interactions", 2, 1041, PRODUCED_AT, None, message.encode())
    letters = [
        dead_letters.decode(dead_letter(record, *entry).value)
        for entry in read_events(record) if not isinstance(entry, ReadEvent)
    ]  # fmt: skip
    assert [(each.index, each.of_array) for each in letters] == [(1, True), (2, True), (3, True)]
    assert json.loads(letters[1].payload)["occurred_at"] == "2031-01-01T00:00:00Z"
    assert len(refused(*(Found(AT, (0, 0), each) for each in letters))) == 3


def test_a_deletion_leaves_its_key_in_the_letter():
    record = Record("posts", 2, 1041, PRODUCED_AT, b"no id", None)
    made = dead_letters.decode(dead_letter(record, 0, ContractError("the key is no id", "key")).value)
    assert (made.deletion, made.source) == (True, b"no id")


def test_an_array_of_nothing_but_bad_entries_makes_one_letter():
    entries = list(read_events(Record("interactions", 2, 1041, PRODUCED_AT, None, b"[" + b"1," * 400_000 + b"1]")))
    assert len(entries) == 1
    assert str(MOST_REFUSED) in str(entries[0][1])
    far = msgspec.json.encode([{**EVENT, "occurred_at": "2031-01-01T00:00:00Z"}] * (MOST_REFUSED + 1))
    assert len(list(read_events(Record("interactions", 2, 1041, PRODUCED_AT, None, far)))) == 1


def test_a_long_unknown_type_is_refused_in_linear_time():
    """64,000 spaces took 11 s, and 900,000 would take 40 minutes: this test would not come back."""
    payload = b'{"username":"ada","post_id":7,"interaction_type":"' + b" " * 900_000 + b'"}'
    with pytest.raises(ContractError) as told:
        decode_message(payload)
    assert told.value.field == "interaction_type"
    assert len(str(told.value)) <= 500
