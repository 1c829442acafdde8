"""Rows that tests write into the record by themselves."""

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg


async def record_likes(connection: asyncpg.Connection, rows: Sequence[tuple[Any, ...]], posts: Iterable[int]) -> None:
    """rows: of `interactions` in the order of the columns below. posts: ids of those that may be shown."""
    await connection.copy_records_to_table(
        "interactions", records=rows,
        columns=["event_id", "username", "post_id", "interaction_type", "interaction_value", "occurred_at",
                 "log_partition", "log_offset", "log_index"],
    )  # fmt: skip
    await connection.copy_records_to_table(
        "posts", records=[(post, "", "", [], "", True, "{}") for post in posts],
        columns=["id", "title", "category", "tags", "author", "servable", "row"],
    )  # fmt: skip
