"""The web page at `/`, looked at in Chromium: against a stub of the API's contracts, so that each answer is ours."""

import os
import re
import shutil
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import Browser, Page, async_playwright, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = Path(__file__).parents[2] / "api" / "page" / "index.html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
CARD = "#feed .card:not(.blank, .leaving)"
HOSTILE = '<img src="x" onerror="window.executed = 1"><script>window.executed = 1</script>'


class StubApi:
    """Answers feeds, trending and interactions as the API does, and remembers what it was asked."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = [
            {"id": number, "title": f"Post number {number}", "category": {"id": 1, "name": "Comedy"}, "tags": ["fun"],
             "owner": {}, "upvoted": False}
            for number in range(1, 31)
        ]  # fmt: skip
        self.sources: dict[str, float] = {"co_visitation": 0.5, "trending": 0.25}
        self.algorithm = "co_visitation+svd"
        self.degraded: list[str] = []
        self.trending = [1, 2, 3, 4, 5]
        self.reactions: list[dict[str, Any]] = []
        self.gone: set[tuple[str, int]] = set()
        self.feeds_until_reflected = 2
        self.feed_status = self.interaction_status = 200
        self.asked_for: list[str] = []
        routes = [
            Route("/", lambda request: FileResponse(PAGE)),
            Route("/api/v1/feed", self._feed),
            Route("/api/v1/trending", self._trending),
            Route("/api/v1/interaction", self._interaction, methods=["POST"]),
        ]
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), ws="none", log_level="warning"))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    def start(self) -> None:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    async def _feed(self, request: Request) -> JSONResponse:
        username, size = request.query_params["username"], int(request.query_params["page_size"])
        self.asked_for.append(username)
        if self.feed_status != 200:
            return self._error(self.feed_status, "Redis does not answer.")
        for reaction in self.reactions:  # each is reflected some feeds after it was accepted
            reaction["waits"] -= 1
            if reaction["waits"] < 0:
                self.gone.add((reaction["username"], reaction["post_id"]))
        left = [post for post in self.posts if (username, post["id"]) not in self.gone][:size]
        page = [post | {"explain": {"sources": self.sources}} for post in left]
        return JSONResponse(
            {"status": "success", "post": page, "algorithm_used": self.algorithm, "model_versions": {"svd": "v7"},
             "degraded": self.degraded, "recommendation_id": "page-1"}
        )  # fmt: skip

    async def _trending(self, request: Request) -> JSONResponse:
        by_id = {post["id"]: post for post in self.posts}
        ranked = [by_id[post_id] for post_id in self.trending if post_id in by_id]
        page = [post | {"trending": {"rank": rank, "score": 9.0 / rank}} for rank, post in enumerate(ranked, 1)]
        return JSONResponse({"status": "success", "post": page})

    async def _interaction(self, request: Request) -> JSONResponse:
        event = await request.json()
        if self.interaction_status != 200:
            return self._error(self.interaction_status, "Kafka does not answer.")
        self.reactions.append(event | {"waits": self.feeds_until_reflected})
        return JSONResponse({"status": "accepted", "event_ids": [event["event_id"]]}, 202)

    @staticmethod
    def _error(status: int, message: str) -> JSONResponse:
        error = {"code": "unavailable", "message": message, "field": ""}
        body = {"status": "error", "error": error, "request_id": "r"}
        return JSONResponse(body, status, headers={"Retry-After": "1"})


@pytest.fixture
def api() -> Iterator[StubApi]:
    stub = StubApi()
    stub.start()
    yield stub
    stub.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        missing = "no Chromium on this machine: install one (Debian: apt install chromium) to look at the page"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=path, args=QUIET)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, api: StubApi) -> AsyncIterator[Page]:
    """A tab, not yet anywhere. Whatever a test does with it, nothing may throw and no other host may be asked."""
    context = await browser.new_context()
    tab = await context.new_page()
    asked: list[str] = []
    thrown: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: thrown.append(str(error)))
    yield tab
    await context.close()
    assert [url for url in asked if not url.startswith((api.address + "/", "data:"))] == []
    assert thrown == []


async def test_a_feed_is_shown_with_what_is_known_of_each_post_and_why_it_is_there(api: StubApi, page: Page) -> None:
    api.posts[1] |= {"title": "", "category": "Drama", "tags": []}
    api.degraded = ["svd source: timed out after 40 ms"]
    await page.goto(api.address)
    await expect(page.locator(CARD)).to_have_count(12)
    first, second = page.locator(CARD).nth(0), page.locator(CARD).nth(1)
    await expect(first.get_by_role("heading")).to_have_text("Post number 1")
    await expect(first.locator(".category")).to_have_text("Comedy")
    await expect(first.locator(".tags")).to_have_text("#fun")
    await expect(first.locator(".why span")).to_have_text(["co visitation 0.5", "trending 0.25"])
    await expect(second.get_by_role("heading")).to_have_text("Post 2")
    await expect(second.locator(".category")).to_have_text("Drama")
    await expect(page.locator("#algorithm")).to_have_text("co_visitation+svd")
    await expect(page.locator("#models")).to_have_text("svd v7")
    await expect(page.locator("#degraded")).to_have_text("degraded: svd source: timed out after 40 ms")


async def test_a_liked_post_leaves_the_feed_and_the_page_says_after_how_many_milliseconds(
    api: StubApi, page: Page
) -> None:
    await page.goto(f"{api.address}/?username=u42")
    await page.get_by_role("button", name="Like Post number 3", exact=True).click()
    await expect(page.locator("#reflected")).to_have_text(
        page_says("Feed reflects your last like after {} ms · 1 of 12 posts changed")
    )
    await expect(page.get_by_role("heading", name="Post number 3", exact=True)).to_have_count(0)
    await expect(page.get_by_role("heading", name="Post number 13", exact=True)).to_be_visible()
    sent = api.reactions[0]
    assert (sent["username"], sent["post_id"], sent["interaction_type"]) == ("u42", 3, "like")
    assert sent["recommendation_id"] == "page-1"


@pytest.mark.parametrize(("button", "sent"), [("Skip", "exit"), ("Hide", "not_interested")])
async def test_skip_and_hide_send_what_they_mean(api: StubApi, page: Page, button: str, sent: str) -> None:
    await page.goto(api.address)
    await page.get_by_role("button", name=f"{button} Post number 1", exact=True).click()
    await expect(page.locator("#reflected")).to_contain_text(f"your last {button.lower()} after")
    assert [reaction["interaction_type"] for reaction in api.reactions] == [sent]


async def test_the_keyboard_likes_and_the_focus_goes_on_to_the_next_post(api: StubApi, page: Page) -> None:
    await page.goto(api.address)
    await page.get_by_role("button", name="Like Post number 1", exact=True).focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Like Post number 2", exact=True)).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Like Post number 3", exact=True)).to_be_focused()
    assert [reaction["post_id"] for reaction in api.reactions] == [1, 2]


async def test_likes_in_quick_succession_are_all_sent_and_all_reflected(api: StubApi, page: Page) -> None:
    api.feeds_until_reflected = 5
    await page.goto(api.address)
    for number in (1, 2, 3):
        await page.get_by_role("button", name=f"Like Post number {number}", exact=True).click()
    await expect(page.locator(CARD).first.get_by_role("heading")).to_have_text("Post number 4")
    await expect(page.locator(f"{CARD}[aria-busy]")).to_have_count(0)
    assert [reaction["post_id"] for reaction in api.reactions] == [1, 2, 3]


async def test_a_feed_that_never_reflects_a_like_is_not_asked_for_ever(api: StubApi, page: Page) -> None:
    api.feeds_until_reflected = 1_000_000
    await page.goto(api.address)
    await page.get_by_role("button", name="Like Post number 1", exact=True).click()
    await expect(page.locator("#reflected")).to_contain_text("does not show it yet after 2 s")
    await expect(page.locator(f"{CARD}[aria-busy]")).to_have_count(0)


async def test_a_like_is_safe_while_the_feed_does_not_answer(api: StubApi, page: Page) -> None:
    await page.goto(api.address)
    await expect(page.locator(CARD)).to_have_count(12)
    api.feed_status = 503
    await page.get_by_role("button", name="Like Post number 1", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("Redis does not answer.")
    await expect(page.locator("#reflected")).to_contain_text("Your like is saved")
    assert [reaction["post_id"] for reaction in api.reactions] == [1]


async def test_trending_moves_and_says_by_how_many_ranks(api: StubApi, page: Page) -> None:
    await page.goto(api.address)
    rows = page.locator("#trending .rank:not(.leaving)")
    await expect(rows).to_have_count(5)
    await expect(rows.locator(".moved")).to_have_text([""] * 5)
    api.trending = [3, 1, 2, 4, 9]
    await expect(rows.locator(".moved")).to_have_text(["▲ 2", "▼ 1", "▼ 1", "", "new"])
    await expect(rows.first).to_contain_text("Post number 3")


async def test_a_like_that_kafka_refuses_is_sent_again_until_it_is_saved(api: StubApi, page: Page) -> None:
    api.interaction_status = 503
    await page.goto(api.address)
    await page.get_by_role("button", name="Like Post number 1", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("Kafka does not answer.")
    api.interaction_status = 200
    await expect(page.locator("#reflected")).to_contain_text("your last like after")
    await expect(page.locator("#banner")).to_be_hidden()
    assert len(api.reactions) == 1


async def test_a_refused_like_says_why_and_can_be_tried_again(api: StubApi, page: Page) -> None:
    api.interaction_status = 400
    await page.goto(api.address)
    like = page.get_by_role("button", name="Like Post number 1", exact=True)
    await like.click()
    await expect(page.get_by_role("alert")).to_contain_text("That like was refused: Kafka does not answer.")
    await expect(like).to_have_attribute("aria-pressed", "false")
    api.interaction_status = 200
    await like.click()
    await expect(page.locator("#reflected")).to_contain_text("your last like after")


async def test_the_banner_goes_and_the_feed_comes_when_the_server_recovers(api: StubApi, page: Page) -> None:
    api.feed_status = 503
    await page.goto(api.address)
    await expect(page.get_by_role("alert")).to_have_text("Redis does not answer. Trying again…")
    api.feed_status = 200
    await expect(page.locator(CARD)).to_have_count(12)
    await expect(page.locator("#banner")).to_be_hidden()


async def test_a_server_that_is_gone_is_said_in_words(api: StubApi, page: Page) -> None:
    await page.goto(api.address)
    await expect(page.locator(CARD)).to_have_count(12)
    await page.context.set_offline(True)
    await expect(page.get_by_role("alert")).to_contain_text("The server can't be reached.")
    await page.context.set_offline(False)
    await expect(page.locator("#banner")).to_be_hidden()


async def test_without_posts_the_page_says_how_to_get_some_and_notices_when_they_come(api: StubApi, page: Page) -> None:
    posts, api.posts = api.posts, []
    await page.goto(api.address)
    await expect(page.get_by_text("reelstream replay ml-100k")).to_be_visible()
    api.posts = posts
    await expect(page.locator(CARD)).to_have_count(12)
    await expect(page.get_by_text("reelstream replay ml-100k")).to_be_hidden()


async def test_a_user_is_chosen_by_name_by_suggestion_or_made_up(api: StubApi, page: Page) -> None:
    await page.goto(api.address)
    await page.get_by_label("Whose feed?").fill("someone else")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="The feed of someone else")).to_be_visible()
    await page.get_by_role("button", name="u1", exact=True).click()
    await expect(page.get_by_role("heading", name="The feed of u1", exact=True)).to_be_visible()
    await page.get_by_role("button", name="New user").click()
    await expect(page.get_by_label("Whose feed?")).to_have_value(page_says("{}", r"[a-z]+-[a-z]+-\d{4}"))
    await expect(page.locator(CARD)).to_have_count(12)
    made_up = await page.get_by_label("Whose feed?").input_value()
    assert api.asked_for[0] == "u196"
    assert list(dict.fromkeys(api.asked_for)) == ["u196", "someone else", "u1", made_up]


async def test_text_from_outside_is_shown_and_never_executed(api: StubApi, page: Page) -> None:
    api.posts[0] |= {"title": HOSTILE, "category": HOSTILE, "tags": [HOSTILE], "thumbnail_url": "javascript:executed=1"}
    api.sources = {HOSTILE: 1.0}
    api.algorithm = HOSTILE
    api.degraded = [HOSTILE]
    await page.goto(f"{api.address}/?username=%3Cimg%20src%3Dx%20onerror%3D%22executed%3D1%22%3E")
    await expect(page.locator(CARD).first.get_by_role("heading")).to_have_text(HOSTILE)
    await expect(page.locator("#trending .rank").first).to_contain_text(HOSTILE)
    await expect(page.locator("#whose")).to_have_text('<img src=x onerror="executed=1">')
    assert await page.evaluate("window.executed") is None


async def test_the_page_names_no_outside_address() -> None:
    source = PAGE.read_text().replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert "//" not in "".join(line for line in source.splitlines() if "href=" in line or "src=" in line)
    assert "@import" not in source
    assert "http://" not in source
    assert "https://" not in source


def page_says(pattern: str, value: str = r"\d+") -> re.Pattern[str]:
    """The sentence as a regular expression, `{}` standing for a value."""
    return re.compile(re.escape(pattern).replace(r"\{\}", value))
