"""What other systems code against: an AsyncAPI 3 document and a JSON Schema of each message, made from the types.

`python -m schemas.contract` writes them to docs/contract; a test fails while those differ from what the types say.
"""

import sys
from importlib.metadata import version
from inspect import cleandoc
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from . import topics
from .dead_letters import DeadLetter
from .events import Interaction
from .impressions import Impression
from .models import ModelVersion, TrainingRequest
from .posts import PostRow
from .topics import TOPICS, Topic
from .trending import TrendingSnapshot
from .users import User

HEADERS = {
    "content-type": "application/json; anything else is read as JSON all the same.",
    "schema-version": "Version of the message's schema, 1 unless told. Fields that are not known are ignored.",
    "traceparent": "W3C Trace Context.",
}
"""Headers a message may have, and what they mean. They are passed on with it, to its owner and to the dead letters."""


class Message(NamedTuple):
    """A message of the public contract. key: what its Kafka key is. published: by us, or else by whoever likes to.

    many: its value may be an array too. deletes: a null value deletes the key.
    """

    name: str
    type: type[msgspec.Struct]
    topic: str
    key: str
    published: bool = False
    many: bool = False
    deletes: bool = False


MESSAGES = (
    Message("interaction", Interaction, topics.INTERACTIONS, "username", many=True),
    Message("post", PostRow, topics.POSTS, "id of the post", many=True, deletes=True),
    Message("user", User, topics.USERS, "username", many=True, deletes=True),
    Message("impression", Impression, topics.IMPRESSIONS, "username", published=True),
    Message("trending", TrendingSnapshot, topics.TRENDING, "category, or `all`", published=True),
    Message("model", ModelVersion, topics.MODELS, "name of the model", published=True),
    Message("training-request", TrainingRequest, topics.MODELS, "`train:` and the name of the model"),
    Message("dead-letter", DeadLetter, topics.DEAD_LETTERS, "topic that the message came by", published=True),
)


def json_schema(message: Message) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one message; what it refers to is under `$defs`."""
    schema: dict[str, Any] = msgspec.json.schema(message.type)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": message.name, **schema}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 document: what may be sent to Kafka, and what can be read there."""
    _, schemas = msgspec.json.schema_components([m.type for m in MESSAGES], ref_template="#/components/schemas/{name}")
    by_topic = {topic.name: topic for topic in TOPICS}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "reelstream",
            "version": version("reelstream"),
            "description": "Events in and out of a streaming recommender, as JSON on Kafka. Unknown fields are "
            "ignored, new ones have defaults, and the meaning of a field never changes. What breaks the contract goes "
            "to `dead-letters` with the reason.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {m.topic: _channel(by_topic[m.topic]) for m in MESSAGES},
        "operations": {
            f"{'read' if m.published else 'publish'}-{m.name}": {
                "action": "send" if m.published else "receive",
                "channel": {"$ref": f"#/channels/{m.topic}"},
                "messages": [{"$ref": f"#/channels/{m.topic}/messages/{m.name}"}],
            }
            for m in MESSAGES
        },
        "components": {"messages": {m.name: _message(m) for m in MESSAGES}, "schemas": schemas},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    settings: dict[str, Any] = {"cleanup.policy": ["compact" if topic.retention_ms is None else "delete"]}
    if topic.retention_ms is not None:
        settings["retention.ms"] = topic.retention_ms
    return {
        "address": topic.name,
        "messages": {m.name: {"$ref": f"#/components/messages/{m.name}"} for m in MESSAGES if m.topic == topic.name},
        "bindings": {"kafka": {"topic": topic.name, "topicConfiguration": settings, "bindingVersion": "0.5.0"}},
    }


def _message(message: Message) -> dict[str, Any]:
    one: dict[str, Any] = {"$ref": f"#/components/schemas/{message.type.__name__}"}
    shapes = [one]
    if message.many:
        shapes.append({"type": "array", "items": one})
    if message.deletes:
        shapes.append({"type": "null", "description": "deletes what the key names"})
    return {
        "name": message.name,
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "properties": {name: {"type": "string", "description": meaning} for name, meaning in HEADERS.items()},
        },
        "payload": one if len(shapes) == 1 else {"oneOf": shapes},
        "bindings": {"kafka": {"key": {"type": "string", "description": message.key}, "bindingVersion": "0.5.0"}},
    }


def documents() -> dict[str, bytes]:
    """File name → content."""
    made = {f"{message.name}.schema.json": json_schema(message) for message in MESSAGES}
    made["asyncapi.json"] = asyncapi()
    return {name: _written(content) for name, content in made.items()}


def _written(content: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(_unindented(content)), indent=2) + b"\n"


def _unindented(part: Any) -> Any:
    """Descriptions are docstrings, which Python keeps with their indentation up to 3.12 and without it from 3.13 on."""
    if isinstance(part, dict):
        return {
            name: cleandoc(value) if name == "description" and isinstance(value, str) else _unindented(value)
            for name, value in part.items()
        }
    return [_unindented(each) for each in part] if isinstance(part, list) else part


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/contract")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in documents().items():
        (folder / name).write_bytes(content)
