"""`POST /api/v1/users`: rows into Kafka; `DELETE /api/v1/users/{username}`: a user is forgotten."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from schemas import topics
from schemas.errors import ContractError, ServiceUnavailable
from schemas.forgetting import forget_in_record, tombstones
from schemas.messages import Accepted
from schemas.users import decode_user, deleted_user, encode

from .. import batches, requests
from ..producer import Record
from ..responses import ApiError, json_response
from ..serving import serving_of


async def post_users(request: Request) -> Response:
    """One row or an array of rows. Only the fields of schemas.users go on: no e-mail address gets into the log."""
    serving = serving_of(request)
    partitions = serving.settings.kafka_partitions

    def record(row: msgspec.Raw) -> tuple[str, Record]:
        user = decode_user(row)
        partition = topics.owner(user.username, partitions)
        return user.username, Record(topics.USERS, user.username.encode(), encode(user), partition)

    return await batches.publish(serving.producer, await requests.body(request), record)


async def delete_user(request: Request) -> Response:
    """Gone from PostgreSQL at once, and from Redis once a worker has read it. Forgetting a stranger does no harm."""
    serving = serving_of(request)
    try:
        username = deleted_user(request.path_params["username"].encode())
    except ContractError:
        raise ApiError(404, "That can't be the name of a user: it has 1 to 128 characters.", field="username") from None
    if serving.settings.database_url is not None:
        try:
            await forget_in_record(serving.settings, username, requests.caller(request))
        except ServiceUnavailable as error:  # its sentence has an address
            raise ServiceUnavailable("PostgreSQL does not answer; send this again in a moment.") from error
    partitions = serving.settings.kafka_partitions
    await serving.producer.send(
        Record(each.topic, each.key, None, each.partition, each.headers) for each in tombstones(username, partitions)
    )
    return json_response(Accepted(ids=[username]), 202)
