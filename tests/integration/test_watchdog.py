"""The watchdog in a process of its own, on a real broker: a worker that hangs ends non-zero."""

import asyncio
import json
import os
import subprocess
import sys

from aiokafka import AIOKafkaProducer

from schemas import topics
from streams.watchdog import EXIT_STATUS

HANGING = """
import asyncio
from schemas.settings import Settings
from streams.log_reader import LogReader
from streams.progress import Progress
from streams.watchdog import Watchdog

place = ("learning", 0)
asyncio.run(Watchdog(lambda: [(place, 0)], Progress(), LogReader(Settings.load()), seconds=0.6).run())
"""


async def test_a_worker_that_hangs_while_messages_wait_ends_with_a_status_that_gets_it_restarted(kafka: str):
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        await producer.send_and_wait(topics.LEARNING, json.dumps("waiting").encode())
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka}
    command = [sys.executable, "-c", HANGING]
    worker = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, timeout=60)
    assert worker.returncode == EXIT_STATUS
    assert b"learning-0" in worker.stdout + worker.stderr
