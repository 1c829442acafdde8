"""Parameters of the reading routes: what they are, what is allowed and an example, for requests and for OpenAPI."""

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta
from msgspec.inspect import FloatType, IntType, LiteralType, StrType, UnionType, type_info

from .errors import ContractError
from .trending import DEFAULT_WINDOW

Mood = Literal["energetic", "calm", "inspiring", "educational", "entertainment"]
MOODS: tuple[str, ...] = ("energetic", "calm", "inspiring", "educational", "entertainment")
Window = Literal["1h", "24h", "7d"]

MOST_EXCLUDED = 500
_NAME = {"min_length": 1, "max_length": 128, "pattern": "^[^\x00]*$"}

Username = Annotated[
    str, Meta(**_NAME, description="Who asks. Anybody may; a stranger gets a cold-start feed.", examples=["you"])
]
Session = Annotated[
    str,
    Meta(
        **_NAME,
        description="A visit of the app: no post is served twice in one. Without username it stands for a guest.",
        examples=["b7c1"],
    ),
]
Page = Annotated[
    int,
    Meta(ge=1, le=1_000_000, description="Number of the page. Pages of one list never share a post.", examples=[1]),
]
PageSize = Annotated[
    int, Meta(ge=1, le=1_000, description="Posts a page, up to MAX_RECOMMENDATIONS; 20 when absent.", examples=[20])
]
CursorText = Annotated[
    str,
    Meta(min_length=1, max_length=200, description="next_cursor of the page before, with the parameters of that page."),
]
Category = Annotated[str, Meta(**_NAME, description="Name of a category, its slug or its id.", examples=["Comedy"])]
ProjectCode = Annotated[
    str,
    Meta(
        **_NAME,
        description="Project code of a topic, else the slug of a category's name, else a category's id; "
        "`matched` says which it was.",
        examples=["flic"],
    ),
]
MoodName = Annotated[Mood, Meta(description="What the posts should be like.", examples=["calm"])]
Explain = Annotated[bool, Meta(description="Say why each post is there, and what was held back.", examples=[True])]
Ids = Annotated[
    str,
    Meta(
        max_length=17 * MOST_EXCLUDED,
        pattern=r"^[0-9]{1,16}(,[0-9]{1,16})*$",
        description=f"Posts to leave out: up to {MOST_EXCLUDED} ids with commas between.",
        examples=["17,4"],
    ),
]
Diversity = Annotated[
    float,
    Meta(
        ge=0.0,
        le=1.0,
        description="0, as when absent: by score alone. 1: as different from each other as can be.",
        examples=[0.3],
    ),
]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1, description="Makes what is random repeatable, for tests.", examples=[7])]
MaxAgeDays = Annotated[
    float,
    Meta(gt=0, le=36_500, description="Leave out what is older, in days, and what has no date.", examples=[30]),
]
FirstPage = Annotated[
    int,
    Meta(ge=1, le=1_000_000, description="Where to begin; when absent, where the last run ended early.", examples=[1]),
]
RowsAPage = Annotated[int, Meta(ge=1, le=1_000, description="Rows a page.", examples=[500])]
WindowName = Annotated[Window, Meta(description="Half-life of what counts.", examples=["24h"])]


class FeedParameters(msgspec.Struct, kw_only=True):
    """Of `GET /api/v1/feed`."""

    username: Username | None = None
    session_id: Session | None = None
    page: Page = 1
    page_size: PageSize | None = None
    cursor: CursorText | None = None
    category: Category | None = None
    project_code: ProjectCode | None = None
    mood: MoodName | None = None
    exclude: Ids | None = None
    max_age_days: MaxAgeDays | None = None
    diversity: Diversity | None = None
    seed: Seed | None = None
    explain: Explain = False


class CategoryFeedParameters(FeedParameters, kw_only=True):
    """Of `GET /api/v1/feed/category`."""

    project_code: ProjectCode


class TrendingParameters(msgspec.Struct, kw_only=True):
    """Of `GET /api/v1/trending`."""

    window: WindowName = DEFAULT_WINDOW  # type: ignore[assignment]
    category: Category | None = None
    project_code: ProjectCode | None = None
    username: Username | None = None
    page_size: PageSize | None = None


class StreamParameters(msgspec.Struct, kw_only=True):
    """Of `GET /api/v1/trending/stream`."""

    window: WindowName = DEFAULT_WINDOW  # type: ignore[assignment]
    category: Category | None = None
    page_size: PageSize | None = None


class SimilarParameters(msgspec.Struct, kw_only=True):
    """Of `GET /api/v1/similar/{post_id}`."""

    username: Username | None = None
    page_size: PageSize | None = None


class CollectParameters(msgspec.Struct, kw_only=True):
    """Of `POST /api/v1/collect/{kind}`."""

    page: FirstPage | None = None
    page_size: RowsAPage = 1_000


T = TypeVar("T", bound=msgspec.Struct)


def read_parameters(kind: type[T], given: dict[str, str]) -> T:
    """Parameters as a request gives them; empty ones are absent. Raises ContractError: the name and what is allowed."""
    try:
        return msgspec.convert({name: value for name, value in given.items() if value}, kind, strict=False)
    except msgspec.ValidationError as error:
        message, _, name = str(error).rpartition(" - at `$.")
        name = name.rstrip("`")
        if not message:
            name = str(error).rpartition("field `")[2].rstrip("`")
            raise ContractError(f"{name} is required: {allowed(kind)[name]}", name) from None
        raise ContractError(f"{name} is {given[name][:40]!r}; allowed: {allowed(kind)[name]}", name) from None


def allowed(kind: type[msgspec.Struct]) -> dict[str, str]:
    """What each parameter may be, in words."""
    info: Any = type_info(kind)
    return {field.encode_name: _words(field.type) for field in info.fields}


def _words(kind: object) -> str:
    inner = getattr(kind, "type", None)
    if inner is not None:  # a type with a description
        return _words(inner)
    match kind:
        case UnionType(types=types):
            return _words(types[0])
        case LiteralType(values=values):
            return ", ".join(str(value) for value in values)
        case IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case FloatType(gt=low, le=high) if low is not None:
            return f"a number above {low:g}, up to {high:g}"
        case FloatType(ge=low, le=high):
            return f"a number from {low:g} to {high:g}"
        case StrType(pattern=str(pattern)) if "," in pattern:
            return f"up to {MOST_EXCLUDED} post ids with commas between"
        case StrType(min_length=low, max_length=high):
            return f"{low} to {high} characters"
    return "true or false"
