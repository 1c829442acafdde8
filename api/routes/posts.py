"""`/api/v1/posts`: rows into Kafka, and one post with its exact counts."""

import msgspec
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from schemas import audit, keys, posts, topics, visits
from schemas.errors import ServiceUnavailable
from schemas.item_state import ItemState
from schemas.messages import Accepted
from schemas.posts import decode_post

from .. import batches, requests
from ..items import item
from ..producer import Record
from ..responses import ApiError, json_response, tagged_response
from ..serving import serving_of


async def get_post(request: Request) -> Response:
    """The post with `counts` by type. Read from Redis, not from the mirror: exact as of the last applied event."""
    serving = serving_of(request)
    post_id = requests.post_id(request)
    partition = topics.owner(str(post_id), serving.settings.kafka_partitions)
    try:
        row, state = await serving.redis.mget([keys.post_row(partition, post_id), keys.item_state(partition, post_id)])
    except (RedisError, OSError) as error:
        raise ServiceUnavailable("Redis does not answer; try again in a moment.") from error
    if row is None:
        raise ApiError(404, f"There is no post {post_id}.", field="post_id")
    counts = ItemState.decode(state).counts_by_type()
    tag = visits.digest(row, sorted(counts.items())).hex()
    return tagged_response(request, tag, lambda: {**item(posts.decode(row)), "counts": counts})


async def post_posts(request: Request) -> Response:
    """One row or an array of rows, as publishers and the external API have them."""
    serving = serving_of(request)
    partitions = serving.settings.kafka_partitions

    def record(row: msgspec.Raw) -> tuple[int, Record]:
        post_id = decode_post(row).id
        key = str(post_id)
        return post_id, Record(topics.POSTS, key.encode(), bytes(row), topics.owner(key, partitions))

    return await batches.publish(serving.producer, await requests.body(request), record)


async def delete_post(request: Request) -> Response:
    """A null value: the post leaves every feed once a worker has read it. Deleting an unknown post does no harm."""
    serving = serving_of(request)
    post_id = requests.post_id(request)
    key = str(post_id)
    partition = topics.owner(key, serving.settings.kafka_partitions)
    await serving.producer.send([Record(topics.POSTS, key.encode(), None, partition)])
    await audit.note(serving.settings, requests.caller(request), "delete-post", key)
    return json_response(Accepted(ids=[post_id]), 202)
