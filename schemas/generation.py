"""The generation: which building of the state in Redis this is, kept under one key that vanishes with the state.

Every mark and every item signal carries the id of its generation. When Redis was emptied the key is gone: a new
generation is built from the record, and what belongs to an older one no longer counts.
"""

import msgspec

LOCK_SECONDS = 15
"""A rebuild that did not renew its lock for this long is taken for dead, and another may begin."""


class Generation(msgspec.Struct, kw_only=True):
    """One building of the state.

    ready: every mark says what is applied; until then nothing but the rebuild writes.
    reason: why it was built. started_at, ended_at: seconds since 1970; ended_at is 0 until it is ready.
    done, total: recorded events applied, of how many.
    complete: every user of the record has a state; False when idle ones were left to the record.
    """

    id: str
    reason: str
    started_at: float
    ended_at: float = 0.0
    done: int = 0
    total: int = 0
    complete: bool = True

    @property
    def ready(self) -> bool:
        return self.ended_at > 0


encode = msgspec.json.Encoder().encode
_generation = msgspec.json.Decoder(Generation)


def decode(payload: bytes | None) -> Generation | None:
    """None: there is no state at all."""
    return _generation.decode(payload) if payload else None
