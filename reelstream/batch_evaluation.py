"""`evaluate batch`: a data set's events as the snapshot that the batch models learn from, without PostgreSQL."""

from collections.abc import Iterator
from itertools import islice

import msgspec

from batch_models.dataset import Columns, Interactions, Row
from schemas.errors import ReelstreamError
from schemas.events import Interaction
from schemas.posts import decode_post
from schemas.users import User

from .datasets.folder import Folder


def read(folder: Folder, limit: int | None) -> Interactions:
    """The first `limit` lines, sound events each once, and every post of the data set.

    Raises ReelstreamError for a folder that can't be read, or without a sound event.
    """
    columns = Columns()
    columns.extend(_rows(folder, limit))
    posts = [decode_post(msgspec.json.encode(row.value)) for row in folder.posts() if isinstance(row.value, dict)]
    users = (row.value for row in folder.users() if isinstance(row.value, User))
    found = columns.interactions(dict.fromkeys((post.id for post in posts), True), posts, users)
    if not len(found):
        raise ReelstreamError(f"{folder.path} has no interaction that could be learnt from.")
    return found


def _rows(folder: Folder, limit: int | None) -> Iterator[Row]:
    seen: set[tuple[str, str | None]] = set()
    for event in islice(folder.events(), limit):
        each = event.value
        if not isinstance(each, Interaction) or (each.username, each.event_id) in seen or each.occurred_at is None:
            continue
        seen.add((each.username, each.event_id))
        value = 1.0 if each.interaction_value is None else each.interaction_value
        yield Row(each.username, each.post_id, each.interaction_type, value, each.occurred_at.timestamp())
