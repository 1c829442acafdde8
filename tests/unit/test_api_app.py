"""The application without services: what it imports, refuses and answers."""

import asyncio
import subprocess
import sys

import pytest

from api.app import create_app
from api.serving import cancel
from schemas.errors import SettingsError
from schemas.settings import Settings

PROGRAM = """
import sys
from api.app import create_app
from schemas.settings import Settings
create_app(Settings(redis_url="redis://127.0.0.1:1/0", kafka_bootstrap_servers="127.0.0.1:1"))
print([name for name in ("torch", "tensorflow", "keras", "sklearn", "faust") if name in sys.modules])
"""


def test_the_api_process_imports_no_training_library_and_no_faust() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("missing", ["REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS"])
def test_an_address_that_is_not_set_is_named_at_start(missing: str) -> None:
    addresses = {"redis_url": "redis://127.0.0.1:1/0", "kafka_bootstrap_servers": "127.0.0.1:1"}
    addresses[missing.lower()] = ""
    with pytest.raises(SettingsError, match=missing):
        create_app(Settings.model_validate({key: value or None for key, value in addresses.items()}))


async def test_a_task_that_forgets_that_it_was_cancelled_is_cancelled_again() -> None:
    forgotten = []

    async def forgetful() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if forgotten:
                    raise
                forgotten.append(1)

    tasks = [asyncio.create_task(forgetful())]
    await asyncio.sleep(0)
    await cancel(tasks)
    assert forgotten == [1]
    assert tasks[0].cancelled()
