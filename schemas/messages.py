"""Answers of the HTTP API with a fixed shape; a feed's items are posts as they came (schemas.posts.Post.item)."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType


class ErrorDetail(msgspec.Struct, kw_only=True):
    """code: for programs, never changes. message: a sentence that says what to do. field: what it is about, or None."""

    code: str
    message: str
    field: str | None = None


class ErrorAnswer(msgspec.Struct, kw_only=True):
    """Any answer from 400 on.

    event_ids: on a 503 for interactions: the ids the events carried, so that sending them again counts them once.
    results: on a 400 for an array: one for each entry.
    run_id: on a 409 for a collection: the run that goes on.
    """

    status: str = "error"
    error: ErrorDetail
    request_id: str
    event_ids: list[str] | UnsetType = UNSET
    results: "list[EntryResult] | UnsetType" = UNSET
    run_id: str | UnsetType = UNSET


class EntryResult(msgspec.Struct, kw_only=True):
    """What became of one entry of an array: `accepted` with the id it has, or `rejected` with the reason."""

    index: int
    status: str
    event_id: str | UnsetType = UNSET
    id: int | str | UnsetType = UNSET
    error: ErrorDetail | UnsetType = UNSET


class Accepted(msgspec.Struct, kw_only=True):
    """202: the broker has everything. event_ids: of interactions. ids: of posts or users. In the order sent."""

    status: str = "accepted"
    event_ids: list[str] | UnsetType = UNSET
    ids: list[int | str] | UnsetType = UNSET


class PartlyAccepted(msgspec.Struct, kw_only=True):
    """207: the broker has the good entries; `results` has one for each entry, in the order sent."""

    status: str = "partial"
    accepted: int
    rejected: int
    results: list[EntryResult]


class Page(msgspec.Struct, kw_only=True):
    """A page of posts: feed, trending and similar.

    post: the items. total_count: posts that could be paged through. degraded: parts that were skipped, and why.
    recommendation_id: to send back with interactions; None where no impression is kept.
    next_cursor: of the page behind this one. end: there is none.
    moved_since: of trending: seconds since 1970, the time that `moved` of each post compares with; None: not known yet.
    matched: by what `category` and `project_code` were found: name, slug, id, topic; None when no post has it.
    explain: only when asked for: `{"dropped": {filter: posts it held back}, "dropped_posts": {filter: the first ids},
    "variant": that of each experiment}`.
    """

    status: str = "success"
    post: list[dict[str, Any]]
    algorithm_used: str
    page: int
    page_size: int
    total_count: int
    model_versions: dict[str, str]
    degraded: list[str]
    recommendation_id: str | None = None
    next_cursor: str | None = None
    end: bool = True
    moved_since: float | UnsetType | None = UNSET
    matched: dict[str, str | None] | UnsetType = UNSET
    explain: dict[str, Any] | UnsetType = UNSET


class KindStatus(msgspec.Struct, kw_only=True):
    """Of one kind of collection: its run, or the last one.

    state: `idle` when it never ran, `running`, `succeeded`, `failed`. page: the last that is done with.
    rows: met in this scan, each once. published: rows that made events or messages because they are new or changed.
    taken_back: rows whose events were taken back. skipped: reason → rows. note: what else there is to say, or None.
    """

    state: str = "idle"
    page: int = 0
    rows: int = 0
    published: int = 0
    unchanged: int = 0
    taken_back: int = 0
    skipped: dict[str, int] = msgspec.field(default_factory=dict)
    last_success: datetime | None = None
    last_error: str | None = None
    run_id: str | None = None
    note: str | None = None


class CollectionStatus(msgspec.Struct, kw_only=True):
    """`GET /api/v1/collection-status`."""

    status: str = "success"
    kinds: dict[str, KindStatus]


class CollectionStarted(msgspec.Struct, kw_only=True):
    """202: a run goes on. page: where it begins; above 1 where the last run of the kind ended early."""

    status: str = "accepted"
    kind: str
    run_id: str
    page: int


class PartHealth(msgspec.Struct, kw_only=True):
    """One part that the API needs: serving or not, and what is known about it."""

    up: bool
    detail: str


class WorkerHealth(msgspec.Struct, kw_only=True):
    """partitions: `topic-N` it owns. lag: messages it has not applied yet, all of them together."""

    id: str
    pid: int
    role: str
    partitions: list[str]
    lag: int


class Readiness(msgspec.Struct, kw_only=True):
    """`/health/ready`: 200 when every part serves and workers of each role beat, 503 otherwise."""

    status: str
    parts: dict[str, PartHealth]
    workers: list[WorkerHealth]
