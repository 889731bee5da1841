"""Whether a run could go on with another version of its workflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workflow_engine.values import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a run could go on with another version.

    *answer*: ``same``, it would have done the same so far, or is of that version; ``could move``; ``cannot``, for
    *reasons* (``state`` and ``why``); once it was told to: ``moved``, or ``moving`` while it has to finish something.
    *remarks* are what a person should know before.
    """

    run: str
    version: str | None
    answer: str
    at: Sequence[str] = ()
    reasons: Sequence[JsonObject] = ()
    remarks: Sequence[str] = ()

    def to_json(self) -> JsonObject:
        at: list[Json] = [*self.at]
        reasons: list[Json] = [*self.reasons]
        remarks: list[Json] = [*self.remarks]
        return {
            "run": self.run,
            "version": self.version,
            "answer": self.answer,
            "at": at,
            "reasons": reasons,
            "remarks": remarks,
        }


def cannot(run: str, why: str, version: str | None = None) -> Verdict:
    """The verdict on a run that cannot, for the reason *why* that is of no single state."""
    return Verdict(run, version, "cannot", reasons=[{"state": "", "why": why}])
