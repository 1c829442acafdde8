"""`make fuzz`, second half: bytes that atheris (libFuzzer) makes, guided by which of our lines they reach."""

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

try:
    import atheris
except ImportError:
    print("atheris: not run, as it has wheels for Linux on x86-64 and Python up to 3.13 only")
    sys.exit(0)

with atheris.instrument_imports(include=["schemas", "streams", "online_models", "api"]):
    from poison import GOOD, NASTY, PRODUCED_AT, each_field_spoilt
    from survival import survive

    from schemas.topics import INTERACTIONS, POSTS, USERS

TOPICS = (INTERACTIONS, POSTS, USERS)


def main() -> None:
    """Prints what ran. libFuzzer ends the process, with a status other than 0 and the input that broke something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=120_000, help="of all topics together")
    inputs = parser.parse_args().inputs
    folder = Path(tempfile.mkdtemp(prefix="reelstream-fuzz-"))
    dictionary = _write_seeds(folder)
    seen: Counter[str] = Counter()

    def run(data: bytes) -> None:
        topic, at = TOPICS[data[0] % 3] if data else INTERACTIONS, PRODUCED_AT[data[1] % 8] if len(data) > 1 else 1e9
        seen[topic] += 1
        survived, refused = survive(topic, data[2:], at)
        seen["survived"] += survived
        seen["refused"] += refused
        if sum(seen[name] for name in TOPICS) == inputs:
            counts = ", ".join(f"{name} {seen[name]}" for name in TOPICS)
            print(f"atheris: {inputs} inputs ({counts}), {seen['survived']} rows survived, {seen['refused']} refused")
            shutil.rmtree(folder)  # nothing comes back from libFuzzer, which ends the process itself

    atheris.Setup(
        [sys.argv[0], f"-runs={inputs}", "-reload=0", "-report_slow_units=60", "-max_len=8192",
         "-verbosity=0", f"-artifact_prefix={folder}/",
         f"-dict={dictionary}", str(folder / "corpus")],
        run,
    )  # fmt: skip
    atheris.Fuzz()


def _write_seeds(folder: Path) -> Path:
    """Sound messages of each topic, each also with a nasty value in every place; and a dictionary."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for place, topic in enumerate(TOPICS):
        for number, seed in enumerate(each_field_spoilt(topic)):
            (corpus / f"{topic}-{number}").write_bytes(bytes([place, number % len(PRODUCED_AT)]) + seed)
    words = [word for word in NASTY if len(word) < 60]
    words += [json.dumps(name).encode() for row in GOOD.values() for name in row]
    dictionary = folder / "words"
    dictionary.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words))
    return dictionary


if __name__ == "__main__":
    main()
