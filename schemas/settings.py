"""Settings: read once from the environment and `.env`, refused with the variable's name when wrong."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import SettingsError
from .events import DEFAULT_WEIGHTS, MOST_WEIGHT, InteractionType
from .ranking import DEFAULT_HEAD_WEIGHTS, Head

Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(gt=-MOST_WEIGHT, lt=MOST_WEIGHT, allow_inf_nan=False)]
HeadWeight = Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseSettings):
    """Every variable the processes read. The environment name is the field's name in capitals."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    kafka_bootstrap_servers: str | None = Field(None, description="Kafka brokers, host:port[,host:port]")
    redis_url: str | None = Field(None, description="Redis or Valkey, redis://host:port/0")
    database_url: str | None = Field(None, description="PostgreSQL, postgresql://user@host:port/name")
    database_pool_size: Annotated[int, Field(ge=1, le=100)] = Field(
        4, description="connections to PostgreSQL that a worker opens at most"
    )
    database_timeout_seconds: Annotated[float, Field(ge=1, le=3600)] = Field(
        30.0, description="the longest statement of a worker; a rebuild's may take 10 minutes"
    )
    interaction_months: Count | None = Field(
        None, description="months before this one of which PostgreSQL keeps interactions; for ever when not set"
    )
    impression_months: Count = Field(1, description="the same of impressions")
    trending_months: Count = Field(12, description="the same of the history of trending")
    audit_months: Count = Field(24, description="the same of the audit log")
    kafka_partitions: Annotated[int, Field(ge=1, le=512)] = Field(4, description="partitions of each keyed topic")
    kafka_replication: Count = Field(1, description="replicas of each topic; 3 on a real cluster")
    kafka_fetch_max_wait_ms: Annotated[int, Field(ge=1, le=30_000)] = Field(
        500, description="how long a broker may hold an empty fetch; small only for brokers that don't wake a fetch"
    )
    kafka_idempotence: bool = Field(True, description="idempotent producers; off for brokers without them")
    kafka_static_membership: bool = Field(
        True, description="workers keep their place in the group over a restart; off for brokers that are slow with it"
    )
    user_idle_days: Annotated[float, Field(gt=0, le=3650)] = Field(
        90.0, description="after so many days without an event the state of a user leaves Redis; the record keeps it"
    )
    interaction_weights: dict[InteractionType, Weight] = Field(
        default_factory=lambda: dict(DEFAULT_WEIGHTS), description="weight of each interaction type, JSON"
    )
    model_path: Path = Field(Path("./models"), description="where trained models are kept")
    embedding_dim: Annotated[int, Field(ge=2, le=4096)] = Field(128, description="length of trained vectors")
    batch_size: Annotated[int, Field(ge=1, le=4096)] = Field(32, description="windows of 50 events a training step")
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(0.002, description="the highest of a training, of Adam")
    ranker_weights: dict[Head, HeadWeight] = Field(
        default_factory=lambda: dict(DEFAULT_HEAD_WEIGHTS),
        description="what the ranker's heads count: watched, like, share and negative, JSON",
    )
    train_every_minutes: Annotated[float, Field(gt=0)] = Field(10.0, description="pause between training runs")
    training_events: Count = Field(20_000_000, description="batch models learn from so many of the newest interactions")
    max_recommendations: Annotated[int, Field(ge=1, le=1000)] = Field(50, description="largest page_size")
    cold_start_threshold: Annotated[int, Field(ge=0)] = Field(
        5, description="interactions until a feed is fully personalised"
    )
    cache_ttl: Annotated[int, Field(ge=1, le=86_400 * 30)] = Field(
        3600, description="seconds that the API keeps what has no lifetime of its own: posts as answers show them"
    )
    similarity_threshold: Fraction = Field(0.3, description="/similar drops what is less similar than this")
    cors_origins: str | None = Field(
        None, description="origins whose pages may call the API, with commas between, or *; none when not set"
    )
    max_post_age_days: Annotated[float, Field(gt=0, le=36_500)] | None = Field(
        None, description="posts that are older are not shown anywhere; none are too old when not set"
    )
    rules_path: Path | None = Field(None, description="business rules of feeds, a TOML file; none when not set")
    experiments_path: Path | None = Field(None, description="experiments with feeds, a TOML file; none when not set")
    api_base_url: Annotated[str, Field(pattern=r"^https?://[^\s?#@]+$")] = Field(
        "https://api.socialverseapp.com", description="the external content API, http(s)://host[:port]"
    )
    flic_token: SecretStr | None = Field(None, description="token of the external API, and of our collect endpoints")
    resonance_algorithm: SecretStr | None = Field(None, description="what makes it answer everybody's interactions")
    collect_admins: bool = Field(False, description="whether interactions of users with the role A are collected")
    collect_most_vanished: Fraction = Field(
        0.2, description="a scan that misses a larger share of the known rows takes nothing back"
    )
    trending_interval_seconds: Annotated[float, Field(gt=0)] = Field(
        1.0, description="pause between trending snapshots"
    )

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: str | None) -> str | None:
        """Each as browsers write it: scheme, host and port."""
        for origin in (origins or "*").split(","):
            if not re.fullmatch(r"\*|https?://[^/\s,]+", origin.strip()):
                raise ValueError(
                    f"{origin.strip()!r} is no origin, such as https://app.example.org or http://localhost:3000"
                )
        return origins

    @field_validator("interaction_weights")
    @classmethod
    def _complete(cls, weights: dict[InteractionType, float]) -> dict[InteractionType, float]:
        """A partial table changes only what it names."""
        return {**DEFAULT_WEIGHTS, **weights}

    @field_validator("ranker_weights")
    @classmethod
    def _every_head(cls, weights: dict[Head, float]) -> dict[Head, float]:
        """A partial table changes only what it names."""
        return {**DEFAULT_HEAD_WEIGHTS, **weights}

    @classmethod
    def load(cls) -> "Settings":
        """Reads the environment. Raises SettingsError naming the variable, its value and what is allowed."""
        try:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]).upper() if first["loc"] else "settings"
            raise SettingsError(f"{name}={first['input']!r} is not valid: {first['msg']}") from None

    def require(self, name: str) -> str:
        """The address of a service, by its environment name. Raises SettingsError when it is not set."""
        value = getattr(self, name.lower())
        if value is None:
            raise SettingsError(
                f"{name} is not set. `reelstream up` starts everything on this machine; "
                f"to use a service of your own, set {name} in the environment or in .env."
            )
        return str(value)

    @property
    def user_ttl(self) -> int:
        """user_idle_days in seconds, at least 1."""
        return max(round(self.user_idle_days * 86_400), 1)
