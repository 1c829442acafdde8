"""The API against its own description, and the two pages that show it, looked at in Chromium."""

import os
import shutil

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from playwright.async_api import async_playwright, expect
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

FEW = settings(
    max_examples=8, deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
LEFT_OUT = ["/api/v1/trending/stream", "/health/ready", "/api/v1/collect/{kind}", "/api/v1/collection-status"]
"""One never ends, one may say 503, and two ask for a token."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def test_whatever_is_asked_the_answer_is_one_that_is_described(addresses: tuple[str, str]) -> None:
    schema = schemathesis.openapi.from_url(f"{addresses[0]}/openapi.json").exclude(path=LEFT_OUT)
    asked: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()

        @FEW
        @given(operation.as_strategy())
        def answers(case: schemathesis.Case) -> None:
            answer = case.call_and_validate(checks=CHECKS)
            asked.setdefault(case.operation.label, set()).add(answer.status_code)

        answers()
    assert len(asked) == sum(1 for _ in schema.get_all_operations())
    assert all(statuses & {200, 202, 207, 404} for statuses in asked.values()), asked


async def test_both_pages_show_the_operations_and_ask_nobody_else(addresses: tuple[str, str]) -> None:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        missing = "no Chromium on this machine: install one (Debian: apt install chromium) to look at the pages"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    asked: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for page, place in (("docs", ".opblock-summary-path"), ("redoc", "body")):
            tab = await browser.new_page()
            tab.on("response", lambda answer: asked.append(answer.url))
            await tab.goto(f"{addresses[0]}/{page}")
            await expect(tab.locator(place).filter(has_text="What gathers interactions now").or_(
                tab.locator(place).filter(has_text="/api/v1/feed")).first).to_be_visible(timeout=20_000)  # fmt: skip
        await browser.close()
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {addresses[0].split("/")[2]}
    assert f"{addresses[0]}/openapi.json" in asked


async def test_the_viewers_come_from_this_process_and_may_not_ask_others(addresses: tuple[str, str]) -> None:
    async with httpx.AsyncClient(base_url=addresses[0]) as client:
        pages = [await client.get(path) for path in ("/docs", "/redoc")]
        assets = [await client.get(f"/assets/{name}") for name in ("swagger-ui.js", "swagger-ui.css", "redoc.js")]
        other = await client.get("/assets/__init__.py")
    assert [page.status_code for page in pages] == [200, 200]
    assert all("default-src 'self'" in page.headers["Content-Security-Policy"] for page in pages)
    assert all(asset.status_code == 200 and len(asset.content) > 100_000 for asset in assets)
    assert (other.status_code, other.json()["error"]["code"]) == (404, "not_found")
