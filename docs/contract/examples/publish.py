"""Publishes one event with aiokafka: python publish.py [USERNAME]"""

import asyncio
import json
import os
import sys

from aiokafka import AIOKafkaProducer

HEADERS = [
    ("content-type", b"application/json"),
    ("schema-version", b"1"),
    ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
]


async def main(username: str) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092"), acks="all"
    )
    await producer.start()
    try:
        event = {"event_id": f"python-{username}", "username": username, "post_id": 98, "interaction_type": "like"}
        await producer.send_and_wait("interactions", json.dumps(event).encode(), key=username.encode(), headers=HEADERS)
    finally:
        await producer.stop()


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "you"))
