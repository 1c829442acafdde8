"""What a worker connects to before its first event: Kafka is waited for, and what was opened is closed."""

import asyncio
from collections.abc import Callable

import pytest
from aiokafka.errors import KafkaConnectionError
from structlog.testing import capture_logs

from schemas.errors import ServiceUnavailable
from schemas.settings import Settings
from streams import services
from streams.app import create_app
from streams.services import ModelsServices, RecordServices, Services


@pytest.mark.parametrize("kind", [ModelsServices, RecordServices])
async def test_a_worker_that_starts_while_kafka_is_down_waits_and_is_told_to_stop(
    kind: type[Services], free_port: Callable[[], int]
):
    nowhere = Settings(
        _env_file=None, kafka_bootstrap_servers=f"127.0.0.1:{free_port()}", redis_url=f"redis://127.0.0.1:{free_port()}"
    )
    starting = asyncio.create_task((waiting := kind(nowhere)).start())
    done, _ = await asyncio.wait([starting], timeout=0.5)
    assert not done
    starting.cancel()
    await waiting.stop()


async def test_a_worker_starts_when_kafka_is_back(monkeypatch: pytest.MonkeyPatch):
    answers = iter([KafkaConnectionError("down"), OSError("still"), {"interactions": "log"}])

    async def fetch(*_: object) -> dict[str, str]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(services, "fetch_log_ids", fetch)
    started = Services(Settings(_env_file=None, redis_url="redis://127.0.0.1:1"))
    await started.start()
    assert started.log_ids == {"interactions": "log"}
    await started.stop()


async def test_topics_that_are_missing_are_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    async def fetch(*_: object) -> dict[str, str]:
        raise ServiceUnavailable("topic posts does not exist: run `reelstream topics`")

    monkeypatch.setattr(services, "fetch_log_ids", fetch)
    with pytest.raises(ServiceUnavailable, match="run `reelstream topics`"):
        await Services(Settings(_env_file=None, redis_url="redis://127.0.0.1:1")).start()


async def test_a_worker_says_which_slot_it_starts_in(monkeypatch: pytest.MonkeyPatch):
    settings = Settings(_env_file=None, kafka_bootstrap_servers="127.0.0.1:1", redis_url="redis://127.0.0.1:1/0")
    app = create_app(settings, "learn", 3)
    monkeypatch.setattr(app.services, "start", lambda: asyncio.sleep(0))
    with capture_logs() as logged:
        await app.on_start()
    assert {"event": "worker starts", "group": "reelstream-learn", "slot": 3, "log_level": "info"} in logged
