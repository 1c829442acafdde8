"""Import: files into Kafka, as they are; what breaks the contract is rejected with its line and the reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas import audit
from schemas.errors import ContractError
from schemas.events import Interaction
from schemas.settings import Settings
from schemas.topics import EVENTS_A_MESSAGE

from .import_files import TOPIC_OF, files_of, kind_of, read
from .replay import Arrays, sending


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
            arrays = Arrays(sender, EVENTS_A_MESSAGE)
            for place, message in read(file, of, columns):
                if isinstance(message, ContractError):
                    report.rejected.append((place, str(message)))
                    continue
                key, value = message
                if isinstance(value, Interaction):
                    await arrays.add(value)
                else:
                    await sender.send_bytes(TOPIC_OF[of], key, value)
                report.sent[of] = report.sent.get(of, 0) + 1
                tell(of, report.sent[of], len(report.rejected))
            await arrays.flush()
            await sender.settle()
    sent = ", ".join(f"{count} {of}" for of, count in report.sent.items()) or "nothing"
    await audit.note(settings, audit.operator(), "import", path.name, f"sent {sent}; rejected {len(report.rejected)}")
    return report
