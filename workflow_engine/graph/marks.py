"""What became of states in a run, for a picture of it: `render.mermaid` and `render.dot` take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Phase: TypeAlias = Literal["done", "stands", "faulted", "left", "skipped"]
UNSEEN = "unseen"
"""The look of a state that the run has not come to."""


@dataclass(frozen=True, slots=True)
class Mark:
    """*phase*, when the state was last begun: it was done; the run stands at it, or in it, now or at its end; it met
    a fault; it was interrupted; it was left out.

    *note* is one line more in its figure, such as how often it was done.
    """

    phase: Phase
    note: str = ""


MARKED = {
    "done": ("#dcfce7", "#15803d", "#111111", ""),
    "stands": ("#fef08a", "#a16207", "#111111", ",stroke-width:3px"),
    "faulted": ("#fee2e2", "#b91c1c", "#111111", ",stroke-width:2px"),
    "left": ("#ffedd5", "#c2410c", "#111111", ""),
    "skipped": ("#e5e7eb", "#6b7280", "#111111", ""),
    UNSEEN: ("#ffffff", "#9ca3af", "#6b7280", ",stroke-dasharray:4 4"),
}
"""By phase: fill, border, ink, and what else Mermaid shall do."""
