"""Refresh: snapshot → train → evaluate on the later slice → compare with popularity → publish or refuse → announce."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import asyncpg
import numpy as np
import structlog
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from schemas.errors import ReelstreamError, ServiceUnavailable
from schemas.models import ModelVersion, chunks_digest, pack_graph, pack_vectors, unpack_vectors
from schemas.settings import Settings

from . import dataset, publish, registry, snapshots, training_requests
from .dataset import Interactions
from .evaluate import Figures, Trial
from .model import Published, Servable

log = structlog.get_logger()

MODELS = {"svd": "svd", "collaborative": "collaborative", "graph": "graph", "deep": "deep_ranker"}
"""Every batch model and its module here, which is imported when it is trained. It has `choose`, `fitted` and `serves`,
as in svd.py."""

LOOK_SECONDS = 10.0
"""In the pause between two trainings: whether Redis still has what was published."""
BEFORE = 0.9
"""Share of the interactions, oldest first, that is trained on for the evaluation; the rest is the later slice."""
ENOUGH_EVENTS = 500
ENOUGH_USERS = 20
LOCK = 0x7265656C
"""PostgreSQL advisory lock held while training, whatever the model."""


class Refused(ReelstreamError):
    """A model is not published, and why."""


class NotNow(Refused):
    """There is too little to learn from, or another training is running: later it may go through."""


@dataclass(frozen=True)
class Trained:
    """A model that may serve: learnt from everything, with figures from before the split."""

    served: Servable
    choice: dict[str, Any]
    model: Figures
    popularity: Figures
    split_at: float

    def metrics(self) -> dict[str, float]:
        return {
            "recall@10": self.model.recall, "ndcg@10": self.model.ndcg,
            "popularity_recall@10": self.popularity.recall, "popularity_ndcg@10": self.popularity.ndcg,
        }  # fmt: skip


def run(
    settings: Settings, models: list[str], every_minutes: float | None, snapshot: Path | None = None
) -> None:  # fmt: skip
    """Refreshes models (all when none is named) once, or for ever with a pause between. SIGTERM ends it at once.

    With a snapshot it learns from that instead of from what PostgreSQL has now. A refused model is a log line, not an
    error. Raises ReelstreamError for a name that is not a model and, when it
    runs once, ServiceUnavailable when PostgreSQL, Redis or Kafka can't be reached.
    """
    if unknown := [name for name in models if name not in MODELS]:
        raise ReelstreamError(f"{', '.join(unknown)}: no such model. There is: {', '.join(MODELS)}.")
    for number in (signal.SIGTERM, signal.SIGINT):
        # Training sits in a thread that can't be interrupted. To leave in the middle is safe: a version appears whole
        # or not at all, and PostgreSQL frees the lock.
        signal.signal(number, lambda received, _: os._exit(128 + received))
    names = models or list(MODELS)
    if every_minutes is None:
        for name in names:
            asyncio.run(_refresh_once(settings, name, snapshot))
        return
    due = names
    while True:
        for name in due:
            try:
                asyncio.run(_refresh_once(settings, name, snapshot))
            except ReelstreamError as error:
                log.warning("refresh failed, the next one comes", model=name, minutes=every_minutes, reason=str(error))
        due = asyncio.run(_pause(settings, names, every_minutes * 60)) or names


async def _pause(settings: Settings, names: list[str], seconds: float) -> list[str]:
    """Until a training is asked for: of which models. None when the time is over."""
    looking = asyncio.create_task(_look_after(settings, names))
    try:
        return await training_requests.wait(settings, names, seconds)
    finally:
        looking.cancel()


async def _look_after(settings: Settings, names: list[str]) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        for name in names:
            await _restore(settings, name)


async def _restore(settings: Settings, name: str) -> None:
    try:
        if await publish.restore(settings, name):
            log.warning("Redis had lost the model: the newest saved version is published again", model=name)
    except (ReelstreamError, OSError, RedisError, KafkaError) as error:
        log.warning("model not looked after", model=name, error=repr(error))


async def _refresh_once(settings: Settings, name: str, snapshot: Path | None) -> None:
    try:
        await refresh(settings, name, snapshot)
    except Refused as reason:
        log.warning(str(reason), model=name)
    except asyncpg.UndefinedTableError as error:
        raise ReelstreamError(f"PostgreSQL lacks a table ({error}). Run `reelstream migrate` first.") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError, KafkaError) as error:
        raise ServiceUnavailable(
            f"{name} could not be refreshed, as a service does not answer: {type(error).__name__}: {error}"
        ) from error


async def refresh(settings: Settings, name: str, snapshot: Path | None = None) -> ModelVersion:
    """One model, from the record, or a snapshot of it, to the feed. Raises Refused when nothing is published."""
    began = time.monotonic()
    async with _alone(settings) as connection:
        if snapshot is None:
            interactions = await dataset.snapshot(connection, settings.training_events)
            snapshot = await asyncio.to_thread(snapshots.save, settings.model_path, interactions)
        else:
            interactions = await asyncio.to_thread(snapshots.load, snapshot)
        log.info("snapshot read", model=name, events=len(interactions), folder=str(snapshot), seconds=_since(began))

        serving = _serving(settings, name)
        model = import_module(f".{MODELS[name]}", __package__)
        trained = await asyncio.to_thread(train, model, name, interactions, settings, serving)

        version, card, content, graph, chunks = _package(name, trained, interactions, settings, began)
        folder = registry.save(settings.model_path, card, content, graph)
        await publish.publish(settings, version, chunks)
    log.info(
        f"{name} is published: {_comparison(trained.model, trained.popularity)}", model=name, version=version.version,
        items=version.items, dim=version.dim, folder=str(folder), seconds=_since(began),
    )  # fmt: skip
    return version


class Serving(NamedTuple):
    """The version in service, learnt from what happened up to `until`."""

    published: Published
    until: float


def _serving(settings: Settings, name: str) -> Serving | None:
    """None when nothing serves, or what does is damaged on disk: then there is nothing to compare with."""
    version = registry.serving(settings.model_path, name)
    if version is None:
        return None
    try:
        card, (published, chunks) = (
            registry.card(settings.model_path, name, version), registry.load(settings.model_path, name, version),
        )  # fmt: skip
    except ReelstreamError as error:
        log.error("the version in service can't be compared with", model=name, version=version, reason=str(error))
        return None
    vectors, graph = chunks[: published.chunks], b"".join(chunks[published.chunks :])
    return Serving(Published(*unpack_vectors(vectors, published.dim), graph), card.last_event_at.timestamp())


def train(
    model: ModuleType, name: str, interactions: Interactions, settings: Settings, serving: Serving | None = None
) -> Trained:
    """Trains before a point in time, evaluates after it, and trains again on everything when that went well.

    Raises NotNow when there is too little to learn from, Refused when popularity does as well or what serves is better.
    """
    weights = settings.interaction_weights
    if len(interactions) < ENOUGH_EVENTS:
        raise NotNow(f"{name} is not trained yet: {len(interactions)} interactions, {ENOUGH_EVENTS} are needed.")
    before, after = interactions.split(BEFORE)
    trial = Trial(before, after, weights)
    if trial.users < ENOUGH_USERS:
        raise NotNow(
            f"{name} is not trained yet: {trial.users} users have a history and came back in the newest tenth of the "
            f"interactions, {ENOUGH_USERS} are needed."
        )
    began = time.monotonic()
    choice = model.choose(before, weights, settings.embedding_dim)
    log.info("settings chosen on a slice before the evaluation", model=name, **asdict(choice), seconds=_since(began))

    began = time.monotonic()
    figures, popularity = trial.figures_of(model.fitted(before, weights, choice), before), trial.popularity()
    log.info("evaluated", model=name, users=figures.users, **_rounded(figures, popularity), seconds=_since(began))
    if not figures.beats(popularity):
        raise Refused(f"{name} is refused: {_comparison(figures, popularity)}, no more than chance. What serves stays.")
    if serving is not None:
        _compare(model, name, interactions, settings, choice, serving)

    began = time.monotonic()
    served = model.fitted(interactions, weights, choice)
    log.info("trained on everything", model=name, seconds=_since(began))
    return Trained(served, asdict(choice), figures, popularity, float(after.at[0]))


def _compare(
    model: ModuleType, name: str, interactions: Interactions, settings: Settings, choice: Any, serving: Serving
) -> None:
    """Against what serves, on what neither has seen, both learnt up to the same moment. Raises Refused when worse.

    Without enough users after that moment the two can't be told apart, and it passes.
    """
    cut = int(np.searchsorted(interactions.at, serving.until, side="right"))
    before, after = interactions.part(0, cut), interactions.part(cut, len(interactions))
    if not cut or (trial := Trial(before, after, settings.interaction_weights)).users < ENOUGH_USERS:
        log.info("too little is new to compare with the version in service", model=name, events=len(after))
        return
    weights = settings.interaction_weights
    figures = trial.figures_of(model.fitted(before, weights, choice), before)
    theirs = trial.figures_of(model.serves(serving.published, interactions.post_ids, weights), before)
    log.info("compared with what serves", model=name, recall_at_10=figures.recall, serving_recall_at_10=theirs.recall)
    if theirs.beats(figures):
        raise Refused(
            f"{name} is refused: recall@10 {figures.recall:.3f} against {theirs.recall:.3f} of the version in service, "
            f"{trial.users} users. What serves stays."
        )


def _package(
    name: str, trained: Trained, interactions: Interactions, settings: Settings, began: float
) -> tuple[ModelVersion, registry.Card, bytes, bytes | None, list[bytes]]:
    """The version, its card, vectors.npz, model.onnx and the chunks for Redis, without posts that the model does not
    know."""
    made = datetime.now(UTC)
    vectors, graph = trained.served.item_vectors, trained.served.graph()
    known = vectors.any(axis=1)
    ids, vectors = interactions.post_ids[known], vectors[known]
    of_vectors, of_graph = pack_vectors(ids, vectors), pack_graph(graph) if graph else []
    chunks = of_vectors + of_graph
    content, digest = registry.pack(ids, vectors)
    version = ModelVersion(
        model=name, version=registry.version_id(made, digest), created_at=made.timestamp(),
        dim=vectors.shape[1], items=len(ids), chunks=len(of_vectors), metrics=trained.metrics(),
        digest=chunks_digest(chunks), graph_chunks=len(of_graph),
    )  # fmt: skip
    first, last, split = (
        datetime.fromtimestamp(float(at), UTC) for at in (interactions.at[0], interactions.at[-1], trained.split_at)
    )
    card = registry.Card(
        version=version, digest=digest, trained_on="everything; the figures are of a model trained before split_at",
        first_event_at=first, last_event_at=last, split_at=split, events=len(interactions),
        users=interactions.user_count, choice=trained.choice, evaluated_users=trained.model.users,
        settings={"embedding_dim": settings.embedding_dim, "interaction_weights": settings.interaction_weights},
        seconds=_since(began), size=len(content) + len(graph or b""), data_digest=interactions.digest(),
        revision=_revision(),
    )  # fmt: skip
    return version, card, content, graph, chunks


def _revision() -> str | None:
    """The commit that is checked out; None where this does not run from a checkout of its own."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


@asynccontextmanager
async def _alone(settings: Settings) -> AsyncIterator[Any]:
    """A connection to PostgreSQL that holds the lock. Raises NotNow when another training does."""
    connection = await asyncpg.connect(settings.require("DATABASE_URL"), timeout=10)
    try:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            raise NotNow("Another training is running on this database: this one leaves it to that.")
        yield connection
    finally:
        await connection.close()


def _comparison(model: Figures, popularity: Figures) -> str:
    return (
        f"recall@10 {model.recall:.3f} against {popularity.recall:.3f} of popularity, "
        f"NDCG@10 {model.ndcg:.3f} against {popularity.ndcg:.3f}, {model.users} users"
    )


def _rounded(model: Figures, popularity: Figures) -> dict[str, float]:
    return {
        "recall_at_10": round(model.recall, 4), "ndcg_at_10": round(model.ndcg, 4),
        "popularity_recall_at_10": round(popularity.recall, 4), "popularity_ndcg_at_10": round(popularity.ndcg, 4),
    }  # fmt: skip


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)
