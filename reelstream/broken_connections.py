"""Mends how aiokafka 0.14 and uvloop meet on a connection that just broke.

uvloop refuses to write to a closed transport with RuntimeError, where asyncio swallows it. aiokafka expects nothing but
OSError, so the error ended its task that fetches metadata, and from then on every request of that client waited for
ever: after a broker was killed, 3 of 7 workers stood still until the watchdog ended them.
"""

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError


def mend() -> None:
    """Once a process, before it connects to Kafka on uvloop: such a write counts as a broken connection."""
    send = AIOKafkaConnection.send

    def send_or_close(connection: Any, request: Any, expect_response: bool = True) -> Any:
        try:
            return send(connection, request, expect_response)
        except RuntimeError as error:
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {connection.host}:{connection.port} broken: {error}") from error

    AIOKafkaConnection.send = send_or_close
