"""Mends what aiokafka 0.14 does wrong for us, in one place.

A connection that just broke: uvloop refuses to write to a closed transport with RuntimeError, where asyncio swallows
it. aiokafka expects nothing but OSError, so the error ended its task that fetches metadata, and from then on every
request of that client waited for ever: after a broker was killed, 3 of 7 workers stood still until the watchdog ended
them.

A topic that is not there: whoever asks for it makes a broker create it, with as many partitions as the broker likes. An
API that was back sooner than the topics of an embedded broker made `models` with 4 partitions, and `reelstream topics`
refused to go on. aiokafka has no setting for it.
"""

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest


def mend() -> None:
    """Once a process, before it connects to Kafka on uvloop: such a write counts as a broken connection, and only
    `reelstream topics` creates topics."""
    send, ask = AIOKafkaConnection.send, MetadataRequest.__init__

    def send_or_close(connection: Any, request: Any, expect_response: bool = True) -> Any:
        try:
            return send(connection, request, expect_response)
        except RuntimeError as error:
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {connection.host}:{connection.port} broken: {error}") from error

    def ask_only(request: Any, topics: list[str] | None = None, _: bool | None = None) -> None:
        ask(request, topics, False)

    AIOKafkaConnection.send = send_or_close
    MetadataRequest.__init__ = ask_only
