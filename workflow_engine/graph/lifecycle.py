"""Which lifecycle events of the specification a run tells, as words that operators and authors write."""

from __future__ import annotations

from dataclasses import dataclass

CHOICES = "none, workflow or task, the latter two also with `,status`"


@dataclass(frozen=True, slots=True)
class Told:
    """*workflow*: events of the run; *tasks*: also those of its tasks; *statuses*: also ``status-changed``."""

    workflow: bool = False
    tasks: bool = False
    statuses: bool = False

    @classmethod
    def parse(cls, text: str) -> Told:
        """``none``, ``workflow`` or ``task``, the latter two also with ``,status``; `ValueError` for anything else."""
        level, *more = (word.strip() for word in text.split(","))
        if level == "none" and not more:
            return cls()
        if level not in {"workflow", "task"} or more not in ([], ["status"]):
            raise ValueError(f"{text!r} is none of {CHOICES}")
        return cls(True, level == "task", bool(more))

    def __str__(self) -> str:
        if not self.workflow:
            return "none"
        return ("task" if self.tasks else "workflow") + (",status" if self.statuses else "")
