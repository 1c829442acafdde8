"""Redis keys. The hash tag is the partition that owns the key: one transaction = one slot = one writer.

`{iN}` belongs to partition N of `interactions`, `{sN}` to partition N of `item-signals`.
Every key is bounded: by a TTL, by a cap on its length, or by the catalogue.
"""

PREFIX = "rs:"
VISIT_TTL_SECONDS = 30 * 60
"""After the last page: how long a cursor is good, and how long a session keeps what it showed."""
UNKNOWN_ITEM_TTL_SECONDS = 30 * 86_400
"""State of a post whose row has not come (yet). A known post's state lives as long as the post."""


def interactions_mark(partition: int) -> str:
    """What stage 1 has applied of a partition (schemas.marks)."""
    return f"{PREFIX}{{i{partition}}}:mark"


def posts_mark(partition: int) -> str:
    """What is applied of a partition of `posts` (schemas.marks)."""
    return f"{PREFIX}{{i{partition}}}:posts-mark"


def users_mark(partition: int) -> str:
    """What is applied of a partition of `users` (schemas.marks)."""
    return f"{PREFIX}{{i{partition}}}:users-mark"


def incomplete_users(partition: int) -> str:
    """Set of users who came back while the record was away, so that their state lacks what lies before."""
    return f"{PREFIX}{{i{partition}}}:incomplete"


def user_state(partition: int, username: str) -> str:
    """History, seen set, exclusions (schemas.user_state). TTL: the setting USER_IDLE_DAYS; of a guest a day."""
    return f"{PREFIX}{{i{partition}}}:user:{username}"


def user_profile(partition: int, username: str) -> str:
    """The user row as JSON (schemas.users). TTL: the setting USER_IDLE_DAYS, renewed by the user's next row."""
    return f"{PREFIX}{{i{partition}}}:profile:{username}"


def event_ids(partition: int, block: int) -> str:
    """One block of seen event ids: 8-byte hashes, appended. The newest blocks are kept (online_models.event_ids)."""
    return f"{PREFIX}{{i{partition}}}:ids:{block}"


def items_mark(partition: int) -> str:
    """What stage 2 has applied of a partition and of each source (schemas.marks)."""
    return f"{PREFIX}{{s{partition}}}:mark"


def item_state(partition: int, post_id: int) -> str:
    """Counts and decayed counters of a post (schemas.item_state)."""
    return f"{PREFIX}{{s{partition}}}:item:{post_id}"


def neighbours(partition: int, post_id: int) -> str:
    """Co-visitation neighbours of a post (schemas.item_state)."""
    return f"{PREFIX}{{s{partition}}}:neighbours:{post_id}"


def post_row(partition: int, post_id: int) -> str:
    """The post as JSON (schemas.posts.Post)."""
    return f"{PREFIX}{{s{partition}}}:post:{post_id}"


def post_ids(partition: int) -> str:
    """Set of the ids of all known posts of the partition."""
    return f"{PREFIX}{{s{partition}}}:posts"


def item_changes(partition: int) -> str:
    """Stream of what changed: fields `rows`, `states`, `neighbours`, each packed little-endian int64 post ids."""
    return f"{PREFIX}{{s{partition}}}:changes"


def trending(partition: int, window: str, category: str) -> str:
    """Sorted set post id → log2(decayed sum) + t/half-life, capped (online_models.decayed_counters)."""
    return f"{PREFIX}{{s{partition}}}:trending:{window}:{category}"


def categories(partition: int) -> str:
    """Set of the category names seen in the partition, capped."""
    return f"{PREFIX}{{s{partition}}}:categories"


def visits(reader: str) -> str:
    """List of the last feeds of a reader that can be paged through (schemas.visits); capped, TTL VISIT_TTL_SECONDS."""
    return f"{PREFIX}visits:{reader}"


def served(reader: str, session_id: str) -> str:
    """List of the pages served in a session (schemas.visits); capped, TTL VISIT_TTL_SECONDS."""
    return f"{PREFIX}served:{reader}:{session_id}"


TRENDING_PAST = f"{PREFIX}trending-past"
"""List of what was trending in each of the last minutes (api.trending_past); capped, TTL two hours."""

GENERATION = f"{PREFIX}generation"
"""Which building of the state this is, as JSON (schemas.generation). Gone with the state: a rebuild begins."""

REBUILD_LOCK = f"{PREFIX}rebuild"
"""Held by whoever rebuilds the state; TTL schemas.generation.LOCK_SECONDS."""

WORKERS = f"{PREFIX}workers"
"""Sorted set worker id → time of its last heartbeat; stale members are dropped by every heartbeat."""


def worker(worker_id: str) -> str:
    """A worker's heartbeat as JSON (schemas.heartbeat). TTL a few beats."""
    return f"{PREFIX}worker:{worker_id}"


def model_current(model: str) -> str:
    """The version that serves, as JSON (schemas.models.ModelVersion)."""
    return f"{PREFIX}{{m:{model}}}:current"


def model_chunk(model: str, version: str, chunk: int) -> str:
    """A version's item vectors, then its graph, in chunks (schemas.models). When replaced it expires an hour later."""
    return f"{PREFIX}{{m:{model}}}:v:{version}:{chunk}"


LEARNER_MARK = f"{PREFIX}{{learner}}:mark"
"""Who publishes what the global models learn, and which version is there (schemas.factors.LearnerMark)."""

LEARNER_VECTORS = f"{PREFIX}{{learner}}:vectors"
"""Hash post id → what is learnt of it (schemas.learnt.post_type). Those that the models dropped leave it."""

LEARNER_CHANGES = f"{PREFIX}{{learner}}:changes"
"""Stream of which of these changed: field `ids`, packed little-endian int64; `ease` when LEARNER_EASE did; capped."""

LEARNER_WEIGHTS = f"{PREFIX}{{learner}}:weights"
"""The blend's weights, and what features need to know of all posts together (schemas.learnt.Weights)."""

LEARNER_EASE = f"{PREFIX}{{learner}}:ease"
"""Item-item weights of at most 1,024 posts (schemas.ease)."""

LEARNER_SNAPSHOT = f"{PREFIX}{{learner}}:snapshot"
"""Which snapshot to resume from, as JSON (schemas.factors.Snapshot)."""


LEARNT_USER_TTL_SECONDS = 30 * 86_400


def learnt_user(user: int) -> str:
    """What is learnt of the user with that hash (schemas.learnt.encode_user). It goes when the model drops the user,
    and LEARNT_USER_TTL_SECONDS after it was last told."""
    return f"{PREFIX}{{learner}}:own:{user & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def learner_snapshot(version: int, chunk: int) -> str:
    """A chunk of a snapshot. It expires until the pointer names it, and goes when the pointer names another."""
    return f"{PREFIX}{{learner}}:v:{version}:{chunk}"
