"""What this process has stored last, for its own readers that follow a channel: they need not ask the database."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from workflow_engine.events.spi import StoredRecord

MAX_BYTES = 4 << 20
"""How much of a partition is kept at most; beyond, its readers read the database."""
FOLLOWS = 2.0
"""For how many seconds after its last look a reader counts as one that will look again."""


class Tail:
    """Records by channel and partition, each a run of offsets without a gap. Where another process stored something
    between, only what came after is kept. A log never changes, so what is here is what is there, until it is trimmed.
    """

    def __init__(self) -> None:
        self._runs: dict[tuple[int, int], deque[StoredRecord]] = {}
        self._bytes: Counter[tuple[int, int]] = Counter()
        self._readers: Counter[int] = Counter()
        self._last: dict[int, float] = {}
        self._heard: Counter[int] = Counter()
        self._seen: dict[tuple[int, int], tuple[int, int]] = {}
        """How often there was news of a channel, and where a partition ended as of which: nothing but what is here
        comes after that, as far as is known.
        """

    @contextmanager
    def following(self, channel: int) -> Iterator[None]:
        """While a reader waits for news of the channel."""
        self._readers[channel] += 1
        try:
            yield
        finally:
            self._readers[channel] -= 1
            self._last[channel] = time.monotonic()

    def is_followed(self, channel: int) -> bool:
        """Whether somebody here reads what comes."""
        return self._readers[channel] > 0 or time.monotonic() - self._last.get(channel, -FOLLOWS) < FOLLOWS

    def put(self, channel: int, records: Sequence[StoredRecord]) -> None:
        """Keep what was stored, which is in order in each partition."""
        for stored in records:
            at = channel, stored.position.partition
            run = self._runs.setdefault(at, deque())
            if (run and run[-1].position.offset + 1 != stored.position.offset) or self._bytes[at] > MAX_BYTES:
                run.clear()
                self._bytes[at] = 0
            run.append(stored)
            self._bytes[at] += len(stored.record.body)

    def take(self, channel: int, partition: int, offset: int, limit: int) -> list[StoredRecord]:
        """Up to *limit* records from *offset* on, if the first of them is here; what is before is let go."""
        at = channel, partition
        run = self._runs.get(at)
        if run is None:
            return []
        while run and run[0].position.offset < offset:
            self._bytes[at] -= len(run.popleft().record.body)
        if not run or run[0].position.offset != offset:
            return []
        taken = list(islice(run, limit))
        if at in self._seen and self._seen[at][0] == offset:
            self._seen[at] = taken[-1].position.offset + 1, self._seen[at][1]
        return taken

    def heard(self, channel: int) -> None:
        """Something may be there that is not here."""
        self._heard[channel] += 1

    def news(self, channel: int) -> int:
        """How often there was any."""
        return self._heard[channel]

    def ends(self, channel: int, partition: int, offset: int, news: int) -> None:
        """Nothing was found from *offset* on, after so much *news*."""
        self._seen[channel, partition] = offset, news

    def is_end(self, channel: int, partition: int, offset: int) -> bool:
        """Whether there is nothing from *offset* on, unless it is not known yet. Something is where what is here begins
        later: another process stored it, and died before it told anyone, or it was too much to be kept.
        """
        run = self._runs.get((channel, partition))
        if run and run[0].position.offset > offset:
            return False
        return self._seen.get((channel, partition)) == (offset, self._heard[channel])

    def forget(self, channel: int | None = None) -> None:
        """Keep nothing of *channel*, or of any."""
        for at in [at for at in self._runs if channel is None or at[0] == channel]:
            del self._runs[at], self._bytes[at]
        for at in [at for at in self._seen if channel is None or at[0] == channel]:
            del self._seen[at]
