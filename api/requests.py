"""Reading a request: parameters and body, refused with the field's name and what is allowed."""

from collections.abc import Collection

from starlette.requests import Request

from schemas.errors import ContractError
from schemas.settings import Settings

from .responses import ApiError

MAX_BODY_BYTES = 1 << 20
MAX_ENTRIES = 1_000


def text(request: Request, name: str, max_length: int = 128) -> str | None:
    """A parameter as text; None when absent or empty. Raises ContractError when it is too long."""
    value = request.query_params.get(name)
    if value is not None and len(value) > max_length:
        raise ContractError(f"{name} has {len(value)} characters; {max_length} are allowed", name)
    return value or None


def required_text(request: Request, name: str) -> str:
    """A parameter that must be there, 1 to 128 characters. Raises ContractError."""
    value = text(request, name)
    if value is None:
        raise ContractError(f"{name} is required, 1 to 128 characters: ?{name}=…", name)
    return value


def integer(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number from `low` to `high`. Raises ContractError."""
    value = request.query_params.get(name)
    if value is None or value == "":
        return default
    # The length guard keeps int() from parsing thousands of digits.
    digits = value.removeprefix("-")
    number = int(value) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None
    if number is None or not low <= number <= high:
        raise ContractError(f"{name} is {value[:40]!r}; allowed is a whole number from {low} to {high}", name)
    return number


def page_size(request: Request, settings: Settings) -> int:
    """`page_size`, 1 to MAX_RECOMMENDATIONS; 20 when absent, or less where that is more than allowed."""
    most = settings.max_recommendations
    return integer(request, "page_size", min(20, most), 1, most)


def choice(request: Request, name: str, default: str, allowed: Collection[str]) -> str:
    """One of `allowed`. Raises ContractError."""
    value = request.query_params.get(name) or default
    if value not in allowed:
        raise ContractError(f"{name} is {value[:40]!r}; allowed: {', '.join(allowed)}", name)
    return value


def flag(request: Request, name: str) -> bool:
    """True or false; false when absent. Raises ContractError."""
    return choice(request, name, "false", ("true", "false", "1", "0")) in ("true", "1")


def post_id(request: Request) -> int:
    """The post id of the path. Raises ApiError 404 for what can't be one."""
    value = request.path_params["post_id"]
    if not (value.isascii() and value.isdigit() and len(value) <= 16):
        raise ApiError(404, f"There is no post {value[:40]!r}: a post id is a whole number from 1.", field="post_id")
    return int(value)


async def body(request: Request) -> bytes:
    """The whole body. Raises ApiError 413 above MAX_BODY_BYTES, without reading further."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise ApiError(413, f"The body is larger than {MAX_BODY_BYTES} bytes; send it in parts.")
        chunks.append(chunk)
    return b"".join(chunks)
