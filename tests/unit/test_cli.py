"""The command line: its help, and what it says when something is wrong."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reelstream import state as state_directory
from reelstream.addresses import load_settings
from reelstream.state import Running, locked, read_running, write_running
from schemas.errors import ReelstreamError

COMMANDS = ["up", "status", "replay", "trending", "dead-letters", "train", "api", "worker", "migrate", "topics"]
OTHERS = ["collect", "dev-upstream", "import", "export", "forget", "experiments"]
VARIABLES = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "DATABASE_URL", "KAFKA_PARTITIONS")


def reelstream(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in an empty folder, without the addresses that the developer may have set."""
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return subprocess.run(
        [sys.executable, "-P", "-m", "reelstream", *arguments],
        capture_output=True, text=True, cwd=folder, env=clean | environment, timeout=60, check=False,
    )  # fmt: skip


def assert_one_sentence(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("reelstream: ")
    for word in words:
        assert word in result.stderr


def test_help_lists_every_command(tmp_path: Path) -> None:
    result = reelstream("--help", folder=tmp_path)
    assert result.returncode == 0
    for command in [*COMMANDS, *OTHERS]:
        assert f" {command} " in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, tmp_path: Path) -> None:
    result = reelstream(command, "--help", folder=tmp_path)
    assert result.returncode == 0
    assert "Usage:" in result.stdout


@pytest.mark.parametrize("command", ["list", "show", "resend"])
def test_dead_letters_are_chosen_by_the_same_options_everywhere(command: str, tmp_path: Path) -> None:
    help_text = reelstream("dead-letters", command, "--help", folder=tmp_path).stdout
    for option in ("--topic", "--reason", "--field", "--since", "--until", "--limit"):
        assert f" {option} " in help_text


def test_a_time_that_is_none_is_refused_with_an_example(tmp_path: Path) -> None:
    result = reelstream("dead-letters", "list", "--since", "yesterday", folder=tmp_path)
    assert result.returncode == 2
    assert "2026-11-22T20:54:00" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["collect", "likes"], ["'likes'", "liked-posts"]),
        (["collect", "--every", "soon"], ["'soon'", "15m"]),
        (["collect", "liked-posts"], ["RESONANCE_ALGORITHM is not set"]),
        (["import", "nothing-here"], ["nothing-here", "interactions"]),
    ],
)
def test_what_can_not_be_collected_or_imported_is_a_sentence(
    arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"} if arguments[0] == "collect" else {}
    assert_one_sentence(reelstream(*arguments, folder=tmp_path, RESONANCE_ALGORITHM="", **kafka), *words)


def test_help_needs_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, reelstream.cli; "
        "print([n for n in ('faust', 'starlette', 'sklearn', 'torch', 'tensorflow', 'sqlalchemy') if n in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert result.stdout.strip() == "[]"


def test_a_port_in_use_is_a_sentence_that_names_the_port_and_the_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        result = reelstream("up", "--port", port, "--data", "state", folder=tmp_path)
    assert_one_sentence(result, port, "--port")


def test_a_state_directory_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    result = reelstream("up", "--port", "0", "--data", "state", folder=tmp_path)
    assert_one_sentence(result, "state", "--data")


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        (["worker", "--role", "learn"], "KAFKA_BOOTSTRAP_SERVERS"),
        (["worker"], "REDIS_URL"),
        (["migrate"], "DATABASE_URL"),
        (["topics"], "KAFKA_BOOTSTRAP_SERVERS"),
        (["trending"], "KAFKA_BOOTSTRAP_SERVERS"),
        (["dead-letters", "list"], "KAFKA_BOOTSTRAP_SERVERS"),
        (["dead-letters", "show", "interactions-2-1041-0"], "KAFKA_BOOTSTRAP_SERVERS"),
        (["dead-letters", "resend", "--topic", "posts"], "KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_a_missing_address_is_named(command: list[str], variable: str, tmp_path: Path) -> None:
    assert_one_sentence(reelstream(*command, folder=tmp_path), f"{variable} is not set", "reelstream up")


def test_a_wrong_setting_is_named_with_its_value(tmp_path: Path) -> None:
    result = reelstream("topics", folder=tmp_path, KAFKA_PARTITIONS="many")
    assert_one_sentence(result, "KAFKA_PARTITIONS", "many")


def test_a_database_that_does_not_answer_is_a_sentence(tmp_path: Path, free_port: Callable[[], int]) -> None:
    result = reelstream("migrate", folder=tmp_path, DATABASE_URL=f"postgresql://nobody@127.0.0.1:{free_port()}/x")
    assert_one_sentence(result, "PostgreSQL", "DATABASE_URL")


def test_a_broker_that_does_not_answer_is_a_sentence(tmp_path: Path, free_port: Callable[[], int]) -> None:
    result = reelstream("topics", folder=tmp_path, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "reelstream: Kafka at 127.0.0.1" in result.stderr


@pytest.mark.parametrize(
    ("variable", "address"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:{port}"),
        ("REDIS_URL", "redis://127.0.0.1:{port}/0"),
        ("REDIS_URL", "127.0.0.1:{port}"),
        ("DATABASE_URL", "postgresql://ann:secret@127.0.0.1:{port}/x"),
        ("DATABASE_URL", "mysql://127.0.0.1:{port}/x"),
    ],
)
def test_up_says_which_given_address_does_not_answer(
    variable: str, address: str, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    given = {variable: address.format(port=free_port())}
    result = reelstream("up", "--port", "0", "--data", "state", folder=tmp_path, **given)
    assert result.returncode == 1
    assert f"reelstream: {variable} is set, but" in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stderr


def test_status_works_when_everything_is_down(tmp_path: Path) -> None:
    result = reelstream("status", "--json", folder=tmp_path)
    assert result.returncode == 0
    found = json.loads(result.stdout)
    assert found["parts"]["redis"] == "down: REDIS_URL is not set"
    assert found["workers"] == []
    assert found["posts"] is None


ADDRESSES = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "REDIS_URL": "redis://127.0.0.1:2/0",
    "KAFKA_IDEMPOTENCE": "false",
}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be the state directory, away from any .env file, and no address in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, "KAFKA_IDEMPOTENCE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "state"


def test_commands_find_the_services_of_a_running_up(state: Path) -> None:
    with locked(state):
        write_running(state, Running(pid=1, url="http://127.0.0.1:3", environment=ADDRESSES))
        settings = load_settings(state)
    assert settings.kafka_bootstrap_servers == "127.0.0.1:1"
    assert settings.redis_url == "redis://127.0.0.1:2/0"
    assert settings.kafka_idempotence is False


def test_the_environment_wins_over_a_running_up(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "elsewhere:9092")
    with locked(state):
        write_running(state, Running(pid=1, url="http://127.0.0.1:3", environment=ADDRESSES))
        settings = load_settings(state)
    assert settings.kafka_bootstrap_servers == "elsewhere:9092"
    assert settings.kafka_idempotence is True  # goes with the broker, which is not the embedded one
    assert settings.redis_url == "redis://127.0.0.1:2/0"


def test_an_up_that_ended_without_a_word_is_not_taken_for_a_running_one(state: Path) -> None:
    with locked(state):
        write_running(state, Running(pid=1, url="http://127.0.0.1:3", environment=ADDRESSES))
    assert read_running(state) is None
    assert load_settings(state).redis_url is None


def test_the_state_directory_and_the_addresses_are_closed_to_other_users(state: Path) -> None:
    with locked(state):
        write_running(state, Running(pid=1, url="http://127.0.0.1:3", environment=ADDRESSES))
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "services.json").stat().st_mode & 0o777 == 0o600


def test_a_disk_without_room_is_a_sentence(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_directory, "NEEDED_BYTES", 1 << 62)
    with pytest.raises(ReelstreamError, match="--data"), locked(state):
        pass
