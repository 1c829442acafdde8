"""Arrays in a request body: good entries go on, bad ones come back with the reason."""

from collections.abc import Callable
from typing import TypeVar

import msgspec
from starlette.responses import Response

from schemas import decoding
from schemas.errors import ContractError
from schemas.messages import Accepted, EntryResult, ErrorDetail, PartlyAccepted

from .producer import Producer, Record
from .requests import MAX_ENTRIES
from .responses import ApiError, json_response

T = TypeVar("T")


def entries(payload: bytes) -> list[msgspec.Raw]:
    """The entries of a JSON array, 1 to MAX_ENTRIES. Raises ContractError."""
    found = decoding.entries(payload)
    if not 1 <= len(found) <= MAX_ENTRIES:
        raise ContractError(f"the array has {len(found)} entries; allowed are 1 to {MAX_ENTRIES}")
    return found


def decoded(found: list[msgspec.Raw], decode: Callable[[msgspec.Raw], T]) -> list[T | ContractError]:
    """Each entry decoded, or the reason why it can't be. Raises ApiError 400 when none can."""
    results = decoding.decode_each(found, decode)
    errors = [result for result in results if isinstance(result, ContractError)]
    if len(errors) == len(results):
        raise ApiError(
            400,
            f"None of the {len(results)} entries is valid; the first: {errors[0]}",
            field=errors[0].field or None,
            results=[rejected(index, error) for index, error in enumerate(errors)],
        )
    return results


def rejected(index: int, error: ContractError) -> EntryResult:
    detail = ErrorDetail(code="bad_request", message=str(error), field=error.field or None)
    return EntryResult(index=index, status="rejected", error=detail)


def partly(results: list[EntryResult]) -> Response:
    """207: some entries were accepted, some not."""
    good = sum(result.status == "accepted" for result in results)
    return json_response(PartlyAccepted(accepted=good, rejected=len(results) - good, results=results), 207)


async def publish(
    producer: Producer, payload: bytes, record: Callable[[msgspec.Raw], tuple[int | str, Record]]
) -> Response:
    """Sends one row or an array of rows, one message each as their topics are compacted; 202, or 207 when some are bad.

    record: id and message of a row; raises ContractError. Raises ApiError 400 when no row is good.
    """
    found = entries(payload) if payload.lstrip()[:1] == b"[" else [msgspec.Raw(payload)]
    results = decoded(found, record)
    good = [result for result in results if not isinstance(result, ContractError)]
    await producer.send(message for _, message in good)
    if len(good) == len(results):
        return json_response(Accepted(ids=[row_id for row_id, _ in good]), 202)
    return partly(
        [
            rejected(index, result)
            if isinstance(result, ContractError)
            else EntryResult(index=index, status="accepted", id=result[0])
            for index, result in enumerate(results)
        ]
    )
