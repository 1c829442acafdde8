"""The model registry on disk: MODEL_PATH/<model>/<version>/ with `vectors.npz`, `card.json` and, where a network makes
users' vectors, `model.onnx`; whole or not there."""

import hashlib
import io
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from schemas.errors import ReelstreamError
from schemas.models import ModelVersion, chunks_digest, pack_graph, pack_vectors

KEEP = 3
_UNFINISHED = ".unfinished-"
_SERVING = "serving"

log = structlog.get_logger()


class Card(msgspec.Struct, kw_only=True):
    """Where a version comes from. Times are UTC; figures are those of the model trained before `split_at`.

    digest: SHA-256 of vectors.npz; that in `version` covers the graph too. size: bytes of both. data_digest: of the
    snapshot, Interactions.digest. revision: of the code, where it runs from a git checkout. trained_on: in words.
    choice: what was chosen on the validation slice.
    """

    version: ModelVersion
    digest: str
    trained_on: str
    first_event_at: datetime
    last_event_at: datetime
    split_at: datetime
    events: int
    users: int
    choice: dict[str, Any]
    settings: dict[str, Any]
    evaluated_users: int
    seconds: float
    size: int = 0
    data_digest: str = ""
    revision: str | None = None


def pack(ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> tuple[bytes, str]:
    """The bytes of vectors.npz (`ids` (n,), `vectors` (n, dim); plain arrays, no pickle), and their SHA-256."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, ids=ids, vectors=vectors)
    content = buffer.getvalue()
    return content, hashlib.sha256(content).hexdigest()


def versions(model_path: Path, model: str) -> list[str]:
    """Saved versions, oldest first."""
    folders = (model_path / model).glob("*")
    return sorted(path.name for path in folders if path.is_dir() and not path.name.startswith(_UNFINISHED))


def models(model_path: Path) -> list[str]:
    """Models with a saved version, by name."""
    return sorted({path.parent.parent.name for path in model_path.glob("*/[!.]*/card.json")})


def card(model_path: Path, model: str, version: str) -> Card:
    """Raises ReelstreamError when there is no such version, or its card can't be read."""
    path = model_path / model / version / "card.json"
    if version not in versions(model_path, model):
        there = ", ".join(versions(model_path, model)) or f"none under {model_path.resolve()}"
        raise ReelstreamError(f"{model} has no version {version!r}. There is: {there}.")
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Card)
    except (OSError, msgspec.MsgspecError) as error:
        raise ReelstreamError(f"{path} is damaged: {error}; roll back or train again") from None
    if (found.version.model, found.version.version) != (model, version):
        raise ReelstreamError(f"{path} is damaged: it is the card of another version; roll back or train again")
    return found


def load(model_path: Path, model: str, version: str) -> tuple[ModelVersion, list[bytes]]:
    """A saved version with its chunks for Redis.

    Raises ReelstreamError when there is none, or vectors.npz or model.onnx is not what the card says.
    """
    found, path = card(model_path, model, version), model_path / model / version / "vectors.npz"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ReelstreamError(f"{path} can't be read: {error}; roll back or train again") from None
    if hashlib.sha256(content).hexdigest() != found.digest:
        raise ReelstreamError(f"{path} is damaged: it is not what its card.json says; roll back or train again")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        chunks = pack_vectors(arrays["ids"], arrays["vectors"])
    if found.version.graph_chunks:
        path = path.with_name("model.onnx")
        try:
            chunks += pack_graph(path.read_bytes())
        except OSError as error:
            raise ReelstreamError(f"{path} can't be read: {error}; roll back or train again") from None
        if chunks_digest(chunks) != found.version.digest:
            raise ReelstreamError(f"{path} is damaged: it is not what its card.json says; roll back or train again")
    return found.version, chunks


def newest(
    model_path: Path, model: str, *, before: str | None = None, upto: str | None = None
) -> tuple[ModelVersion, list[bytes]] | None:
    """The newest sound version, before or up to the one named; None when there is none at all.

    Damaged ones are logged and passed over. Raises ReelstreamError when all of them are.
    """
    damage: ReelstreamError | None = None
    for version in reversed(versions(model_path, model)):
        if (before is not None and version >= before) or (upto is not None and version > upto):
            continue
        try:
            return load(model_path, model, version)
        except ReelstreamError as error:
            log.error("a saved version is passed over", model=model, version=version, reason=str(error))
            damage = error
    if damage is not None:
        raise damage
    return None


def serving(model_path: Path, model: str) -> str | None:
    """The version that was published last; None when none was, or it is not saved here any more."""
    try:
        found = (model_path / model / _SERVING).read_text().strip()
    except FileNotFoundError:
        return None
    return found if found in versions(model_path, model) else None


def set_serving(model_path: Path, model: str, version: str) -> None:
    """Remembers what was published, so that a Redis that was emptied gets that one back, also after a rollback."""
    unfinished = model_path / model / f"{_UNFINISHED}{_SERVING}"
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    unfinished.write_text(version)
    os.replace(unfinished, model_path / model / _SERVING)


def version_id(made: datetime, digest: str) -> str:
    """Sorts by time; to the millisecond, as nothing new learnt has the same digest: `20261123T084229123Z-1a2b3c4d`."""
    made = made.astimezone(UTC)
    return f"{made:%Y%m%dT%H%M%S}{made.microsecond // 1000:03d}Z-{digest[:8]}"


def save(model_path: Path, card: Card, content: bytes, graph: bytes | None = None) -> Path:
    """Writes a version, content being vectors.npz and graph model.onnx, and deletes all but the newest KEEP of its
    model. Returns its folder."""
    folders = model_path / card.version.model
    folders.mkdir(parents=True, exist_ok=True)
    # Only one training runs at a time, so what is unfinished was left by one that was killed.
    for left in folders.glob(f"{_UNFINISHED}*/"):
        shutil.rmtree(left)
    unfinished, folder = folders / f"{_UNFINISHED}{card.version.version}", folders / card.version.version
    unfinished.mkdir()
    (unfinished / "vectors.npz").write_bytes(content)
    if graph is not None:
        (unfinished / "model.onnx").write_bytes(graph)
    (unfinished / "card.json").write_bytes(msgspec.json.format(msgspec.json.encode(card)))
    os.replace(unfinished, folder)
    for old in versions(model_path, card.version.model)[:-KEEP]:
        shutil.rmtree(folders / old)
    return folder
