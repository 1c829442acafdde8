"""A catalogue of few posts and a request for it, for tests of the parts of a feed."""

import msgspec

from api.catalogue import Catalogue
from api.stages import Query
from schemas.posts import decode_post

NOW = 1_800_000_000.0


def catalogue_of(*ids: int, **fields: object) -> Catalogue:
    catalogue = Catalogue(capacity=2)
    for post_id in ids:
        catalogue.set_row(post_id, decode_post(msgspec.json.encode({"id": post_id, **fields})))
    return catalogue


def query_on(catalogue: Catalogue, **fields: object) -> Query:
    return Query(username="u", now=NOW, catalogue=catalogue, **fields)
