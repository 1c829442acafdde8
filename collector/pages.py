"""What a page of each kind of rows changes: published first, then remembered."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import msgspec

from schemas import topics
from schemas.errors import ContractError
from schemas.events import Interaction
from schemas.forgetting import FORGOTTEN_ROLE
from schemas.settings import Settings
from schemas.users import encode as encode_user

from . import changes
from .changes import Remembered, unknown_name
from .kinds import Kind
from .publishing import Publisher
from .rows import InteractionRow, read_interaction, read_post, read_user
from .store import Name, Scan, Seen, Store

ADMIN = "A"
ADMINS_OUT = "the user is an admin (COLLECT_ADMINS)"
FORGOTTEN = "the user was forgotten"
MOST_REASONS = 20
OTHER = "other reasons"
R = TypeVar("R")


class Pages:
    """Takes the rows of one scan. `take` may be given the same rows again: they change nothing then."""

    def __init__(self, kind: Kind, settings: Settings, store: Store, publisher: Publisher) -> None:
        self._kind, self._settings, self._store, self._publisher = kind, settings, store, publisher

    async def take(self, scan: Scan, rows: list[msgspec.Raw], page: int) -> int:
        """Publishes what is new or changed, and remembers all, and that the scan is done with `page`.

        Returns how many rows the scan had not met before; of a page without any that can be read, all. Raises
        ServiceUnavailable, WrongMode.
        """
        if self._kind.interaction is not None:
            return await self._take_interactions(scan, rows, page)
        return await (self._take_users if self._kind.key == "users" else self._take_posts)(scan, rows, page)

    def name_of(self, user_id: int, names: dict[int, Name]) -> str | None:
        """Under which name a user's rows are published; None: not at all, as of an admin."""
        name = names.get(user_id)
        if name is None:
            return unknown_name(user_id)
        out = name.role == FORGOTTEN_ROLE or (name.role == ADMIN and not self._settings.collect_admins)
        return None if out else name.username

    async def _take_interactions(self, scan: Scan, raw: list[msgspec.Raw], page: int) -> int:
        kind, store, status, now = self._kind, self._store, scan.status, datetime.now(UTC)
        rows, reasons = await asyncio.to_thread(_read_all, raw, lambda row: read_interaction(kind, row))
        by_id = {row.id: row for row in rows}
        names = await store.names({row.user_id for row in by_id.values()})
        before = await store.interactions(kind, by_id)
        events, after = [], []
        met, published, unchanged, unreadable = 0, 0, 0, len(reasons)
        for row in by_id.values():
            remembered, username = before.get(row.id), self.name_of(row.user_id, names)
            made, now_remembered = changes.publish(kind, row, remembered, username, scan.number, now)
            events += made
            after.append(now_remembered)
            if remembered is not None and remembered.scan == scan.number and not made:
                continue
            met += 1
            if username is None:
                reasons.append(FORGOTTEN if names[row.user_id].role == FORGOTTEN_ROLE else ADMINS_OUT)
                status.taken_back += bool(made)
            elif made:
                published += 1
            else:
                unchanged += 1
        await self._publisher.events(events)
        self._count(scan, page, met + unreadable, published, unchanged, reasons)
        async with store.together():
            await store.remember_interactions(kind, after)
            await store.save(kind, scan)
        return met if rows else unreadable

    async def drop_missing(self, scan: Scan, most: int) -> int:
        """Takes back what stands of up to `most` rows that the scan did not meet, or deletes those posts; how many."""
        store = self._store
        if self._kind.interaction is None:
            gone = await store.missing_posts(scan.number, most)
            await self._publisher.rows(topics.POSTS, {str(post_id): None for post_id in gone})
            await store.drop_posts(gone)
            return len(gone)
        rows = await store.missing(self._kind, scan.number, most)
        taken = [changes.take_back(self._kind, row) for row in rows]
        await self._publisher.events(event for events, _ in taken for event in events)
        await store.remember_interactions(self._kind, [after for _, after in taken])
        return len(rows)

    async def _take_posts(self, scan: Scan, raw: list[msgspec.Raw], page: int) -> int:
        rows, reasons = await asyncio.to_thread(_read_all, raw, read_post)
        messages = {row.id: row.message for row in rows}
        digests = {post_id: _digest(message) for post_id, message in messages.items()}
        news = _news(digests, await self._store.posts(messages), scan.number)
        await self._publisher.rows(topics.POSTS, {str(post_id): messages[post_id] for post_id in news.changed})
        self._count_news(scan, page, news, reasons)
        async with self._store.together():
            await self._store.remember_posts(digests, scan.number)
            await self._store.save(self._kind, scan)
        return news.fresh if rows else len(reasons)

    async def _take_users(self, scan: Scan, raw: list[msgspec.Raw], page: int) -> int:
        """The row of an old name goes when its user has another one. Attributes of other publishers stay."""
        store = self._store
        rows, reasons = await asyncio.to_thread(_read_all, raw, read_user)
        users = {row.id: row for row in rows}
        names = {user_id: {row.user.username, unknown_name(user_id)} for user_id, row in users.items()}
        before, gone = await store.users(users), await store.forgotten(set().union(*names.values()))
        out = [i for i in users if names[i] & gone or (i in before and not before[i].username)]
        reasons += [FORGOTTEN] * len(out)
        for user_id in out:
            del users[user_id]
        digests = {user_id: _digest(row.message) for user_id, row in users.items()}
        news = _news(digests, before, scan.number)
        messages: dict[str, bytes | None] = {before[i].username: None for i in news.changed if i in before}
        others = await store.attributes([users[user_id].user.username for user_id in news.changed])
        for user_id in news.changed:
            user = users[user_id].user
            merged = {**others.get(user.username, {}), **user.attributes}
            messages[user.username] = encode_user(msgspec.structs.replace(user, attributes=merged))
        await self._publisher.rows(topics.USERS, messages)
        self._count_news(scan, page, news, reasons)
        remembered = [(i, row.user.username, row.user.role, digests[i]) for i, row in users.items()]
        # The number stays, as their rows name them by it.
        remembered += [(user_id, "", FORGOTTEN_ROLE, b"") for user_id in out]
        async with store.together():
            await store.remember_users(remembered, scan.number)
            await store.save(self._kind, scan)
        return news.fresh if rows else len(reasons)

    def _count_news(self, scan: Scan, page: int, news: "_News", reasons: list[str]) -> None:
        self._count(scan, page, news.fresh + len(reasons), len(news.changed), news.unchanged, reasons)

    def _count(self, scan: Scan, page: int, rows: int, published: int, unchanged: int, reasons: list[str]) -> None:
        """Rows that can't be read have no id to tell a repetition by: they count whenever they are met."""
        status = scan.status
        scan.page = status.page = page
        status.rows += rows
        status.published += published
        status.unchanged += unchanged
        for reason in reasons:
            known = reason in status.skipped or len(status.skipped) < MOST_REASONS
            name = reason if known else OTHER
            status.skipped[name] = status.skipped.get(name, 0) + 1


async def move_names(kind: Kind, pages: Pages, store: Store, publisher: Publisher, admins_out: bool, most: int) -> int:
    """Moves events to the names that their users have by now; returns how many rows moved.

    By events, not by rewriting state: what stood under the old name is taken back, at its own time, and published under
    the new one. So counts, histories, the record and whoever listens agree, and no second writer touches a user.
    """
    moved, after = 0, -1
    while rows := await store.misnamed(kind, after, admins_out, most):
        names = await store.names({row.user_id for row in rows})
        events, remembered = [], []
        for row in rows:
            made, now = _moved(kind, row, pages.name_of(row.user_id, names))
            events += made
            remembered.append(now)
        await publisher.events(events)
        await store.remember_interactions(kind, remembered)
        moved += len(rows)
        after = rows[-1].id
    return moved


def _moved(kind: Kind, row: Remembered, username: str | None) -> tuple[list[Interaction], Remembered]:
    as_row = InteractionRow(row.id, row.user_id, row.post_id, row.value, row.at)
    return changes.publish(kind, as_row, row, username, row.scan, row.at)


def _read_all(raw: list[msgspec.Raw], read: Callable[[msgspec.Raw], R]) -> tuple[list[R], list[str]]:
    """Rows, and of those that can't be used the reasons. In a thread: 1,000 posts take 50 ms."""
    rows, reasons = [], []
    for each in raw:
        try:
            rows.append(read(each))
        except ContractError as error:
            reasons.append(str(error))
    return rows, reasons


class _News(NamedTuple):
    """fresh: rows that the scan had not met. changed: ids of those to be published. unchanged: fresh, and as before."""

    fresh: int
    changed: list[int]
    unchanged: int


def _news(digests: Mapping[int, bytes], before: Mapping[int, Seen], scan: int) -> _News:
    """What a page of posts or users brings."""
    changed = [i for i, digest in digests.items() if i not in before or before[i].digest != digest]
    fresh = {i for i in digests if i not in before or before[i].scan != scan}
    return _News(len(fresh), changed, len(fresh.difference(changed)))


def _digest(message: bytes) -> bytes:
    return blake2b(message, digest_size=16).digest()
