"""What /similar lists: as similar as the setting asks for, and in whose order."""

from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from api.catalogue import Catalogue
from api.models import ItemVectors
from api.routes.similar import PERSONAL, _co_visitation, _for_reader, _in_vectors
from api.stages import Query
from online_models.co_visitation_scores import growth
from schemas.item_state import ItemState
from schemas.models import ModelVersion
from schemas.posts import decode_post
from schemas.user_state import UserState

NOW = 1_800_000_000.0


def catalogue_of(neighbours: dict[int, dict[int, float]]) -> Catalogue:
    """Posts 1 to 9, all as popular; of some of them, how often others were met near them."""
    catalogue, grown = Catalogue(), growth(NOW)
    for post_id in range(1, 10):
        catalogue.set_row(post_id, decode_post(msgspec.json.encode({"id": post_id})))
        catalogue.set_states([post_id], [ItemState(decayed=[1.0] * 3, at=NOW, strength=50.0 * grown)])
    for post_id, near in neighbours.items():
        ids = sorted(near, key=lambda other: -near[other])
        catalogue.set_neighbours(post_id, np.array(ids), grown * np.array([near[other] for other in ids]))
    return catalogue


def similar(catalogue: Catalogue, post_id: int, threshold: float, **user: object) -> list[int]:
    query = Query("u", NOW, catalogue, **user)  # type: ignore[arg-type]
    found = _co_visitation(query, catalogue.slots[post_id], np.ones(catalogue.size, np.bool_), threshold)
    return [int(catalogue.ids[slot]) for slot, _, _ in _for_reader(query, found)]


def test_the_threshold_is_a_share_of_the_most_similar_one() -> None:
    catalogue = catalogue_of({1: {2: 10.0, 3: 6.0, 4: 2.9, 5: 1.0}})
    assert similar(catalogue, 1, 0.0) == [2, 3, 4, 5]
    assert similar(catalogue, 1, 0.3) == [2, 3]
    assert similar(catalogue, 1, 1.0) == [2]


def test_what_goes_with_the_users_last_posts_moves_up_and_what_they_saw_comes_last() -> None:
    catalogue = catalogue_of({1: {2: 10.0, 3: 6.0, 4: 5.0, 6: 4.0}, 9: {3: 8.0, 4: 1.0, 7: 9.0}})
    assert PERSONAL == 1.0
    past = np.array([catalogue.slots[9]], np.int32)
    # 3 is the nearest of them to the last post, so it counts twice, and 4 an eighth more.
    assert similar(catalogue, 1, 0.0, past=past) == [3, 2, 4, 6]
    state = UserState()
    state.remember_seen(3)
    assert similar(catalogue, 1, 0.0, past=past, state=state) == [2, 4, 6, 3]
    assert similar(catalogue, 1, 0.0) == [2, 3, 4, 6]
    assert similar(catalogue, 5, 0.0, past=past) == []


def test_the_bias_of_the_graph_model_makes_no_post_similar() -> None:
    catalogue = catalogue_of({})
    rows = np.array([[1.0, 0.0, 9.0], [0.9, 0.1, -9.0], [0.0, 1.0, 9.0]], np.float32)
    version = ModelVersion(model="graph", version="1", created_at=0.0, dim=3, items=3, chunks=1, metrics={})
    models: Any = SimpleNamespace(vectors={"graph": ItemVectors(version, np.array([1, 2, 3]), rows)})
    kept = np.ones(catalogue.size, np.bool_)
    kept[catalogue.slots[1]] = False
    found = _in_vectors(models, "graph", Query("u", NOW, catalogue), catalogue.slots[1], kept, 0.3)
    assert [(int(catalogue.ids[slot]), source) for slot, _, source in found] == [(2, "graph")]
    np.testing.assert_allclose(found[0][1], 0.9 / np.hypot(0.9, 0.1), rtol=1e-4)
