"""Where the services are: the environment says, or else the running `reelstream up`."""

from pathlib import Path
from typing import Any

from schemas.settings import Settings

from .state import DEFAULT, read_running


def load_settings(data: Path | None = None) -> Settings:
    """Settings from the environment; what it leaves open, from the `up` that runs on `data` (default .reelstream).

    Raises SettingsError naming the variable when one is wrong.
    """
    settings = Settings.load()
    running = read_running(data or DEFAULT)
    if running is None:
        return settings
    given = settings.model_fields_set
    missing: dict[str, Any] = {}
    for name, value in running.environment.items():
        field = name.lower()
        # How to talk to a broker goes with the broker: never the one's address and the other's fetch wait.
        if field in given or (field.startswith("kafka_") and "kafka_bootstrap_servers" in given):
            continue
        missing[field] = value
    return Settings(**missing)
