"""`POST /api/v1/users`: rows into Kafka."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from schemas import topics
from schemas.users import decode_user, encode

from .. import batches, requests
from ..producer import Record
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
