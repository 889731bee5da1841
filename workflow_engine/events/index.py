"""Which listeners may want an event, found by its type and source."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

Interest = tuple[str | None, str | None]


class InterestIndex(Generic[T]):
    """Listeners by the (type, source) pairs that they can accept, where ``None`` is any.

    `candidates` has everyone who might accept an event, in the order of being added; it may have some who
    will not. Its cost does not depend on how many listeners want other types.
    """

    def __init__(self) -> None:
        self._order = 0
        self._entries: dict[T, tuple[int, tuple[Interest, ...]]] = {}
        self._by_interest: dict[Interest, dict[T, int]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, listener: T) -> bool:
        return listener in self._entries

    def add(self, listener: T, interests: Iterable[Interest]) -> None:
        """Add a listener that is not there."""
        self._order += 1
        self._entries[listener] = (self._order, tuple(interests))
        for interest in self._entries[listener][1]:
            self._by_interest.setdefault(interest, {})[listener] = self._order

    def remove(self, listener: T) -> None:
        """Remove a listener; one that is not there is fine."""
        _, interests = self._entries.pop(listener, (0, ()))
        for interest in interests:
            listeners = self._by_interest[interest]
            listeners.pop(listener, None)
            if not listeners:
                del self._by_interest[interest]

    def candidates(self, type: str, source: str) -> list[T]:
        """Who might accept an event of this type and source."""
        found: dict[T, int] = {}
        for interest in ((type, source), (type, None), (None, source), (None, None)):
            found |= self._by_interest.get(interest, {})
        return sorted(found, key=found.__getitem__) if len(found) > 1 else list(found)
