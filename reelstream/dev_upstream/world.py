"""What the stand-in holds: users, posts and interaction rows, skewed as observed in the external content API.

Half of the users never do anything; of the others the median has 4 interactions, nine of ten below 33; admins make a
sixth of all. The top tenth of the posts holds half of the interactions. Of 15.6 rows, 7.8 are views, 5.7 ratings,
1.7 likes and 0.4 inspires.
"""

import random
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from .content import ADMINS, make_posts, make_users

Row = dict[str, Any]

PATHS = {
    "/posts/view": "posts", "/posts/like": "posts", "/posts/inspire": "posts", "/posts/rating": "posts",
    "/posts/summary/get": "posts", "/users/get_all": "users",
}  # fmt: skip
"""Path → the key of its list."""
TIMES = {
    "/posts/view": "viewed_at", "/posts/like": "liked_at", "/posts/inspire": "inspired_at", "/posts/rating": "rated_at",
}  # fmt: skip
"""Paths of interaction rows → the field that holds the time."""
_SHARES = {"/posts/view": 7764, "/posts/rating": 5677, "/posts/like": 1734, "/posts/inspire": 395}
_DECILES = (1, 10, 14, 16, 19, 21, 24, 29, 41, 65, 100)
_FIRST = datetime(2024, 1, 10, 7, 20, 55, tzinfo=UTC)
_ADMIN_SHARE = 0.22


class World:
    """Rows by path, each list ascending by id. A test changes the lists as upstream would: rows come, change, vanish.

    users, posts, interactions: how many of each; 1,982, 1,375 and 15,570 were seen.
    """

    def __init__(self, users: int = 1982, posts: int = 1375, interactions: int = 15_570, seed: int = 1) -> None:
        self._rng = rng = random.Random(seed)
        people = make_users(rng, users)
        self.rows: dict[str, list[Row]] = {path: [] for path in PATHS}
        self.rows["/users/get_all"] = people
        self.rows["/posts/summary/get"] = make_posts(rng, posts, people[0]["username"])
        self._fill(interactions)

    def add(self, path: str, user_id: int, post_id: int, **fields: Any) -> Row:
        """A new interaction row, on the last page of its path; it happened after all others."""
        rows = self.rows[path]
        number = rows[-1]["id"] + 1 if rows else 1
        at = _FIRST + timedelta(minutes=37 * number)
        row = {"id": number, "post_id": post_id, "user_id": user_id, TIMES[path]: at.strftime("%Y-%m-%d %H:%M:%S")}
        if path == "/posts/rating":
            row["rating_percent"] = _rating(self._rng)
        rows.append({**row, **fields})
        return rows[-1]

    def remove(self, path: str, row_id: int) -> Row:
        """A row vanishes, as that of a like does when it is taken back."""
        rows = self.rows[path]
        place = next(place for place, row in enumerate(rows) if row["id"] == row_id)
        return rows.pop(place)

    def _fill(self, count: int) -> None:
        rng, total = self._rng, sum(_SHARES.values())
        posts = [row["id"] for row in self.rows["/posts/summary/get"]]
        people = [row["id"] for row in self.rows["/users/get_all"]]
        rng.shuffle(posts)
        # Zipf's exponent .8 gives the top tenth about half; users by a Pareto law of shape .9.
        popularity = list(accumulate(1 / (rank + 1) ** 0.8 for rank in range(len(posts))))
        active = people[ADMINS : ADMINS + max(len(people) // 2, 1)]
        activity = list(accumulate(min(rng.paretovariate(0.9), 120.0) for _ in active))
        for path, share in _SHARES.items():
            wanted, met = round(count * share / total), set()
            for _ in range(20 * wanted):  # a small world has not so many pairs
                if len(self.rows[path]) >= wanted:
                    break
                chosen = people[:ADMINS] if rng.random() < _ADMIN_SHARE else rng.choices(active, cum_weights=activity)
                pair = rng.choice(chosen), rng.choices(posts, cum_weights=popularity)[0]
                if pair not in met or path == "/posts/inspire":  # inspires repeat
                    met.add(pair)
                    self.add(path, *pair)


def _rating(rng: random.Random) -> int:
    """1 to 100; nine of ten lie below 65."""
    low = rng.randrange(len(_DECILES) - 1)
    return rng.randint(_DECILES[low], _DECILES[low + 1])
