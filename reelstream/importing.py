"""Import: files into Kafka, as they are; what breaks the contract is rejected with its line and the reason."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas import topics
from schemas.errors import ContractError
from schemas.events import Interaction
from schemas.settings import Settings
from schemas.topics import owner

from .import_files import TOPIC_OF, files_of, kind_of, read
from .replay import EVENTS_A_MESSAGE, Sender, sending


@dataclass
class Report:
    """sent: rows of each kind. rejected: FILE:LINE and reason of those that break the contract."""

    sent: dict[str, int] = field(default_factory=dict)
    rejected: list[tuple[str, str]] = field(default_factory=list)


async def import_files(
    path: Path, settings: Settings, kind: str | None, columns: Mapping[str, str], tell: Callable[[str, int, int], None]
) -> Report:
    """Sends users first, then posts, then interactions. `tell` hears of a kind, and how many were sent and rejected.

    Importing a file again changes nothing: rows replace themselves, and events have the same ids. Raises
    ReelstreamError, ServiceUnavailable.
    """
    report = Report()
    files = [(file, kind_of(file, kind)) for file in files_of(path)]
    async with sending(settings) as sender:
        for file, of in files:
            waiting: defaultdict[int, list[Interaction]] = defaultdict(list)
            for place, message in read(file, of, columns):
                if isinstance(message, ContractError):
                    report.rejected.append((place, str(message)))
                    continue
                key, value = message
                if isinstance(value, Interaction):
                    await _hold(sender, waiting, value)
                else:
                    await sender.send_bytes(TOPIC_OF[of], key, value)
                report.sent[of] = report.sent.get(of, 0) + 1
                tell(of, report.sent[of], len(report.rejected))
            for part in waiting.values():
                await sender.send(topics.INTERACTIONS, part[0].username, part)
            await sender.settle()
    return report


async def _hold(sender: Sender, waiting: defaultdict[int, list[Interaction]], event: Interaction) -> None:
    """Events go in arrays for each partition, in order within it."""
    partition = owner(event.username, sender.partitions)
    part = waiting[partition]
    part.append(event)
    if len(part) >= EVENTS_A_MESSAGE:
        del waiting[partition]
        await sender.send(topics.INTERACTIONS, part[0].username, part)
