"""Generated users and posts in the shapes of the external content API. Nobody in them exists."""

import random
from datetime import UTC, datetime
from typing import Any

CATEGORIES = {
    2: ("Vible", 708), 25: ("Super Feed", 714), 8: ("Bloom Scroll", 560), 4: ("E/ACC", 210), 6: ("InstaRama", 169),
    13: ("Flic", 127), 20: ("OvaDrive", 94), 22: ("SolTok", 56), 21: ("Pumptok", 19), 3: ("The Igloo", 14),
    5: ("Gratitube", 3),
}  # fmt: skip
"""Id → name, and how many posts it has for each other's number."""
_VOCABULARY = (
    "morning forest lamp ocean guitar city river paper garden mountain kitchen robot bicycle window dance winter "
    "coffee letter market island rocket painting shadow lesson drum harvest"
)
_EMOTIONS = (
    "determination confidence enthusiasm contemplation urgency hope warmth curiosity passion serenity joy excitement "
    "calmness wonder"
)
_WORDS, _FEELINGS = _VOCABULARY.split(), _EMOTIONS.split()
_FIRST = datetime(2024, 1, 10, tzinfo=UTC).timestamp()
_DAY = 86_400
ADMINS = 3


def make_users(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """The first ADMINS have the role A. Newer users have keys that older ones lack."""
    rows = []
    for user_id in range(1, count + 1):
        name = f"{rng.choice(_WORDS)}{rng.choice(_WORDS)}{user_id}"
        row: dict[str, Any] = {
            "id": user_id, "first_name": rng.choice(_WORDS).title() if rng.random() < 0.5 else "", "last_name": "",
            "username": name, "email": f"{name}@example.invalid", "role": "A" if user_id <= ADMINS else "U",
            "user_type": None, "profile_url": "", "bio": f"Write to {name}@example.invalid" if user_id % 9 == 0 else "",
            "website_url": "", "instagram-url": None, "tictok_url": None, "has_wallet": False,
            "last_login": _naive(_FIRST + rng.random() * 400 * _DAY), "post_count": 0, "following_count": 0,
            "follower_count": 0, "share_count": 0, "gender": "", "latitude": "", "longitude": "",
        }  # fmt: skip
        if user_id % 2:
            row |= {"isVerified": False, "is_verified": False, "is_online": False}
        rows.append(row)
    return rows


def make_posts(rng: random.Random, count: int, author: str) -> list[dict[str, Any]]:
    """Posts with ids that have gaps. One author has nine of ten; one in 40 is locked or not public."""
    weights = [share for _, share in CATEGORIES.values()]
    rows, post_id = [], 500
    for _ in range(count):
        post_id += rng.choice((1, 1, 1, 2, 5))
        number = rng.choices(list(CATEGORIES), weights)[0]
        words = rng.sample(_WORDS, 3)
        username = author if rng.random() < 0.9 else f"guest{rng.randrange(20)}"
        rows.append(
            {
                "id": post_id,
                "category": {
                    "id": number, "name": CATEGORIES[number][0], "count": CATEGORIES[number][1], "description": "",
                    "image_url": "",
                },
                "topic": _topic(post_id), "slug": f"{rng.getrandbits(160):040x}", "title": _title(rng, words),
                "identifier": f"{rng.getrandbits(40):x}", "comment_count": 0, "upvote_count": rng.randrange(20),
                "view_count": rng.randrange(400), "exit_count": rng.randrange(100), "rating_count": 0,
                "average_rating": rng.randrange(101), "share_count": 0, "bookmark_count": 0,
                "video_link": f"https://cdn.example.invalid/{post_id}.mp4",
                "thumbnail_url": f"https://cdn.example.invalid/{post_id}.jpg",
                "gif_thumbnail_url": f"https://cdn.example.invalid/{post_id}.gif", "contract_address": "",
                "chain_id": "", "chart_url": "",
                "baseToken": {"address": "", "name": "", "symbol": "", "image_url": ""},
                "is_locked": post_id % 97 == 0, "is_available_in_public_feed": post_id % 53 != 0,
                "created_at": int((_FIRST + rng.random() * 400 * _DAY) * 1000), **_author(rng, username),
                "upvoted": False, "bookmarked": False, "following": False,
                "post_summary": _summary(rng, post_id, words), "tags": ["socialmedia"] if post_id % 50 == 0 else [],
                "source_matrix": [],
            }
        )  # fmt: skip
    return rows


def _author(rng: random.Random, username: str) -> dict[str, Any]:
    """Flat on most posts, under `owner` on some."""
    fields = {
        "first_name": username.title(), "last_name": "", "username": username, "user_type": "hirer",
        "has_evm_wallet": False, "has_solana_wallet": False, "picture_url": "",
    }  # fmt: skip
    return {"owner": fields} if rng.random() < 0.1 else fields


def _topic(post_id: int) -> dict[str, Any] | list[Any]:
    if post_id % 60:
        return []
    return {
        "id": 4, "name": "Animation & Motion Graphics", "description": "", "image_url": "", "slug": "0a706c5a9f850a97",
        "is_public": True, "project_code": "flic", "posts_count": 15, "language": None,
        "created_at": "2025-02-15 17:55:01", "owner": {"username": "guest1", "profile_url": "", "user_type": "hirer"},
    }  # fmt: skip


def _title(rng: random.Random, words: list[str]) -> str:
    kind = rng.random()
    if kind < 0.3:
        return ""
    if kind < 0.7:
        return " ".join(words[:2])
    return f"A day with {' and '.join(words)} that nobody expected. #{words[0]} #{words[1].title()}"


def _summary(rng: random.Random, post_id: int, words: list[str]) -> Any:
    """No fixed schema: empty, or sections that are objects, lists or null."""
    if post_id % 4 == 0:
        return []
    feelings = rng.sample(_FEELINGS, 3)
    summary: dict[str, Any] = {
        "keywords": [{"keyword": word, "weight": 10 - place} for place, word in enumerate(words)],
        "description": f"Somebody shows {words[0]} and {words[1]}.",
        "emotions": [{"conveyed": feelings}, {"overall_mood": feelings[0]}, feelings, None][post_id % 4],
        "actions": [None, [], {"main": words[0]}][post_id % 3],
        "estimated_duration": "about half a minute", "genre": {"primary": "vlog"}, "targeted_audiance": None,
        "psycological_view_of_video": [],
    }  # fmt: skip
    return summary


def _naive(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
