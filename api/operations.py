"""What each route of the API is, for /openapi.json: parameters, bodies, answers and errors, from the types they have.

A route that is not here is found by a test.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.events import Interaction
from schemas.messages import (
    Accepted,
    CollectionStarted,
    CollectionStatus,
    EntryResult,
    ErrorDetail,
    KindStatus,
    Page,
    PartHealth,
    PartlyAccepted,
    Readiness,
    WorkerHealth,
)
from schemas.parameters import (
    CategoryFeedParameters,
    CollectParameters,
    FeedParameters,
    SimilarParameters,
    StreamParameters,
    TrendingParameters,
)
from schemas.posts import PostRow
from schemas.users import User


@dataclass
class Answer:
    """One status: what it means, the type of its JSON (None: the media type is all there is to say), and an example.
    media: empty for an answer without a body."""

    meaning: str
    type: Any = None
    example: Any = None
    media: str = "application/json"


@dataclass
class Body:
    """What is sent: its type and an example."""

    type: Any
    example: Any


@dataclass
class Operation:
    """errors: statuses from 400 on that are worth a word, beside the one shape that all have. flic_token: asked for."""

    tag: str
    summary: str
    answers: dict[int, Answer]
    parameters: type[msgspec.Struct] | None = None
    body: Body | None = None
    errors: dict[int, str] = field(default_factory=dict)
    flic_token: bool = False


POST = {
    "id": 1234, "title": "Morning run", "category": "Motivation", "tags": ["sport"],
    "owner": {"username": "ann", "name": "Ann"}, "upvoted": False, "bookmarked": False, "following": False,
}  # fmt: skip
EVENT = {"username": "you", "post_id": 1234, "interaction_type": "like", "event_id": "7f3a"}
UNCHANGED = Answer("The client has it already: its If-None-Match names the ETag", media="")
BAD = "A parameter is not allowed: `field` names it, `message` says what is"
AWAY = "Kafka did not acknowledge; send it again"


def _page(algorithm: str, **more: Any) -> Page:
    fields: dict[str, Any] = {
        "post": [POST], "algorithm_used": algorithm, "page": 1, "page_size": 20, "total_count": 1, "model_versions": {},
        "degraded": [],
    }  # fmt: skip
    return Page(**(fields | more))


_FEED = _page("cold_start:trending+popular+fresh", recommendation_id="0d9f", end=False, next_cursor="AXq3…")
_PUBLISHED = {
    202: Answer("The broker has all of it", Accepted, Accepted(ids=[1234])),
    207: Answer(
        "The broker has the good entries; a result for each",
        PartlyAccepted,
        PartlyAccepted(
            accepted=1,
            rejected=1,
            results=[
                EntryResult(index=0, status="accepted", id=1234),
                EntryResult(
                    index=1,
                    status="rejected",
                    error=ErrorDetail(code="bad_request", message="id: Expected `int`, got `str`", field="id"),
                ),
            ],
        ),
    ),
}
_TOKEN = {401: "The header Flic-Token is missing", 403: "It is not the value of FLIC_TOKEN, or that is not set here"}
_NOT_READ = {400: "The body breaks the contract: `field` and `message` say how", 413: "The body is larger than 1 MB"}

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", "/api/v1/feed"): Operation(
        "feeds", "A page of posts for a user, or for the session of a guest",
        {200: Answer("The page", Page, _FEED)}, FeedParameters,
        errors={400: BAD, 503: "The cursor's list can't be read just now"},
    ),
    ("GET", "/api/v1/feed/category"): Operation(
        "feeds", "The same of one project",
        {200: Answer("The page", Page, _page("popular+fresh", matched={"project_code": "topic"}))},
        CategoryFeedParameters, errors={400: BAD, 503: "The cursor's list can't be read just now"},
    ),
    ("GET", "/api/v1/trending"): Operation(
        "feeds", "What gathers interactions now, and how each post moved within the hour",
        {200: Answer("The list", Page, _page("trending:24h", moved_since=1_795_561_200.0)), 304: UNCHANGED},
        TrendingParameters,
        errors={400: BAD},
    ),
    ("GET", "/api/v1/trending/stream"): Operation(
        "feeds", "The live trending list as server-sent events",
        {
            200: Answer(
                "`snapshot`, then a `change` each time the order does: who entered, left and moved. `dropped` is the "
                "last word to a listener that is too slow. `Last-Event-ID` goes on where it left off",
                example='event: change\nid: 5be1f0a2-7\ndata: {"at":1795561200.5,"entered":[],"left":[4],"moved":[]}',
                media="text/event-stream",
            )
        },
        StreamParameters, errors={400: BAD, 503: "This process has all the listeners it takes"},
    ),
    ("GET", "/api/v1/similar/{post_id}"): Operation(
        "feeds", "What goes with a post, each with the source that says so",
        {200: Answer("The list", Page, _page("co_visitation+svd"))}, SimilarParameters,
        errors={400: BAD, 404: "There is no such post"},
    ),
    ("GET", "/api/v1/posts/{post_id}"): Operation(
        "posts", "The post, with exact counts of its interactions",
        {200: Answer("The post", dict[str, Any], {**POST, "counts": {"view": 12, "like": 3}}), 304: UNCHANGED},
        errors={404: "There is no such post", 503: "Redis does not answer"},
    ),
    ("POST", "/api/v1/posts"): Operation(
        "posts", "A post, or an array of up to 1,000", _PUBLISHED,
        body=Body(PostRow | list[PostRow], [{"id": 1234, "title": "Morning run", "category": "Motivation"}]),
        errors=_NOT_READ | {503: AWAY},
    ),
    ("DELETE", "/api/v1/posts/{post_id}"): Operation(
        "posts", "Deletes a post: it leaves every list",
        {202: Answer("The broker has it", Accepted, Accepted(ids=[1234]))},
        errors={404: "That can't be the id of a post", 503: AWAY},
    ),
    ("POST", "/api/v1/users"): Operation(
        "users", "A user, or an array of up to 1,000; e-mail addresses are not kept", _PUBLISHED,
        body=Body(User | list[User], [{"username": "you", "attributes": {"muted_authors": ["ann"]}}]),
        errors=_NOT_READ | {503: AWAY},
    ),
    ("DELETE", "/api/v1/users/{username}"): Operation(
        "users", "Forgets a user: state, profile and record",
        {202: Answer("The broker has it", Accepted, Accepted(ids=["you"]))},
        errors={404: "That can't be the name of a user", 503: "Kafka or PostgreSQL does not answer; send it again"},
    ),
    ("POST", "/api/v1/interaction"): Operation(
        "interactions", "One interaction of a user with a post",
        {202: Answer("The broker has it", Accepted, Accepted(event_ids=["7f3a"]))},
        body=Body(Interaction, EVENT), errors=_NOT_READ | {503: AWAY},
    ),
    ("POST", "/api/v1/interactions"): Operation(
        "interactions", "An array of up to 1,000 interactions",
        {202: Answer("The broker has them", Accepted, Accepted(event_ids=["7f3a"])), 207: _PUBLISHED[207]},
        body=Body(list[Interaction], [EVENT]), errors=_NOT_READ | {503: AWAY},
    ),
    ("POST", "/api/v1/collect/{kind}"): Operation(
        "collection", "Begins to collect from the external content API, and goes on after the answer",
        {
            202: Answer(
                "The run has begun", CollectionStarted, CollectionStarted(kind="liked-posts", run_id="4f1c", page=1)
            )
        },
        CollectParameters,
        errors=_TOKEN | {
            400: BAD, 404: "There is no such kind", 409: "The kind is being collected; `run_id` is that run",
            503: "PostgreSQL does not answer, or a secret is not set",
        },
        flic_token=True,
    ),
    ("GET", "/api/v1/collection-status"): Operation(
        "collection", "How the collection of each kind stands",
        {200: Answer("It does", CollectionStatus, CollectionStatus(kinds={"liked-posts": KindStatus()}))},
        errors=_TOKEN | {503: "PostgreSQL does not answer"}, flic_token=True,
    ),
    ("GET", "/asyncapi"): Operation(
        "operation", "What may be sent to Kafka and read there, as an AsyncAPI 3 document",
        {200: Answer("The document", dict[str, Any], {"asyncapi": "3.0.0"})},
    ),
    ("GET", "/health/live"): Operation(
        "operation", "The process answers", {200: Answer("It does", dict[str, str], {"status": "success"})}
    ),
    ("GET", "/health/ready"): Operation(
        "operation", "Whether all parts serve",
        {
            status: Answer(
                meaning, Readiness,
                Readiness(
                    status=word, parts={"redis": PartHealth(up=status == 200, detail="answers")},
                    workers=[WorkerHealth(id="learn-0", pid=7, role="learn", partitions=["interactions-0"], lag=0)],
                ),
            )
            for status, word, meaning in ((200, "ready", "All do"), (503, "not_ready", "Not all do"))
        },
    ),
    ("GET", "/metrics"): Operation(
        "operation", "Measurements, for Prometheus", {200: Answer("The page", media="text/plain")}
    ),
}  # fmt: skip
"""Method and path of a route → what it is."""

UNDESCRIBED = frozenset({"/", "/docs", "/redoc", "/openapi.json", "/assets/{name}"})
"""Pages for people, and what they need."""
