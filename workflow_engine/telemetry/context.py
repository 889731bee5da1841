"""W3C Trace Context: what one service tells the next of the trace that both are part of."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

PARENT = "traceparent"
STATE = "tracestate"
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_STATE = re.compile(r"[\x20-\x7e]{1,512}")
_NONE = frozenset({"0" * 32, "0" * 16})
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span as others know it: hexadecimal ids, of 32 and 16 digits; *state* is for vendors, handed on as it is."""

    trace_id: str
    span_id: str
    sampled: bool = True
    state: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self | None:
        """What headers, or the attributes of an event, say; None where that is nothing, or nothing valid."""
        parent = given.get(PARENT)
        found = _PARENT.fullmatch(parent.strip()) if isinstance(parent, str) else None
        if found is None:
            return None
        version, trace_id, span_id, flags, more = found.groups()
        if version == "ff" or (version == "00" and more) or trace_id in _NONE or span_id in _NONE:
            return None
        state = given.get(STATE)
        known = isinstance(state, str) and _STATE.fullmatch(state) is not None
        return cls(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), str(state) if known else "")

    def headers(self) -> dict[str, str]:
        """What `of` reads."""
        parent = f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"
        return {PARENT: parent, STATE: self.state} if self.state else {PARENT: parent}


def new_trace_id() -> str:
    return secrets.token_hex(16)


def new_span_id() -> str:
    return secrets.token_hex(8)


def derived(digits: int, *parts: str) -> str:
    """An id of so many hexadecimal *digits* that is always the same for the same *parts*."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:digits]
