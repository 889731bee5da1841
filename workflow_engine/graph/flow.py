"""How a run moves from state to state, and what happens to its data on the way in and out of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from workflow_engine.expressions import Expression, Template
from workflow_engine.expressions.schemas import Schema

StateId: TypeAlias = str
"""An RFC 6901 pointer into the document: ``/do/0/reserve``."""

Path: TypeAlias = "tuple[str | int, ...]"
"""Where in state data DSL 0.8 puts a result; the empty path is the root."""


# --- where to go next ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GoTo:
    """Go on with another state of the same region.

    *ends*: the run is over but for what is done on the way out (the ``produceEvents`` of a 0.8 ``end``).
    """

    state: StateId
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Exit:
    """Complete the region. *breaks*: the region is the body of a loop, and the loop is left (decision A17)."""

    breaks: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """Complete the run, from however deep (decision A18)."""


Transition: TypeAlias = GoTo | Exit | End


# --- what happens to the data on the way in and out ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Validate:
    """Check something against a JSON Schema; a mismatch is a validation fault.

    *what* is ``input`` or ``output``, which are the data at this point, or ``context``. Not *fatal*: a mismatch is only
    told. *given*: not for a run that events have started (DSL 0.8, decision B39).
    """

    schema: Schema
    what: str
    fatal: bool = True
    given: bool = False


@dataclass(frozen=True, slots=True)
class Transform:
    """The data becomes what the template yields (DSL 1.0 ``input.from``, ``output.as``, ``with``)."""

    template: Template | Expression


@dataclass(frozen=True, slots=True)
class Select:
    """The data becomes what the expression yields, unless that is null or nothing (DSL 0.8 filters, B7).

    *wrap*: a result that is not an object is put under this name (decision B1).
    """

    expression: Expression
    wrap: str | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """The context becomes what the template yields; the data stays as it is (DSL 1.0 ``export.as``)."""

    template: Template | Expression


@dataclass(frozen=True, slots=True)
class Merge:
    """The data is merged into the state's raw input at *path*, deep, by the rule of DSL 0.8.

    *name* is the member that holds a result that is no object when *path* is the root (decision B2).
    """

    path: Path
    name: str = "response"


@dataclass(frozen=True, slots=True)
class Restore:
    """The result is dropped and the data is the state's raw input again (DSL 0.8 ``useResults: false``)."""


DataStep: TypeAlias = Validate | Transform | Select | Export | Merge | Restore
