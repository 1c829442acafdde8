"""Poison: hypothesis strategies for messages, biased to what breaks readers."""

import json
from collections.abc import Iterator, Mapping

from hypothesis import strategies as st

from schemas.events import INTERACTION_TYPES
from schemas.topics import IMPRESSIONS, INTERACTIONS, POSTS, USERS

Json = st.SearchStrategy[bytes]

STRINGS = [
    b'""', b'" "', b'"\\ud800"', b'"a\\udc00b"', b'"\\ud83d\\ude00"', b'"\\udbff\\udfff"', b'"\\u0000"',
    b'"\\\\u0000"', b'"a\x00b"', b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\x7f\xc2\x85\xe2\x80\xae"',
    b'"\\u001b[2J"', b'"\xef\xbf\xbf"', b'"all"', b'"x - at `$.username`"', b'"' + b" " * 3000 + b'"',
    b'"' + b"x" * 129 + b'"', b'"' + "é".encode() * 128 + b'"', b'"\\"', b'"[[[[{{{{"', b'"' + b"[" * 70 + b'"',
]  # fmt: skip
NUMBERS = [
    b"0", b"-0", b"-0.0", b"1", b"-1", b"1.0", b"0.5", b"1e400", b"-1e400", b"1e308", b"5e-324", b"1e-400", b"NaN",
    b"Infinity", b"-Infinity", b"true", b"false", b"null", b"01", b"1.", b"0x10", b"1" + b"0" * 400, b"9" * 5000,
    b"9007199254740991", b"9007199254740992", b"9223372036854775808", b"18446744073709551616", b"-9223372036854775809",
    b"253402300799999.99", b"4102444800000", b"1e15", b"1001", b"100", b"0.0004",
]  # fmt: skip
TIMES = [
    f'"{text}"'.encode()
    for text in (
        "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "1971-01-01T00:00:00+23:59",
        "2001-09-09T01:46:40Z", "2001-09-10T01:46:41Z", "2026-11-22T20:54:00.123Z", "2026-11-22T20:54:00",
        "2026-11-22", "2099-12-31T23:59:59.999999Z", "2100-01-01T00:00:00Z", "9999-12-31T23:59:59+14:00",
        "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.9999999Z", "2026-02-30T00:00:00Z", "2016-12-31T23:59:60Z",
        "2026-W01", "2026-11-22T24:00:00Z", "-2026-01-01T00:00:00Z", "2026-01-01T00:00:00+23:59:59.999999",
    )
]  # fmt: skip
PRODUCED_AT = [-0.001, 0.0, 1e9, 1_795_381_200.0, 4_102_444_799.999, 4_102_444_800.0, 253_402_300_800.0, 9.2e15]
"""Seconds. -0.001 is Kafka's word for none; the last is the largest that a message can carry."""


def _nested(levels: int) -> list[bytes]:
    return [b"[" * levels + b"]" * levels, b'{"a":' * levels + b"1" + b"}" * levels, b"[" * levels, b'[{"a":' * levels]


DEEP = [text for levels in (63, 64, 65, 200, 990, 3000) for text in _nested(levels)]
NASTY = [*STRINGS, *NUMBERS, *TIMES, *DEEP]


GOOD: dict[str, dict[str, bytes]] = {
    INTERACTIONS: {
        "username": b'"ada"', "post_id": b"7", "interaction_type": b'"like"', "interaction_value": b"1",
        "occurred_at": b'"2026-11-22T20:54:00.123Z"', "event_id": b'"e"', "recommendation_id": b'"r"',
        "session_id": b'"s"', "source": b'"app"', "schema_version": b"1", "take_back": b"false",
        "unknown": b"1",
    },
    POSTS: {
        "id": b"7", "title": b'"t"', "category": b'{"id":13,"name":"Flic"}', "topic": b'{"name":"n"}', "tags": b'["a"]',
        "username": b'"u"', "first_name": b'"f"', "owner": b'{"name":"o"}', "created_at": b"1740249695000",
        "duration_ms": b"1.5", "mood": b'"calm"', "is_locked": b"false",
        "is_available_in_public_feed": b"true", "post_summary": b"{}", "unknown": b"1",
    },
    USERS: {
        "username": b'"ada"', "id": b"114", "role": b'"U"', "first_name": b'"f"', "last_name": b'"l"', "bio": b'"b"',
        "attributes": b'{"age":36}', "unknown": b"1",
    },
    IMPRESSIONS: {
        "recommendation_id": b'"r"', "username": b'"ada"', "session_id": b'"s"', "served_at": b"1795381200.5",
        "algorithm_used": b'"svd"', "model_versions": b'{"svd":"7"}', "position": b"0", "posts": b"[7]",
        "scores": b"[0.5]", "sources": b'[["svd"]]', "propensities": b"[1.0]", "features": b'[{"svd":0.5}]',
        "variant": b'"default"', "schema_version": b"1", "unknown": b"1",
    },
}  # fmt: skip
"""A sound row of each topic, field by field."""


def written(row: Mapping[str, bytes]) -> bytes:
    return b"{" + b",".join(b'"' + name.encode() + b'":' + value for name, value in row.items()) + b"}"


def each_field_spoilt(topic: str) -> Iterator[bytes]:
    """A sound row with each nasty value in each place: instead of a field, in an array, under a name, as a name."""
    for name, good in GOOD[topic].items():
        for nasty in NASTY:
            for value in (nasty, b"[" + nasty + b"]", b'{"name":' + nasty + b',"id":' + nasty + b"}"):
                yield written({**GOOD[topic], name: value})
            yield written(GOOD[topic])[:-1] + b"," + nasty + b":" + good + b"}"
    for nasty in NASTY:
        yield nasty
        yield b"[" + b",".join([written(GOOD[topic]), nasty, written(GOOD[topic])]) + b"]"


def _text(ensure_ascii: bool) -> Json:
    return st.text(max_size=40).map(lambda text: json.dumps(text, ensure_ascii=ensure_ascii).encode())


scalars: Json = st.one_of(
    st.sampled_from(STRINGS), st.sampled_from(NUMBERS), st.sampled_from(TIMES), _text(True), _text(False),
    st.integers().map(lambda number: str(number).encode()), st.floats().map(lambda number: repr(number).encode()),
)  # fmt: skip


def array(inner: Json, most: int = 4) -> Json:
    return st.lists(inner, max_size=most).map(lambda parts: b"[" + b",".join(parts) + b"]")


def _object(names: Json, values: Json) -> Json:
    """Names may come twice."""
    pairs = st.lists(st.tuples(names, values), max_size=4)
    return pairs.map(lambda found: b"{" + b",".join(name + b":" + value for name, value in found) + b"}")


_any_name = st.sampled_from([*STRINGS, b'"id"', b'"name"', b'"username"', b'"first_name"']) | _text(True)
anything: Json = st.recursive(
    scalars | st.sampled_from(DEEP), lambda inner: array(inner) | _object(_any_name, inner), max_leaves=6
)


def _row(required: Mapping[str, Json], optional: Mapping[str, Json]) -> Json:
    """An object that mostly keeps the contract, so that its one bad field is what is looked at."""

    def field(name: str, good: Json) -> Json:
        values = st.sampled_from([good] * 15 + [scalars | anything]).flatmap(lambda chosen: chosen)
        return values.map(lambda value: b'"' + name.encode() + b'":' + value)

    always = st.tuples(*(field(name, good) for name, good in required.items()))
    sometimes = st.lists(
        st.one_of(
            *(field(name, good) for name, good in optional.items()),
            st.tuples(_any_name, anything).map(lambda pair: pair[0] + b":" + pair[1]),
        ),
        max_size=5,
    )
    return st.tuples(always, sometimes).map(lambda parts: b"{" + b",".join([*parts[0], *parts[1]]) + b"}")


def _quoted(*values: str) -> Json:
    return st.sampled_from([json.dumps(value).encode() for value in values])


_ids = st.integers(1, 2**53 - 1).map(lambda number: str(number).encode())
_names = _quoted("ada", "用户", "a" * 128) | _text(True).filter(lambda text: text != b'""' and b"\\u0000" not in text)
_whens = st.sampled_from([*TIMES, *[b'"2001-09-09T01:46:40Z"'] * 20])
_event = _row(
    {"username": _names, "post_id": _ids, "interaction_type": _quoted(*INTERACTION_TYPES, "rate"),
     "interaction_value": st.sampled_from([b"1", b"1", b"0", b"0.5", b"100"])},
    {"occurred_at": _whens, "event_id": _names, "recommendation_id": _names, "session_id": _names, "source": _names,
     "schema_version": _ids},
)  # fmt: skip
_post = _row(
    {"id": _ids},
    {
        "title": _names, "tags": array(_names), "category": _names | _row({}, {"id": _ids, "name": _names}),
        "topic": _names | array(scalars) | _row({}, {"name": _names, "project_code": _names}),
        "created_at": _whens | _ids,
        "duration_ms": _ids, "mood": _names, "username": _names, "first_name": _names, "is_locked": scalars,
        "owner": _row({}, {"username": _names, "first_name": _names, "name": _names}), "post_summary": anything,
    },
)  # fmt: skip
_user = _row(
    {"username": _names},
    {"id": _ids, "role": _names, "bio": _names, "first_name": _names, "email": _names,
     "attributes": _object(_any_name, anything)},
)  # fmt: skip
_rows = {INTERACTIONS: _event, POSTS: _post, USERS: _user}


def _broken(whole: Json) -> Json:
    """A sound message with a few bytes put in, or its end cut off."""
    return st.tuples(whole, st.floats(0, 1), st.binary(max_size=3), st.booleans()).map(
        lambda parts: (
            parts[0][: int(parts[1] * len(parts[0]))]
            + parts[2]
            + (b"" if parts[3] else parts[0][int(parts[1] * len(parts[0])) :])
        )
    )


def values(topic: str) -> Json:
    """Values of messages of a topic."""
    row = _rows[topic]
    many = array(st.sampled_from([row] * 7 + [anything]).flatmap(lambda chosen: chosen), most=5)
    kinds = [row] * 6 + [many] * 6 + [_broken(row), _broken(many), anything, st.binary(max_size=60)]
    return st.sampled_from(kinds).flatmap(lambda chosen: chosen)


KEYS = [
    None, b"", b"1", b"ada", b"\xff", b"a\x00b", b"-5", b"0", b" 12 ", b"1_000", "١٢".encode(), b"9" * 16, b"9" * 4000,
    b"9" * 5000, b"x" * 129,
]  # fmt: skip
produced_at = st.sampled_from([*PRODUCED_AT, *[1_795_381_200.0] * 8]) | st.floats(0, 2e9)
