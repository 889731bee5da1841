"""What a task sees around it: its siblings, the variables in scope, the document's reusable parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from workflow_engine.dsl.policies import SECRETS
from workflow_engine.graph.model import Exit, Transition
from workflow_engine.values import Json, JsonObject, pointer

RUN = frozenset({"workflow", "runtime"}) | SECRETS
"""Variables of the workflow's own ``input.from`` (dsl.md §1.4)."""
STATE = RUN | {"context", "task"}
"""Variables of a task's ``if`` and ``input.from``."""
TASK = STATE | {"input", "authorization"}
"""Variables of a task's definition and of its ``output.as``."""
EXPORT = TASK | {"output"}
"""Variables of ``export.as``."""
RESERVED = EXPORT | {"ENV", "CONST"}
"""Names that a loop or a catch may not bind (decision A12)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The surroundings of a list of tasks.

    *lexical*: variables bound around it. *siblings*: the tasks of the list, name to id. *loop*: the list is
    the body of a loop. *functions*: names of the functions being inlined, to find one that calls itself. *bare*:
    nothing extends the tasks, for they are an extension's own.
    """

    lexical: frozenset[str] = frozenset()
    siblings: Mapping[str, str] = field(default_factory=dict)
    loop: bool = False
    functions: tuple[str, ...] = ()
    bare: bool = False

    def bind(self, *names: str) -> Scope:
        return replace(self, lexical=self.lexical | set(names))

    def variables(self, base: frozenset[str]) -> frozenset[str]:
        return base | self.lexical if self.lexical else base


@dataclass(frozen=True, slots=True)
class Task:
    """One task where it stands: its *name*, its *body*, its *id* (the pointer), and its *scope*.

    *following* is where the run goes when nothing says otherwise: to the next task of the list, if there is one.
    """

    name: str
    body: JsonObject
    id: str
    scope: Scope
    following: Transition = Exit()

    def at(self, *parts: str | int) -> str:
        """The pointer of a part of the task."""
        return self.id + _suffix(*parts)

    def part(self, *keys: str) -> Json:
        """The value at *keys* in the body, or None where there is nothing."""
        value: Json = self.body
        for key in keys:
            if not isinstance(value, dict):
                return None
            value = value.get(key)
        return value

    def object(self, *keys: str) -> JsonObject:
        """Like `part`, as an object; empty where there is none."""
        value = self.part(*keys)
        return value if isinstance(value, dict) else {}

    @property
    def variables(self) -> frozenset[str]:
        """What an expression in the task's definition may use."""
        return self.scope.variables(TASK)


@lru_cache(maxsize=1024)
def _suffix(*parts: str | int) -> str:
    """`pointer`, remembered: the same few are asked for of every task."""
    return pointer(*parts)
