"""The description of the API: of every route, from the types, with examples that are what they are examples of."""

from typing import Any

import msgspec
import pytest

from api.app import ROUTES
from api.openapi import describe
from api.operations import OPERATIONS, UNDESCRIBED


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return describe(50)


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {value["$ref"]} if "$ref" in value else set().union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_every_route_is_described_and_nothing_else(document: dict[str, Any]) -> None:
    routes = {(method, route.path) for route in ROUTES for method in (route.methods or ()) if method != "HEAD"}
    assert {(method, path) for method, path in routes if path not in UNDESCRIBED} == set(OPERATIONS), (
        "list new routes in api/operations.py"
    )
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == set(OPERATIONS)


def test_each_operation_has_an_example_of_its_answers_bodies_and_parameters(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            contents = [
                content for answer in operation["responses"].values() for content in answer.get("content", {}).items()
            ]
            contents += operation.get("requestBody", {}).get("content", {}).items()
            assert all("example" in content for media, content in contents if media != "text/plain"), (method, path)
            assert all(p["description"] for p in operation["parameters"])
            assert all("example" in p for p in operation["parameters"] if p["name"] != "cursor"), (method, path)


def test_examples_are_of_their_type() -> None:
    for operation in OPERATIONS.values():
        for answer in operation.answers.values():
            if answer.type is not None:
                msgspec.convert(msgspec.to_builtins(answer.example), answer.type)
        if operation.body is not None:
            msgspec.convert(operation.body.example, operation.body.type)


def test_references_lead_somewhere_and_limits_are_those_of_the_settings(document: dict[str, Any]) -> None:
    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) == names
    sizes = [
        parameter["schema"]["maximum"]
        for item in document["paths"].values()
        for operation in item.values()
        for parameter in operation["parameters"]
        if parameter["name"] == "page_size"
    ]
    assert sorted(sizes) == [50] * 5 + [1000]
    assert document["openapi"] == "3.1.0"
