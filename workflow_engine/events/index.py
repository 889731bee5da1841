"""Which listeners may want an event, found by its type, its source and what else they look for in it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from workflow_engine.expressions import EvaluationError, Purse
from workflow_engine.filters.interest import Interest, Probe
from workflow_engine.filters.patience import QUICK
from workflow_engine.values import JsonObject

T = TypeVar("T")


@dataclass(slots=True)
class _Shelf(Generic[T]):
    """The listeners that want one type and source: *plain* ones, and those that a probe tells apart by its answer."""

    plain: dict[T, int] = field(default_factory=dict)
    probed: dict[Probe, dict[Hashable, dict[T, int]]] = field(default_factory=dict)

    def of(self, interest: Interest) -> dict[T, int]:
        """Where the listeners with *interest* are."""
        if interest.probe is None:
            return self.plain
        return self.probed.setdefault(interest.probe, {}).setdefault(interest.answer, {})

    def clear_up(self, interest: Interest) -> bool:
        """Drop what is empty; whether nothing is left."""
        if interest.probe is not None and not self.of(interest):
            answers = self.probed[interest.probe]
            del answers[interest.answer]
            if not answers:
                del self.probed[interest.probe]
        return not self.plain and not self.probed


class InterestIndex(Generic[T]):
    """Listeners by what they can accept (`filters.interest`).

    `candidates` has everyone who might accept an event, in the order of being added; it may have some who
    will not. Its cost does not depend on how many listeners want other types, or other answers to the same question:
    thousands of runs that wait for one type of event, each for its own order, are asked one question together.
    """

    def __init__(self) -> None:
        self._order = 0
        self._entries: dict[T, tuple[int, tuple[Interest, ...]]] = {}
        self._shelves: dict[tuple[str | None, str | None], _Shelf[T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, listener: T) -> bool:
        return listener in self._entries

    def add(self, listener: T, interests: Iterable[Interest]) -> None:
        """Add a listener that is not there."""
        self._order += 1
        self._entries[listener] = (self._order, tuple(interests))
        for interest in self._entries[listener][1]:
            shelf = self._shelves.setdefault((interest.type, interest.source), _Shelf())
            shelf.of(interest)[listener] = self._order

    def remove(self, listener: T) -> None:
        """Remove a listener; one that is not there is fine."""
        _, interests = self._entries.pop(listener, (0, ()))
        for interest in interests:
            shelf = self._shelves.get((interest.type, interest.source))
            if shelf is not None:
                shelf.of(interest).pop(listener, None)
                if shelf.clear_up(interest):
                    del self._shelves[interest.type, interest.source]

    def candidates(self, type: str, source: str, event: Callable[[], JsonObject]) -> list[T]:
        """Who might accept an event of this type and source; *event* gives all of it, if that is looked at."""
        found: dict[T, int] = {}
        answers: dict[Probe, Hashable] = {}
        for place in ((type, source), (type, None), (None, source), (None, None)):
            shelf = self._shelves.get(place)
            if shelf is None:
                continue
            found |= shelf.plain
            for probe, listeners in shelf.probed.items():
                if probe not in answers:
                    answers[probe] = _asked(probe, event())
                answer = answers[probe]
                if answer is _FAILED:  # each of them says so in the trace of the event
                    for some in listeners.values():
                        found |= some
                else:
                    found |= listeners.get(answer, {})
        return sorted(found, key=found.__getitem__) if len(found) > 1 else list(found)


_FAILED = object()


def _asked(probe: Probe, event: JsonObject) -> Hashable:
    try:
        return probe.look(event, Purse(QUICK))
    except EvaluationError:
        return _FAILED
