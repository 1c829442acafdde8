"""Sends the load at a steady rate through whatever happens, and knows what was accepted."""

import asyncio
import time
from collections import Counter
from contextlib import suppress

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from .load import Load, Message, Named, Request

MESSAGES_A_SECOND = 130.0
"""About 400 events: a message carries three, on average."""
MOST_UNDERWAY = 400
"""While nothing is accepted the load waits, as publishers with bounded buffers do."""
RETRY_SECONDS = 0.3


class Publisher:
    """accepted: username and event id of what was answered with an acknowledgement. tally: events, messages, retries.

    unexpected: answers of the API other than 202 and 503, and what could not be sent for another reason than a fault.
    """

    def __init__(self, brokers: str, api_url: str, load: Load) -> None:
        # No idempotence: other systems' producers don't have it either, and repeat themselves when a broker dies.
        self._producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all", request_timeout_ms=5_000)
        self._http = httpx.AsyncClient(base_url=api_url, timeout=3.0, trust_env=False)
        self._load = load
        self._sending: asyncio.Task[None] | None = None
        self._underway: set[asyncio.Task[None]] = set()
        self.accepted: set[Named] = set()
        self.tally: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()

    async def start(self) -> None:
        """Returns when the first rows of posts are in the log."""
        await self._producer.start()
        for row in self._load.first_rows():
            await self._until_accepted(row)

    def begin(self) -> None:
        """From now on events flow, until `finish`."""
        self._sending = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        next_at = time.monotonic()
        while True:
            next_at = max(next_at + 1 / MESSAGES_A_SECOND, time.monotonic() - 1.0)
            await asyncio.sleep(next_at - time.monotonic())
            while len(self._underway) >= MOST_UNDERWAY:
                await asyncio.sleep(0.01)
            task = asyncio.create_task(self._until_accepted(self._load.next()))
            self._underway.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._underway.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.unexpected[repr(error)] += 1

    async def finish(self, seconds: float = 60.0) -> None:
        """Begins no more, and waits until all that was begun is accepted. Raises TimeoutError."""
        if self._sending is not None:
            self._sending.cancel()
        async with asyncio.timeout(seconds):
            await asyncio.gather(*self._underway)

    async def close(self) -> None:
        for task in (self._sending, *self._underway):
            if task is not None:
                task.cancel()
        await self._http.aclose()
        with suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(self._producer.stop(), 10)

    async def _until_accepted(self, message: Message | Request) -> None:
        self.tally["messages"] += 1
        self.tally["events"] += message.events
        while not await (self._send(message) if isinstance(message, Message) else self._ask(message)):
            self.tally["sent again"] += 1
            await asyncio.sleep(RETRY_SECONDS)
        self.accepted.update(message.named)

    async def _send(self, message: Message) -> bool:
        try:
            await self._producer.send_and_wait(
                message.topic, message.value, key=message.key, partition=message.partition
            )
        except KafkaError:
            return False
        return True

    async def _ask(self, request: Request) -> bool:
        headers = {"Content-Type": "application/json"}
        try:
            answer = await self._http.request(request.method, request.path, content=request.body, headers=headers)
        except httpx.TransportError as error:
            self.tally[type(error).__name__] += 1
            return False
        if answer.status_code not in (202, 503):
            self.unexpected[f"{request.method} {request.path.rstrip('0123456789')}: {answer.status_code}"] += 1
        self.tally[f"HTTP {answer.status_code}"] += 1
        return answer.status_code != 503
