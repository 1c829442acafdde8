"""The live trending list: what changes in the mirror, told to everybody who listens, each second.

It is made from the mirror, which has each event milliseconds after it was applied, and not from the topic `trending`:
so a post that was hidden or deleted leaves the list within the second, and the stream goes on without Kafka.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
import structlog

from schemas.errors import ServiceUnavailable

from .catalogue import Catalogue
from .matching import category
from .mirror import Mirror
from .stages import Query
from .trending import listed, moves, ranked
from .trending_past import TrendingPast

TICK_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 15.0
MOST_LISTENERS = 2_000
MOST_WAITING = 32
"""Events that wait for one listener; who lets more wait is dropped."""
MOST_REMEMBERED = 128
"""Changes of each list to which a listener that was away can come back."""
MOST_LISTS = 64
"""Lists that nobody listens to and that are remembered nevertheless."""

_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger()


class Channel(NamedTuple):
    """What is listened to. category: as the listener wrote it, None for all."""

    window: str
    category: str | None
    size: int


@dataclass(eq=False)
class Listener:
    """events: what was not sent yet. closed: nothing more comes after these."""

    events: deque[bytes] = field(default_factory=deque)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False

    def tell(self, event: bytes) -> None:
        """Drops a listener that lets MOST_WAITING wait, with a last word instead of what waits."""
        if self.closed:
            return
        if len(self.events) >= MOST_WAITING:
            self.events.clear()
            event = _event("dropped", None, {"reason": "too slow: connect again with the id of the last event"})
            self.closed = True
        self.events.append(event)
        self.ready.set()

    def close(self) -> None:
        self.closed = True
        self.ready.set()

    async def read(self) -> AsyncIterator[bytes]:
        """Events as they come, and a comment each KEEP_ALIVE_SECONDS without one, until it is closed."""
        while True:
            while self.events:
                yield self.events.popleft()
            if self.closed:
                return
            self.ready.clear()
            try:
                await asyncio.wait_for(self.ready.wait(), KEEP_ALIVE_SECONDS)
            except TimeoutError:
                yield b": keep-alive\n\n"


@dataclass
class _List:
    """shown: post id → what the listeners have of it, in order. changes: id of the event → the event."""

    number: int = 0
    shown: dict[int, dict[str, Any]] = field(default_factory=dict)
    changes: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=MOST_REMEMBERED))
    listeners: set[Listener] = field(default_factory=set)


class TrendingStream:
    """Makes each list once, whoever listens: an event is encoded once and queued for all."""

    def __init__(self, mirror: Mirror, past: TrendingPast) -> None:
        self._mirror = mirror
        self._past = past
        self._epoch = secrets.token_hex(4)  # ids of another process or start are not ours
        self._lists: dict[Channel, _List] = {}

    async def run(self) -> None:
        """Looks each TICK_SECONDS for what changed, for ever."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                self.tick(time.time())
            except Exception:
                _log.exception("trending stream failed, trying again")

    def tick(self, now: float) -> None:
        query = Query("", now, self._mirror.catalogue)
        for channel, found in self._lists.items():
            if found.listeners:
                self._update(query, channel, found)
        for channel in [channel for channel, found in self._lists.items() if not found.listeners][:-MOST_LISTS]:
            del self._lists[channel]

    def listen(self, channel: Channel, last_event_id: str | None) -> Listener:
        """A listener that gets a snapshot, or what it missed since its last event. Raises ServiceUnavailable."""
        if sum(len(found.listeners) for found in self._lists.values()) >= MOST_LISTENERS:
            raise ServiceUnavailable(f"{MOST_LISTENERS} listeners are connected to this process; try another.")
        found = self._lists.setdefault(channel, _List())
        self._update(Query("", time.time(), self._mirror.catalogue), channel, found)
        listener = Listener()
        missed = self._missed(found, last_event_id)
        if missed is None:
            posts = list(found.shown.values())
            listener.tell(self._event("snapshot", found, {"window": channel.window, "at": time.time(), "post": posts}))
        for event in missed or []:
            listener.tell(event)
        found.listeners.add(listener)
        return listener

    def leave(self, channel: Channel, listener: Listener) -> None:
        listener.close()
        if (found := self._lists.get(channel)) is not None:
            found.listeners.discard(listener)

    def end(self) -> None:
        """Closes all listeners, as the process is about to: they would hold it up otherwise."""
        for found in self._lists.values():
            for listener in found.listeners:
                listener.close()

    def _missed(self, found: _List, last_event_id: str | None) -> list[bytes] | None:
        """The changes after an event; None when that is not remembered, or when they are too many to wait."""
        epoch, _, number = (last_event_id or "").partition("-")
        if epoch != self._epoch or not (number.isascii() and number.isdigit() and len(number) < 16):
            return None
        since, first = int(number), found.changes[0][0] if found.changes else found.number + 1
        if not first - 1 <= since <= found.number or found.number - since >= MOST_WAITING:
            return None
        return [event for number, event in found.changes if number > since]

    def _update(self, query: Query, channel: Channel, found: _List) -> None:
        """Tells the listeners how the list changed, if it did."""
        shown = self._now(query, channel)
        if list(shown) == list(found.shown):
            return
        change = {
            "at": query.now,
            "entered": [post for post_id, post in shown.items() if post_id not in found.shown],
            "left": [post_id for post_id in found.shown if post_id not in shown],
            "moved": [
                {"post_id": post_id, **post["trending"]}
                for post_id, post in shown.items()
                if post_id in found.shown and post["trending"]["rank"] != found.shown[post_id]["trending"]["rank"]
            ],
        }
        found.shown = shown
        found.number += 1
        event = self._event("change", found, change)
        found.changes.append((found.number, event))
        for listener in [*found.listeners]:
            listener.tell(event)
            if listener.closed:
                found.listeners.discard(listener)

    def _now(self, query: Query, channel: Channel) -> dict[int, dict[str, Any]]:
        catalogue: Catalogue = query.catalogue
        matches = [category(catalogue, channel.category)] if channel.category is not None else []
        kept = self._past.shown_to_all(query)
        for match in matches:
            kept &= match.of(catalogue, np.arange(catalogue.size))
        slots = ranked(query, kept, channel.window, channel.size)[0].tolist()
        moved = moves(query, matches, self._past.of(catalogue, channel.window, query.now)[1], slots)
        return {post["id"]: post for post in listed(query, channel.window, slots, moved)}

    def _event(self, kind: str, found: _List, data: dict[str, Any]) -> bytes:
        return _event(kind, f"{self._epoch}-{found.number}", data)


def _event(kind: str, number: str | None, data: dict[str, Any]) -> bytes:
    """A server-sent event; JSON has no line ends."""
    name = f"id: {number}\n" if number is not None else ""
    return f"event: {kind}\n{name}data: ".encode() + _encode(data) + b"\n\n"
