"""Posts: rows as publishers and the external API send them, and the form in which we keep them."""

import re
import zlib
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from .decoding import decode as read
from .decoding import one_or_many, refuse_nul
from .errors import ContractError, ReelstreamError
from .events import MOST_ID, PostId
from .row_compression import compress, decompress

_OWNER_FIELDS = (
    "first_name", "last_name", "username", "picture_url", "user_type", "has_evm_wallet", "has_solana_wallet",
)  # fmt: skip


_YEAR_10000_MS = 253_402_300_800_000
MOST_SUMMARY_WORDS = 48
MOST_WORD_CHARACTERS = 40
MOST_ROW_BYTES = 256 * 1024
"""Of a row as it is kept. It travels in an item signal with its texts twice, and brokers take 1 MB a message."""

MOST_HASHTAGS = 16
"""A title may be a whole caption, and some captions are hashtags alone."""

Whole = Annotated[int, msgspec.Meta(ge=-(2**53) + 1, le=2**53 - 1)]
CategoryName = Annotated[str, msgspec.Meta(max_length=128)]
"""Bounded, as it is part of Redis keys and the key of messages on topic `trending`."""


class PostCategory(msgspec.Struct):
    """Category of a post, where it is not named by a string alone."""

    id: Whole | None = None
    name: CategoryName | None = None


class PostTopic(msgspec.Struct):
    """Topic of a post, where it is not named by a string alone."""

    name: str | None = None
    project_code: str | None = None


class PostRow(msgspec.Struct):
    """A post as publishers and the external API send it: the fields that we read; all others are kept as they came.

    Only `id` is required. created_at: ISO 8601, or milliseconds since 1970. topic: `[]` means none. The author is
    `username` on the row or under `owner`. Posts out of the public feed, and locked ones, are never recommended.
    """

    id: PostId
    title: str | None = None
    category: CategoryName | PostCategory | None = None
    topic: str | PostTopic | list[Any] | None = None
    tags: list[str] | None = None
    username: str | None = None
    owner: dict[str, Any] | None = None
    created_at: str | Whole | float | None = None
    duration_ms: Whole | float | None = None
    mood: str | None = None
    is_available_in_public_feed: bool | None = None
    is_locked: bool | None = None
    post_summary: Any = None


class Post(msgspec.Struct, array_like=True, gc=False):
    """A post as Redis, the item signals and the API's mirror hold it (msgpack).

    created_at: seconds since 1970, 0 when unknown. duration_ms: 0 when unknown.
    tags: the row's, then the hashtags of its title, in small letters, at most MOST_HASHTAGS of them.
    servable: in the public feed and not locked; nothing else is ever recommended.
    item: the JSON object that feeds answer: the row as it came, without `post_summary`, its author under `owner`.
    locked: then it is not servable. words: emotions and keywords of `post_summary`, small letters.
    """

    id: int
    title: str
    category: str
    category_id: int
    topic: str
    project_code: str
    tags: list[str]
    author: str
    created_at: float
    duration_ms: float
    mood: str
    servable: bool
    item: bytes
    locked: bool = False
    words: list[str] = msgspec.field(default_factory=list)


_row = msgspec.json.Decoder(PostRow)
_id = re.compile(rb"[1-9][0-9]{0,15}")
_hashtag = re.compile(r"#(\w{1,64})")
_object = msgspec.json.Decoder(dict[str, Any])


def decode_post(payload: bytes | msgspec.Raw) -> Post:
    """Decodes one row; only `id` is required. Raises ContractError naming the field and what is allowed."""
    row, whole = read(_row, payload), read(_object, payload)
    refuse_nul(payload)
    created_at = _epoch_seconds(row.created_at)
    category, topic = row.category, row.topic
    if isinstance(category, str):
        category = PostCategory(name=category)
    if isinstance(topic, str):
        topic = PostTopic(name=topic)
    owner = {**{key: whole.pop(key) for key in _OWNER_FIELDS if key in whole}, **(row.owner or {})}
    if "name" not in owner:
        owner["name"] = f"{_text(owner, 'first_name')} {_text(owner, 'last_name')}".strip()
    whole.pop("post_summary", None)
    whole["owner"] = owner
    item = msgspec.json.encode(whole)
    if len(item) > MOST_ROW_BYTES:
        raise ContractError(f"the row takes {len(item)} bytes; allowed are {MOST_ROW_BYTES}, post_summary aside")
    return Post(
        id=row.id,
        title=row.title or "",
        category=(category and category.name) or "",
        category_id=(category and category.id) or 0,
        topic=topic.name or "" if isinstance(topic, PostTopic) else "",
        project_code=topic.project_code or "" if isinstance(topic, PostTopic) else "",
        tags=_tags(row.tags or [], row.title or ""),
        author=_text(owner, "username"),
        created_at=created_at,
        duration_ms=float(row.duration_ms or 0),
        mood=row.mood or "",
        servable=row.is_available_in_public_feed is not False and row.is_locked is not True,
        item=item,
        locked=row.is_locked is True,
        words=summary_words(row.post_summary),
    )


def summary_words(summary: Any) -> list[str]:
    """Emotions and keywords of a `post_summary`, which has no fixed schema: whatever text its sections `emotions` and
    `keywords` hold, in small letters, each once, at most MOST_SUMMARY_WORDS."""
    found: dict[str, None] = {}
    pending = [summary.get("emotions"), summary.get("keywords")] if isinstance(summary, dict) else []
    while pending and len(found) < MOST_SUMMARY_WORDS:
        value = pending.pop(0)
        if isinstance(value, str):
            found |= dict.fromkeys(word.strip().casefold() for word in value.split(",") if word.strip())
        elif isinstance(value, dict):
            pending[:0] = value.values()
        elif isinstance(value, list):
            pending[:0] = value
    return [word[:MOST_WORD_CHARACTERS] for word in [*found][:MOST_SUMMARY_WORDS]]


def decode_posts(payload: bytes) -> list[Post | ContractError]:
    """Decodes one row or an array of rows; a bad row comes back as the ContractError that says why, in its place."""
    return one_or_many(payload, decode_post)


def deleted_post(key: bytes | None) -> int:
    """The post that a null value under this key deletes. Raises ContractError."""
    if key is None or not _id.fullmatch(key) or int(key) > MOST_ID:
        raise ContractError("the key of a deletion is the id of the post", "key")
    return int(key)


def _tags(tags: list[str], title: str) -> list[str]:
    known = {tag.casefold() for tag in tags}
    found = dict.fromkeys(tag.casefold() for tag in _hashtag.findall(title))
    return [*tags, *[tag for tag in found if tag not in known][:MOST_HASHTAGS]]


def _text(owner: dict[str, Any], name: str) -> str:
    """A field of the author, which nothing promises to be text."""
    value = owner.get(name)
    return value if isinstance(value, str) else ""


def _epoch_seconds(value: str | int | float | None) -> float:
    """Epoch milliseconds, or ISO 8601 (UTC when it names no offset), as seconds since 1970. Raises ContractError."""
    if value is None or value == "":
        return 0.0
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise ContractError(
                f"created_at: {value[:40]!r} is neither ISO 8601 nor epoch milliseconds", "created_at"
            ) from None
        value = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000
    if not 0 <= value < _YEAR_10000_MS:
        raise ContractError("created_at: lies outside 1970 to 9999", "created_at")
    return value / 1000


def encode(post: Post) -> bytes:
    """The post as Redis keeps it: its JSON compressed."""
    return _encoder.encode(msgspec.structs.replace(post, item=compress(post.item)))


def decode(payload: bytes) -> Post:
    """The inverse of encode. Raises ReelstreamError for another format."""
    post = decode_described(payload)
    try:
        post.item = decompress(post.item)
    except zlib.error as error:
        raise _unreadable(error) from None
    return post


def decode_described(payload: bytes) -> Post:
    """The same with `item` as it is in Redis: half of the time, where nobody looks at it. Raises ReelstreamError."""
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> ReelstreamError:
    return ReelstreamError(f"a post's row can't be read ({error}): run `reelstream rebuild`")


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Post)
