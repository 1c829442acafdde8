"""What each message has to become: rows that survive everything behind the reader, or dead letters that can be sent.

Anything else is an exception in a worker, which tries the same message again for ever. Both fuzzers and the tests call
`survive`; PostgreSQL itself sees a sample in tests/integration/test_dead_letters.py.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from api.catalogue import Catalogue
from online_models import user_history
from online_models.co_visitation import CoVisitation
from online_models.decayed_counters import DecayedCounters, trending_score
from online_models.event_ids import event_hash
from schemas import dead_letters, keys, posts, signals, topics, users
from schemas.errors import ContractError
from schemas.events import DEFAULT_WEIGHTS, MOST_ID, decode_interaction
from schemas.posts import Post
from schemas.signals import PostChanged, SignalBatch
from schemas.topics import INTERACTIONS, POSTS, owner, post_owner
from schemas.user_state import UserState
from schemas.users import User
from streams.posts import read_rows as read_posts
from streams.producing import Outgoing, dead_letter
from streams.reading import ReadEvent, read_events
from streams.record import Record
from streams.touch_writer import TouchWriter, touch_messages
from streams.users import read_rows as read_users

MOST_MESSAGE_BYTES = 1_000_000
"""A broker takes 1,048,588 with its header, unless told otherwise."""


def survive(topic: str, value: bytes | None, at: float = 1_795_381_200.0, key: bytes | None = None) -> tuple[int, int]:
    """Reads one message; returns how many rows survived and how many were refused.

    at: when it was produced, in seconds. Raises whatever a worker would have raised.
    """
    record = Record(topic, 2, 1041, at, key, value)
    read: list[object]
    if topic == INTERACTIONS:
        read = [*read_events(record)]
    else:
        rows = read_posts(record) if topic == POSTS else read_users(record)
        read = [(index, row) if isinstance(row, ContractError) else row[1] or row[0] for index, row in enumerate(rows)]
    refused = 0
    for index, row in enumerate(read):
        match row:
            case ReadEvent():
                _event_survives(row)
            case Post():
                _post_survives(PostChanged(1041, index, row.id, row))
            case User():
                _user_survives(row)
            case (int(place), ContractError() as error):
                refused += 1
                _letter_can_be_sent(record, dead_letter(record, place, error))
            case int():
                assert 1 <= row <= MOST_ID
                signals.encode(SignalBatch("generation", "log", POSTS, 2, None, [PostChanged(1041, index, row, None)]))
            case str():
                _text_survives([row])
            case _:
                raise AssertionError(f"neither a row nor a refusal: {row!r}")
    return len(read) - refused, refused


def _event_survives(event: ReadEvent) -> None:
    """Stage 1, the signals it sends, stage 2, and the row of the record."""
    interaction = event.interaction
    _text_survives(
        text
        for text in (interaction.username, event.event_id, interaction.recommendation_id, interaction.session_id,
                     interaction.source, keys.user_state(owner(interaction.username, 4), interaction.username))
        if text is not None
    )  # fmt: skip
    event_hash(interaction.username, event.event_id)
    datetime.fromtimestamp(event.at, UTC)
    forwarded = msgspec.json.encode(msgspec.structs.replace(interaction, event_id=event.event_id))
    assert decode_interaction(forwarded) == msgspec.structs.replace(interaction, event_id=event.event_id)
    state, past = UserState(), event.history_event
    user_history.learn_one(state, past._replace(post_id=7), DEFAULT_WEIGHTS)
    effect = user_history.learn_one(state, past, DEFAULT_WEIGHTS)
    assert UserState.decode(state.encode()) == state
    writer = TouchWriter(4)
    writer.add(event.offset, event.entry, past.post_id, event.at, past.type_code, effect)
    for message in touch_messages(writer, ("generation", "log", INTERACTIONS, 2), event.at):
        touches = signals.decode(message.value or b"").touches
        assert touches is not None
        assert touches.post_id.tolist() == [past.post_id]
        assert touches.at.tolist() == [event.at]
    counters, co_visitation = DecayedCounters(), CoVisitation()
    for at in (1.7e9, event.at, 1.9e9):
        counters.learn_one(past.post_id, past.type_code, effect.delta, effect.weight, at)
        co_visitation.learn_one(past.post_id, effect.context, effect.gain, at)
    for window in range(3):
        trending_score(counters.items[past.post_id], window)
    counters.items[past.post_id].encode()
    catalogue = Catalogue(capacity=4)
    catalogue.set_states([past.post_id], [counters.items[past.post_id]])
    post_owner(past.post_id, 4)


def _post_survives(changed: PostChanged) -> None:
    """The signal, the row in Redis, trending, the API's mirror and its answer, and the row of the record."""
    post = changed.post
    assert post is not None
    encoded = signals.encode(SignalBatch("generation", "log", POSTS, 2, None, [changed]))
    assert len(encoded) < MOST_MESSAGE_BYTES
    assert signals.decode(encoded).posts == [changed]
    assert posts.decode(posts.encode(post)) == post
    _text_survives([post.title, post.category, post.author, post.mood, keys.trending(0, "24h", post.category)])
    assert len(post.category) <= 128
    _json_survives(post.item)
    if post.created_at:
        datetime.fromtimestamp(post.created_at, UTC)
    Catalogue(capacity=4).set_row(post.id, post)


def _user_survives(user: User) -> None:
    encoded = users.encode(user)
    _text_survives([user.username, user.role or "", keys.user_profile(owner(user.username, 4), user.username)])
    _json_survives(encoded)


def _text_survives(texts: Iterable[str]) -> None:
    """UTF-8, and no NUL: what Redis, Kafka and PostgreSQL's text take."""
    for text in texts:
        assert b"\0" not in text.encode()


def _json_survives(encoded: bytes) -> None:
    """What PostgreSQL's jsonb takes, and the API decodes again."""
    found = [msgspec.json.decode(encoded)]
    while found:
        value = found.pop()
        if isinstance(value, str):
            _text_survives([value])
        elif isinstance(value, dict):
            found += [*value, *value.values()]
        elif isinstance(value, list):
            found += value


def _letter_can_be_sent(record: Record, letter: Outgoing) -> None:
    assert letter.topic == topics.DEAD_LETTERS
    assert len(letter.value) < MOST_MESSAGE_BYTES
    told = dead_letters.decode(letter.value)
    assert told.name.startswith(f"{record.topic}-2-1041-")
    assert told.reason
    assert (told.reason + told.field).isprintable()
    assert len(told.reason) <= 500
    assert told.source in ((record.key if record.value is None else record.value) or b"")
    assert told.cut or told.size == len(told.source)
