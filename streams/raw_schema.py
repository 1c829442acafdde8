"""Messages as they come: the agents decode them, Faust only wraps them.

A decoder inside Faust would crash the agent on a bad message for seconds, and its codecs for raw bytes take 4 µs a
message to find themselves in registries.
"""

from collections.abc import Callable
from typing import Any

import faust


class RawSchema(faust.Schema):
    """An event of a message has its bytes, key and value, either of which may be None."""

    def compile(self, app: faust.App, **_: Any) -> Callable[..., Any]:
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return create_event(message.key, message.value, message.headers, message)

        return decode
