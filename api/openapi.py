"""The description of the API, OpenAPI 3.1, made from the types of api/operations.py.

spectree would do, but wants each route decorated and validates a second time; the types say it all already.
"""

import re
from importlib.metadata import version
from typing import Any

import msgspec

from collector.kinds import KINDS
from schemas.messages import ErrorAnswer, ErrorDetail

from .operations import OPERATIONS, Answer, Operation
from .responses import CODES

TEMPLATE = "#/components/schemas/{name}"
_path_parameter = re.compile(r"{(\w+)}")
_PATH_PARAMETERS = {
    "post_id": {
        "name": "post_id", "in": "path", "required": True, "description": "Id of a post.", "example": 1234,
        "schema": {"type": "integer", "minimum": 1, "maximum": 2**53 - 1},
    },
    "username": {
        "name": "username", "in": "path", "required": True, "description": "Name of a user.", "example": "you",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    },
    "kind": {
        "name": "kind", "in": "path", "required": True, "description": "What to collect.", "example": "liked-posts",
        "schema": {"type": "string", "enum": [*KINDS]},
    },
}  # fmt: skip
_FLIC_TOKEN = {
    "name": "Flic-Token", "in": "header", "required": True, "description": "The value of FLIC_TOKEN.",
    "schema": {"type": "string"}, "example": "…",
}  # fmt: skip


def describe(most: int) -> dict[str, Any]:
    """The whole document. most: the setting MAX_RECOMMENDATIONS."""
    types: list[Any] = [ErrorAnswer]
    for operation in OPERATIONS.values():
        types += [answer.type for answer in operation.answers.values() if answer.type is not None]
        types += [operation.body.type] if operation.body else []
        types += [operation.parameters] if operation.parameters else []
    found, components = msgspec.json.schema_components(types, ref_template=TEMPLATE)
    schemas = {str(kind): schema for kind, schema in zip(types, found, strict=True)}
    parameters = {kind: _parameters(components.pop(kind.__name__), most) for kind in types if _is_parameters(kind)}
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _operation(path, operation, schemas, parameters)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "reelstream",
            "version": version("reelstream"),
            "summary": "Feeds of short videos that know what happened a moment ago.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in OPERATIONS.values())],
        "paths": paths,
        "components": {"schemas": {name.lstrip("_"): _renamed(schema) for name, schema in components.items()}},
    }


def _is_parameters(kind: Any) -> bool:
    return any(kind is operation.parameters for operation in OPERATIONS.values())


def _parameters(component: dict[str, Any], most: int) -> list[dict[str, Any]]:
    """Those of the address."""
    found = []
    for name, schema in component["properties"].items():
        kind = {**schema["anyOf"][0]} if "anyOf" in schema else {**schema}
        if schema.get("default") is not None:
            kind["default"] = schema["default"]
        if name == "page_size" and kind.get("default") is None:
            kind["maximum"] = most
        parameter = {"name": name, "in": "query", "description": kind.pop("description"), "schema": kind}
        if examples := kind.pop("examples", None):
            parameter["example"] = examples[0]
        found.append({**parameter, "required": name in component.get("required", [])})
    return found


def _operation(
    path: str, operation: Operation, schemas: dict[str, Any], parameters: dict[Any, list[dict[str, Any]]]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [_PATH_PARAMETERS[name] for name in _path_parameter.findall(path)],
        "responses": {
            **{str(status): _answer(answer, schemas) for status, answer in operation.answers.items()},
            **{str(status): _error(status, meaning, schemas) for status, meaning in operation.errors.items()},
        },
    }
    if operation.parameters is not None:
        described["parameters"] += parameters[operation.parameters]
    if operation.flic_token:
        described["parameters"].append(_FLIC_TOKEN)
    if path.endswith("/stream"):
        described["parameters"].append(
            {"name": "Last-Event-ID", "in": "header", "required": False, "schema": {"type": "string"},
             "description": "Id of the last event that came.", "example": "5be1f0a2-7"}
        )  # fmt: skip
    if operation.body is not None:
        content = {"schema": _renamed(schemas[str(operation.body.type)]), "example": operation.body.example}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def _answer(answer: Answer, schemas: dict[str, Any]) -> dict[str, Any]:
    if not answer.media:
        return {"description": answer.meaning}
    content: dict[str, Any] = {"schema": {"type": "string"}}
    if answer.type is not None:
        content["schema"] = _renamed(schemas[str(answer.type)])
    if answer.example is not None:
        content["example"] = msgspec.to_builtins(answer.example)
    return {"description": answer.meaning, "content": {answer.media: content}}


def _error(status: int, meaning: str, schemas: dict[str, Any]) -> dict[str, Any]:
    detail = ErrorDetail(code=CODES[status], message=meaning + ".", field="page" if status == 400 else None)
    example = ErrorAnswer(error=detail, request_id="4b0c")
    return _answer(Answer(meaning, ErrorAnswer, example), schemas)


def _renamed(schema: Any) -> Any:
    """References without the underscore that private types have."""
    if isinstance(schema, dict):
        return {key: _renamed(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_renamed(value) for value in schema]
    return schema.replace("schemas/_", "schemas/") if isinstance(schema, str) else schema
