"""States of a training on disk: to go on where it was stopped, and to begin the next one where this one ended.

Plain arrays and one JSON object in a file, never a pickle; a file appears whole or not at all, and one that is damaged
is passed over.
"""

import json
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import nn

log = structlog.get_logger()

_FACTS = "facts.json"


class State(NamedTuple):
    """arrays: by name. facts: what JSON can say, such as what the state is of."""

    arrays: dict[str, NDArray[Any]]
    facts: dict[str, Any]


def save(path: Path, state: State) -> None:
    """Replaces the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    text = np.frombuffer(json.dumps(state.facts).encode(), np.uint8)
    with unfinished.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_FACTS: text}, **state.arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def load(path: Path) -> State | None:
    """None where there is none, or none that can be read: numpy's files have a checksum of every array."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return State(arrays, json.loads(arrays.pop(_FACTS).tobytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        log.warning("a training state is passed over", path=str(path), reason=str(error))
        return None


def of_network(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Parameters and buffers, copied."""
    return {f"network.{name}": tensor.detach().cpu().numpy().copy() for name, tensor in network.state_dict().items()}


def into_network(network: nn.Module, arrays: dict[str, NDArray[Any]]) -> None:
    """The inverse of of_network. Raises RuntimeError for a network of another shape."""
    prefix = "network."
    network.load_state_dict({
        name.removeprefix(prefix): torch.from_numpy(array)
        for name, array in arrays.items() if name.startswith(prefix)
    })  # fmt: skip


def of_optimiser(optimiser: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """What it remembers of each parameter, by number."""
    states = optimiser.state_dict()["state"]
    return {
        f"optimiser.{number}.{name}": value.detach().cpu().numpy().copy()
        for number, kept in states.items() for name, value in kept.items()
    }  # fmt: skip


def into_optimiser(optimiser: torch.optim.Optimizer, arrays: dict[str, NDArray[Any]]) -> None:
    """The inverse of of_optimiser, for one that was made alike."""
    states: dict[int, dict[str, torch.Tensor]] = {}
    for key, array in arrays.items():
        if key.startswith("optimiser."):
            _, number, name = key.split(".")
            states.setdefault(int(number), {})[name] = torch.from_numpy(array)
    whole = optimiser.state_dict()
    whole["state"] = states
    optimiser.load_state_dict(whole)
