"""Who changed what from outside: an entry an act, none that stands in an act's way."""

from collections.abc import Callable

import asyncpg
import pytest
from structlog.testing import CapturingLogger

from reelstream.migrating import migrate
from schemas import audit
from schemas.settings import Settings


@pytest.fixture
async def settings(postgres: str) -> Settings:
    connection = await asyncpg.connect(postgres)
    await connection.execute("DROP DATABASE IF EXISTS audited WITH (FORCE)")
    await connection.execute("CREATE DATABASE audited")
    await connection.close()
    return Settings(_env_file=None, database_url=f"{postgres.rsplit('/', 1)[0]}/audited")


async def entries(settings: Settings) -> list[tuple[str, ...]]:
    connection = await asyncpg.connect(settings.database_url)
    rows = await connection.fetch("SELECT actor, action, subject, outcome FROM audit_log ORDER BY at, action")
    await connection.close()
    return [tuple(row) for row in rows]


async def test_migrating_makes_the_months_and_notes_who_did(settings: Settings) -> None:
    assert len((await migrate(settings)).made) == 12
    assert (await migrate(settings)).made == []
    assert await entries(settings) == [
        (audit.operator(), "migrate", "database", "made 12 months, dropped 0"),
        (audit.operator(), "migrate", "database", "made 0 months, dropped 0"),
    ]


async def test_an_act_without_postgresql_is_noted_and_cut_to_what_fits(settings: Settings) -> None:
    await migrate(settings)
    await audit.note(settings, audit.caller("::1"), "delete-post", "7")
    await audit.note(settings, audit.caller(None), "import", "x" * 10_000)
    assert [entry[:2] for entry in await entries(settings)][1:] == [
        ("HTTP from ::1", "delete-post"), ("HTTP from unknown", "import"),
    ]  # fmt: skip
    assert len((await entries(settings))[2][2]) == audit.MOST_CHARACTERS


async def test_a_log_that_can_not_be_written_stops_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(audit, "log", log)
    away = Settings(_env_file=None, database_url=f"postgresql://a@127.0.0.1:{free_port()}/b")
    for where in (settings, away, Settings(_env_file=None)):  # of before the table, away, none
        await audit.note(where, "somebody", "rebuild", "state")
    assert [call.args for call in log.calls] == [("not in the audit log",)] * 2
