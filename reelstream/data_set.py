"""The data set of `reelstream up`: loaded once, its end streamed on at a visible pace, and what to try with it."""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from schemas.errors import ReelstreamError

from . import parts
from .child import Child
from .supervisor import Supervisor

HELD_BACK = 2_000
TAIL_RATE = 4
CATCH_UP_SECONDS = 600.0
LIKED = {"ml-100k": [50, 181, 172, 174, 210]}
"""Posts for the five likes: Star Wars and its like. For any other data set: what is trending."""


class DataSet:
    """name: None when there is none to load; then only what to try is said.

    What was done is remembered in `state`/loaded: Redis and PostgreSQL keep what the data set did to them.
    """

    def __init__(
        self, name: str | None, state: Path, url: str, environment: Mapping[str, str], supervisor: Supervisor,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._name, self._state, self._url, self._environment = name, state, url, environment
        self._supervisor, self._say = supervisor, say

    async def load(self, caught_up: Callable[[float], Awaitable[bool]]) -> None:
        """Sends all but the end through Kafka, waits until the workers have applied it, and says what to try."""
        if self._name is not None and not self._is_done("replay"):
            log = self._state / "logs" / "replay.log"
            self._say(f"loading {self._name}; progress in {log}")
            if await self._replayed("replay", ["--hold-back", str(HELD_BACK)]):
                began = time.monotonic()
                last_line = log.read_text(errors="replace").splitlines()[-1]
                self._say(f"loaded {self._name}: {last_line}")
                if await caught_up(CATCH_UP_SECONDS):
                    self._say(f"the workers caught up {time.monotonic() - began:.1f} s later")
                    self._remember("replay")
        self._say(await self._what_to_try())

    async def stream_tail(self) -> None:
        """Streams the end, so that trending moves; returns when all of it is sent."""
        if self._name is not None and self._is_done("replay") and not self._is_done("tail"):
            self._say(f"streaming the last {HELD_BACK:,} events of {self._name}, {TAIL_RATE} a second")
            if await self._replayed("tail", ["--tail", str(HELD_BACK), "--rate", str(TAIL_RATE)]):
                self._remember("tail")

    async def _replayed(self, child_name: str, options: list[str]) -> bool:
        child = self._child(child_name, options)
        await self._supervisor.start(child)
        status = await self._supervisor.finished(child_name)
        if status:
            self._say(
                f"{self._name} was not sent as a whole; the next `up` on this directory tries again."
                f"{self._supervisor.log_tail(child_name)}"
            )
        return status == 0

    def _child(self, name: str, options: list[str]) -> Child:
        return parts.replay(name, str(self._name), [*options, "--data", str(self._state)], self._environment)

    def _key(self, phase: str) -> str:
        # A folder by its full path, as `up` may be started from another place next time.
        path = Path(str(self._name))
        return f"{phase} {path.resolve() if path.is_dir() else self._name}"

    def _is_done(self, phase: str) -> bool:
        marks = self._state / "loaded"
        return marks.exists() and self._key(phase) in marks.read_text().splitlines()

    def _remember(self, phase: str) -> None:
        with (self._state / "loaded").open("a") as marks:
            marks.write(f"{self._key(phase)}\n")

    async def _what_to_try(self) -> str:
        feed = f'curl -s \'{self._url}/api/v1/feed?username=you&page_size=10\' | grep -o \'"title":"[^"]*"\''
        likes = [{"username": "you", "post_id": post_id, "interaction_type": "like"} for post_id in await self._liked()]
        return (
            f"\nOpen {self._url}/ in a browser, or paste: a feed for `you`, five likes, the feed again, changed.\n\n"
            f"{feed}\n"
            f"curl -s {self._url}/api/v1/interactions -H 'Content-Type: application/json' -d '{json.dumps(likes)}'\n"
            f"sleep 1; {feed}\n"  # all three pasted at once would ask again within the 10 ms that it takes
        )

    async def _liked(self) -> list[int]:
        if self._name in LIKED:
            return LIKED[self._name]
        try:
            answer = json.loads(await parts.get(f"{self._url}/api/v1/trending?page_size=5"))
            found = [post["id"] for post in answer["post"]]
        except (ReelstreamError, KeyError):
            found = []
        return [*found, 1, 2, 3, 4, 5][:5]
