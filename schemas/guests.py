"""Guests: readers without a name, whom a session stands for.

What a guest does is an event of the user `guest:SESSION_ID`. So all that holds for a user holds for a guest, but that
the state is gone GUEST_TTL_SECONDS after the last event, that the record is not asked for it, and that no model keeps
a vector of it.
"""

PREFIX = "guest:"
GUEST_TTL_SECONDS = 86_400
"""Session models gain nothing from what lies longer ago, and apps begin a new session by then. 450 bytes a guest."""
MOST_SESSION_CHARACTERS = 128 - len(PREFIX)
"""Of the session of a guest who acts: with the prefix it is a username."""


def guest_name(session_id: str) -> str:
    """The username of the guest in a session."""
    return PREFIX + session_id


def is_guest(username: str) -> bool:
    return username.startswith(PREFIX)


def state_ttl(username: str, ttl: int) -> int:
    """Seconds until a state without events leaves Redis, where that of a user stays for `ttl`."""
    return min(ttl, GUEST_TTL_SECONDS) if is_guest(username) else ttl
