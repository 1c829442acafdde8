"""The identity of a log: the id that the broker gave a topic when it was created (KIP-516).

aiokafka 0.14 speaks Metadata up to version 5; ids came with version 10, so its shape is written out here. Apache Kafka
and the embedded broker both answer it. A topic that was deleted and made again, or lost with a broker that keeps its
log in memory, has another id.
"""

from io import BytesIO
from uuid import UUID

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NoError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

from schemas.errors import ServiceUnavailable
from schemas.settings import Settings


class _Uuid:
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


_String = CompactString("utf-8")
_PARTITION = (
    ("error", Int16), ("partition", Int32), ("leader", Int32), ("epoch", Int32), ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)), ("offline", CompactArray(Int32)), ("tags", TaggedFields),
)  # fmt: skip
_BROKER = (("id", Int32), ("host", _String), ("port", Int32), ("rack", _String), ("tags", TaggedFields))
_TOPIC = (
    ("error", Int16), ("name", _String), ("id", _Uuid), ("internal", Boolean),
    ("partitions", CompactArray(*_PARTITION)), ("operations", Int32), ("tags", TaggedFields),
)  # fmt: skip


class _MetadataResponse(Response):
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle", Int32), ("brokers", CompactArray(*_BROKER)), ("cluster_id", _String), ("controller", Int32),
        ("topics", CompactArray(*_TOPIC)), ("operations", Int32), ("tags", TaggedFields),
    )  # fmt: skip


class _MetadataRequest(RequestStruct):
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("id", _Uuid), ("name", _String), ("tags", TaggedFields))),
        ("create", Boolean), ("cluster_operations", Boolean), ("topic_operations", Boolean), ("tags", TaggedFields),
    )  # fmt: skip


class _Metadata(Request[_MetadataRequest]):
    API_KEY = 3

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_MetadataRequest]) -> _MetadataRequest:
        wanted: list[tuple[UUID, str, dict[int, bytes]]] = [(UUID(int=0), name, {}) for name in self._names]
        return request_struct_class(wanted, False, False, False, {})


async def fetch_log_ids(settings: Settings, partitions: dict[str, int]) -> dict[str, str]:
    """Ids of topics by name. `partitions`: the topics wanted and how many partitions each has to have.

    Raises ServiceUnavailable when a topic is missing or has another number of partitions; KafkaError when no broker
    answers, or one that is only just up.
    """
    client = AIOKafkaClient(bootstrap_servers=settings.require("KAFKA_BOOTSTRAP_SERVERS"))
    try:
        await client.bootstrap()
        answer = await client.send(client.get_random_node(), _Metadata(list(partitions)))
    finally:
        await client.close()
    ids = {}
    for error, name, topic_id, _, found, *_ in answer.topics:
        if error not in (NoError.errno, UnknownTopicOrPartitionError.errno):
            raise for_code(error)(f"topic {name}")
        if error:
            raise ServiceUnavailable(f"topic {name} does not exist: run `reelstream topics`")
        if len(found) != partitions[name]:
            raise ServiceUnavailable(
                f"topic {name} has {len(found)} partitions, but KAFKA_PARTITIONS says {partitions[name]}"
            )
        ids[name] = topic_id.hex
    return ids
