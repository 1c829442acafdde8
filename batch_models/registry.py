"""The model registry on disk: MODEL_PATH/<model>/<version>/ with `vectors.npz`, `card.json` and, where users' vectors
come from a network, `model.onnx`; whole or not there."""

import hashlib
import io
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.errors import ReelstreamError
from schemas.models import ModelVersion, pack_graph, pack_vectors, unpack_graph

KEEP = 3
_UNFINISHED = ".unfinished-"


class Card(msgspec.Struct, kw_only=True):
    """Where a version comes from. Times are UTC; figures are those of the model trained before `split_at`.

    digest: SHA-256 of vectors.npz; that of model.onnx stands in the version. trained_on: in words. choice: what was
    chosen on the validation slice.
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


def pack(ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> tuple[bytes, str]:
    """The bytes of vectors.npz (`ids` (n,), `vectors` (n, dim); plain arrays, no pickle), and their SHA-256."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, ids=ids, vectors=vectors)
    content = buffer.getvalue()
    return content, hashlib.sha256(content).hexdigest()


def newest(model_path: Path, model: str) -> tuple[ModelVersion, list[bytes]] | None:
    """The newest saved version with its chunks for Redis; None when there is none.

    Raises ReelstreamError when vectors.npz or model.onnx is not what the card says.
    """
    folders = sorted(path for path in (model_path / model).glob("*") if not path.name.startswith(_UNFINISHED))
    if not folders:
        return None
    folder = folders[-1]
    card = msgspec.json.decode((folder / "card.json").read_bytes(), type=Card)
    content = (folder / "vectors.npz").read_bytes()
    if hashlib.sha256(content).hexdigest() != card.digest:
        raise ReelstreamError(f"{folder / 'vectors.npz'} is damaged: it is not what its card.json says; train again")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        chunks = pack_vectors(arrays["ids"], arrays["vectors"])
    if card.version.graph_chunks:
        chunks += pack_graph(unpack_graph([(folder / "model.onnx").read_bytes()], card.version.graph_digest))
    return card.version, chunks


def version_id(made: datetime, digest: str) -> str:
    """Sorts by time; to the millisecond, as nothing new learnt has the same digest: `20261123T084229123Z-1a2b3c4d`."""
    made = made.astimezone(UTC)
    return f"{made:%Y%m%dT%H%M%S}{made.microsecond // 1000:03d}Z-{digest[:8]}"


def save(model_path: Path, card: Card, content: bytes, graph: bytes | None = None) -> Path:
    """Writes a version, content being vectors.npz and graph model.onnx, and deletes all but the newest KEEP of its
    model. Returns its folder."""
    models = model_path / card.version.model
    models.mkdir(parents=True, exist_ok=True)
    # Only one training runs at a time, so what is unfinished was left by one that was killed.
    for left in models.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(left)
    unfinished, folder = models / f"{_UNFINISHED}{card.version.version}", models / card.version.version
    unfinished.mkdir()
    (unfinished / "vectors.npz").write_bytes(content)
    if graph is not None:
        (unfinished / "model.onnx").write_bytes(graph)
    (unfinished / "card.json").write_bytes(msgspec.json.format(msgspec.json.encode(card)))
    os.replace(unfinished, folder)
    for old in sorted(path for path in models.iterdir() if path.is_dir())[:-KEEP]:
        shutil.rmtree(old)
    return folder
