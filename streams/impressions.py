"""The impressions agent: served pages, checked, and told to the learner.

It keeps nothing: a page that is told twice is one page to the learner, which knows those it has. It runs beside
stage 1, which tells what follows from a page: so the learner, after a stop, reads the page before the click.
"""

from schemas import impressions, learning, topics
from schemas.errors import ContractError
from schemas.learning import LearningMessage, Shown

from .producing import Outgoing, dead_letter, send_in_order
from .record import Record
from .services import LearnServices

MOST_BYTES = 500_000
"""Of pages in a message, as they came: what is told of them is less. Brokers take 1 MB by default."""


class ImpressionsAgent:
    """The pages of a batch go together: to the learner a message costs more than a page."""

    def __init__(self, services: LearnServices) -> None:
        self._services = services

    def forget(self, partition: int) -> None:
        """There is nothing to forget."""

    async def apply(self, partition: int, records: list[Record]) -> None:
        outgoing: list[Outgoing] = []
        pages: list[Shown] = []
        size = 0
        for record in records:
            value = record.value or b""
            try:
                page = impressions.decode(value, record.at)
            except ContractError as error:
                self._services.progress.counters["dead_letters"] += 1
                outgoing.append(dead_letter(record, 0, error))
                continue
            if pages and size + len(value) > MOST_BYTES:
                outgoing.append(_told(pages))
                pages, size = [], 0
            if page.posts:
                pages.append(Shown.of(page))
                size += len(value)
        if pages:
            outgoing.append(_told(pages))
        await send_in_order(self._services.producer, outgoing)
        self._services.progress.done(records)


def _told(pages: list[Shown]) -> Outgoing:
    return Outgoing(topics.LEARNING, 0, None, learning.encode(LearningMessage(None, [], pages)))
