"""`POST /api/v1/interaction` and `/interactions`: events into Kafka, answered once the broker has them."""

import uuid
from datetime import UTC, datetime, timedelta

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from schemas import topics
from schemas.errors import ContractError, ServiceUnavailable
from schemas.events import Interaction, decode_interaction
from schemas.messages import Accepted, EntryResult

from .. import batches, requests
from ..producer import Producer, Record
from ..responses import ApiError, json_response
from ..serving import serving_of

AHEAD = timedelta(days=1)
"""A clock may be wrong by this; an event from further ahead would outlive every decay."""

_encode = msgspec.json.Encoder().encode


async def post_interaction(request: Request) -> Response:
    """One event."""
    serving = serving_of(request)
    event = _accept(await requests.body(request))
    await _send(serving.producer, [event], serving.settings.kafka_partitions)
    return json_response(Accepted(event_ids=[str(event.event_id)]), 202)


async def post_interactions(request: Request) -> Response:
    """An array of events; a bad one costs nothing but itself."""
    serving = serving_of(request)
    results = batches.decoded(batches.entries(await requests.body(request)), _accept)
    events = [result for result in results if not isinstance(result, ContractError)]
    await _send(serving.producer, events, serving.settings.kafka_partitions)
    if len(events) == len(results):
        return json_response(Accepted(event_ids=[str(event.event_id) for event in events]), 202)
    return batches.partly(
        [
            batches.rejected(index, result)
            if isinstance(result, ContractError)
            else EntryResult(index=index, status="accepted", event_id=str(result.event_id))
            for index, result in enumerate(results)
        ]
    )


def _accept(payload: bytes | msgspec.Raw) -> Interaction:
    """An event with everything filled in that a client may leave out. Raises ContractError."""
    event = decode_interaction(payload)
    now = datetime.now(UTC)
    if event.occurred_at is None:
        event.occurred_at = now
    elif event.occurred_at - now > AHEAD:
        raise ContractError(
            "occurred_at: lies more than a day ahead; UTC is meant when no offset is given", "occurred_at"
        )
    event.event_id = event.event_id or uuid.uuid4().hex
    event.source = event.source or "api"
    return event


async def _send(producer: Producer, events: list[Interaction], partitions: int) -> None:
    """One message a partition: workers read an array of events ten times as fast as single ones."""
    groups: dict[int, list[Interaction]] = {}
    for event in events:
        groups.setdefault(topics.owner(event.username, partitions), []).append(event)
    records = [
        Record(
            topics.INTERACTIONS, group[0].username.encode(), _encode(group if len(group) > 1 else group[0]), partition
        )
        for partition, group in groups.items()
    ]
    try:
        await producer.send(records)
    except ServiceUnavailable as error:
        message = f"{error} Send the same `event_id`s, here in `event_ids`, so that nothing counts twice."
        raise ApiError(503, message, event_ids=[str(event.event_id) for event in events]) from error
