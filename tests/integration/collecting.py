"""Collecting in tests: the stand-in upstream in a thread, runs against it, and what its rows make."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from live_system import Client, System, eventually

from collector.kinds import KINDS
from collector.run import Run
from reelstream.dev_upstream.server import Upstream
from reelstream.dev_upstream.world import World
from schemas.messages import KindStatus
from schemas.settings import Settings

PARTITIONS = 4
PAGE_SIZE = 100
TOKEN, ALGORITHM = "stand-in token", "stand-in algorithm"
VIEWS, LIKES, RATINGS, POSTS = "/posts/view", "/posts/like", "/posts/rating", "/posts/summary/get"


def stand_in() -> Upstream:
    """A small world."""
    return Upstream(World(users=120, posts=80, interactions=1200), TOKEN, ALGORITHM)


@contextmanager
def serving(upstream: Upstream) -> Iterator[str]:
    """The stand-in in a thread of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(upstream, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    listening.close()


def secrets(url: str) -> dict[str, str]:
    """The environment of whoever collects from the stand-in at `url`."""
    return {"API_BASE_URL": url, "FLIC_TOKEN": TOKEN, "RESONANCE_ALGORITHM": ALGORITHM}


def settings_of(system: System, **changed: str) -> Settings:
    variables = {**system.environment, **changed}
    return Settings(_env_file=None, **{name.lower(): value for name, value in variables.items()})


async def collect(system: System, name: str, page_size: int = PAGE_SIZE, **changed: str) -> KindStatus:
    async with Run.begun(KINDS[name], settings_of(system, **changed), None, page_size, "test") as run:
        return await run.finish()


def counted(status: KindStatus) -> tuple[str, int, int, int, int]:
    return status.state, status.rows, status.published, status.unchanged, status.taken_back


def names(upstream: Upstream) -> dict[int, str]:
    return {row["id"]: row["username"] for row in upstream.world.rows["/users/get_all"]}


def admins(upstream: Upstream) -> set[int]:
    return {row["id"] for row in upstream.world.rows["/users/get_all"] if row["role"] == "A"}


def standing(upstream: Upstream, path: str) -> list[dict[str, object]]:
    """Rows that are to count: those of admins are kept out."""
    return [row for row in upstream.world.rows[path] if row["user_id"] not in admins(upstream)]


async def counts_are(
    here: Client, kind: str, rows: list[dict[str, object]], extra: dict[int, int] | None = None
) -> None:
    """The counts of every post equal the rows."""
    expected: dict[int, int] = dict(extra or {})
    for row in rows:
        post_id = int(str(row["post_id"]))
        expected[post_id] = expected.get(post_id, 0) + 1
    async for attempt in eventually():
        with attempt:
            found = {post_id: (await here.item(post_id)).counts_by_type().get(kind, 0) for post_id in expected}
            assert found == expected
