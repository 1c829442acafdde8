"""The public contract only grows: messages of before mean what they meant, and the documents say what the types do."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.contract import HEADERS, MESSAGES, Message, asyncapi, documents
from schemas.events import Interaction
from schemas.topics import INTERACTIONS, TOPICS
from streams.reading import ReadEvent, read_events
from streams.record import Record

ROOT = Path(__file__).parents[2]
GOLDEN: dict[str, dict[str, dict[str, Any]]] = json.loads(
    Path(__file__).with_name("golden").joinpath("messages-v1.json").read_text()
)


def broken(kind: type[msgspec.Struct], golden: dict[str, dict[str, Any]]) -> list[str]:
    """What became of a message type since its golden messages were written: nothing, as long as it only grew."""
    faults = []
    for which, message in golden.items():
        try:
            decoded = msgspec.to_builtins(msgspec.json.decode(json.dumps(message), type=kind))
        except msgspec.ValidationError as error:
            faults.append(f"{which}: {error}")
            continue
        faults += [f"{which}: {name} is gone" for name in message if name not in decoded]
        faults += [
            f"{which}: {name} was {value!r} and is {decoded[name]!r}"
            for name, value in message.items()
            if name in decoded and not same(value, decoded[name])
        ]
    return faults


def same(before: Any, now: Any) -> bool:
    """An object may have got more fields."""
    if isinstance(before, dict) and isinstance(now, dict):
        return all(name in now and same(value, now[name]) for name, value in before.items())
    if isinstance(before, list) and isinstance(now, list):
        return len(before) == len(now) and all(map(same, before, now))
    return type(before) is type(now) and bool(before == now)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)
def test_golden_messages_of_version_1_mean_what_they_meant(message: Message) -> None:
    assert broken(message.type, GOLDEN[message.name]) == []


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)
def test_every_field_is_in_the_golden_message(message: Message) -> None:
    missing = set(message.type.__struct_fields__) - GOLDEN[message.name]["full"].keys()
    assert not missing, f"add {missing} to the full golden message, so that they are kept from now on"


def changed(**fields: Any) -> type[msgspec.Struct]:
    """Interaction with other fields: name=(type,) without a default, (type, default), or None for one that is gone."""
    kept: dict[str, Any] = {
        field.name: (field.name, field.type) if field.required else (field.name, field.type, field.default)
        for field in msgspec.structs.fields(Interaction)
    }
    kept |= {name: (name, *change) if change else None for name, change in fields.items()}
    return msgspec.defstruct("Changed", [field for field in kept.values() if field], kw_only=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"session_id": None}, "session_id is gone"),
        ({"post_id": (str,)}, "Expected `str`, got `int`"),
        ({"interaction_value": (int, 1)}, "Expected `int`, got `float`"),
        ({"country": (str,)}, "missing required field `country`"),
    ],
)
def test_a_change_that_breaks_publishers_is_noticed(change: dict[str, Any], told: str) -> None:
    assert any(told in fault for fault in broken(changed(**change), GOLDEN["interaction"]))


def test_a_new_field_with_a_default_breaks_nothing() -> None:
    assert broken(changed(country=(str, "")), GOLDEN["interaction"]) == []


def test_the_documents_say_what_the_types_say() -> None:
    kept = {path.name: path.read_bytes() for path in (ROOT / "docs" / "contract").glob("*.json")}
    assert kept.keys() == documents().keys()
    assert kept == documents(), "the types changed: run `make contract`, and look at what differs"


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = asyncapi()

    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            here = [part["$ref"]] if "$ref" in part else []
            return here + [found for value in part.values() for found in references(value)]
        return [found for value in part for found in references(value)] if isinstance(part, list) else []

    for reference in references(document):
        place: Any = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]
    assert document["channels"].keys() <= {topic.name for topic in TOPICS}
    assert all(operation["action"] in ("send", "receive") for operation in document["operations"].values())
    assert HEADERS.keys() == document["components"]["messages"]["interaction"]["headers"]["properties"].keys()


def refusals() -> list[tuple[str, str]]:
    """Payload and reason of each row of the table in docs/contract."""
    text = (ROOT / "docs" / "contract" / "README.md").read_text()
    return re.findall(
        r"^\| (?:`(.*)`|a null value) \| (.+) \|$", text.split("reason in the dead letter")[1], re.MULTILINE
    )


@pytest.mark.parametrize(("sent", "reason"), refusals())
def test_what_is_refused_gets_the_reason_that_the_contract_tells(sent: str, reason: str) -> None:
    record = Record(INTERACTIONS, 0, 7, 1_795_000_000.0, b"ann", sent.encode() or None)
    assert [str(entry[1]) for entry in read_events(record) if not isinstance(entry, ReadEvent)] == [reason]


def test_the_table_of_refusals_is_read() -> None:
    assert len(refusals()) == 14
