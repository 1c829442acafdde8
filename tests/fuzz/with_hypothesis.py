"""`make fuzz`, first half: poison from the strategies, many times what the test suite takes."""

import argparse
from collections import Counter

from hypothesis import HealthCheck, Phase, given, settings
from poison import produced_at, values
from survival import survive

from schemas.topics import INTERACTIONS, POSTS, USERS


def main() -> None:
    """Prints what ran; ends with the smallest message that something trips over, if there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=40_000, help="of each topic")
    inputs = parser.parse_args().inputs
    for topic in (INTERACTIONS, POSTS, USERS):
        _run(topic, inputs)


def _run(topic: str, inputs: int) -> None:
    seen: Counter[str] = Counter()

    @settings(
        max_examples=inputs,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(values(topic), produced_at)
    def look(value: bytes, at: float) -> None:
        seen["inputs"] += 1
        survived, refused = survive(topic, value, at)
        seen["survived"] += survived
        seen["refused"] += refused

    look()
    print(f"hypothesis: {topic}: {seen['inputs']} inputs, {seen['survived']} rows survived, {seen['refused']} refused")


if __name__ == "__main__":
    main()
