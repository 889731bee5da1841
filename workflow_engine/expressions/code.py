"""What filters are compiled to: closures, and what the compiler knows of each.

A closure takes an environment and the input. The environment is a tuple ``(machine, depth, *slots)``: the
compiler gives every variable and every filter parameter in scope a slot, so a lookup is an index, and a
binding makes a longer tuple and disturbs nobody who still holds the shorter one. Filters that always have
exactly one output are plain functions; only the others pay for generators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Protocol, TypeAlias

from workflow_engine.expressions.access import Path
from workflow_engine.expressions.errors import EvaluationError, LimitExceeded
from workflow_engine.expressions.limits import LEAST_FRAMES, LIMITS
from workflow_engine.expressions.rendering import excerpt
from workflow_engine.expressions.syntax import Call, Function, Node, called

Env: TypeAlias = tuple[Any, ...]
One: TypeAlias = Callable[[Env, Any], Any]
Many: TypeAlias = Callable[[Env, Any], Iterable[Any]]
Column: TypeAlias = Callable[[Env, list[Any]], list[Any]]
"""A filter of one output, for each of a list of inputs (see `columns`)."""
Trace: TypeAlias = Callable[[Env, "Path | None", Any], Iterable["tuple[Path | None, Any]"]]
"""A filter as a path expression: from a path and its value to the paths and values it leads to.

The path is None for a value that was made, not found; going on from there is an error.
"""

FIRST_SLOT = 2
"""Where the slots begin in an environment, after the machine and the depth."""

PART, BUILT, GROWN = 0, 1, 2
"""How large an output may be: a part of what the program was given; what the text of the program builds of
such parts, each once; anything. Only the last has to be weighed at the end."""


class Break(Exception):
    """``break $name`` on its way to the ``label`` whose activation is *token*."""

    def __init__(self, token: object) -> None:
        super().__init__()
        self.token = token


class Tail:
    """Stands for the outputs of a call in tail position, which the machine's `tail` describes."""


TAIL = Tail()


class Code:
    """A compiled filter.

    *one* is there if and only if each input has exactly one output; *many* always is. *optional* tells that
    there is at most one output. *keys* of a path like ``.a[0]`` are its constant keys, *base* what they are
    looked up in (None: the input). *items* gives all outputs as a list without work for each; so does *gathered*,
    but only where nothing else is done before all of them are there. *constant* is
    a 1-tuple of the output where that is known now. *condition* of ``select(…)`` is what it asks. *fixed* tells
    that it does not look at its input. *column* is there where many inputs are done faster at once.
    *weight* is steps of one run, *height* frames.
    """

    __slots__ = (
        "_trace", "base", "column", "condition", "constant", "fixed", "gathered", "grows", "height", "items", "keys",
        "make_trace", "many", "one", "optional", "weight",
    )  # fmt: skip

    def __init__(
        self,
        one: One | None = None,
        many: Many | None = None,
        *,
        parts: Iterable[Code] = (),
        grows: int = GROWN,
        optional: bool = False,
    ) -> None:
        self.one = one
        self.many: Many = many if many is not None else _as_many(one)
        self.optional = optional or one is not None
        self.grows = grows
        self.weight = 1
        self.height = 2
        self.keys: tuple[Any, ...] | None = None
        self.base: One | None = None
        self.items: Callable[[Env, Any], list[Any]] | None = None
        self.gathered: Callable[[Env, Any], list[Any]] | None = None
        self.constant: tuple[Any] | None = None
        self.condition: Code | None = None
        self.fixed = False
        self.column: Column | None = None
        self.make_trace: Callable[[], Trace] = lambda: unless_path(self)
        self._trace: Trace | None = None
        for part in parts:
            self.weight += part.weight
            self.height = max(self.height, part.height + 2)

    def trace(self) -> Trace:
        """This filter as a path expression, compiled when it is first wanted."""
        if self._trace is None:
            self._trace = self.make_trace()
        return self._trace


def _as_many(one: One | None) -> Many:
    assert one is not None

    def many(env: Env, value: Any) -> Iterable[Any]:
        return (one(env, value),)

    return many


def constant(value: Any) -> Code:
    """The code of a filter whose output is *value*, whatever its input."""
    outputs = (value,)
    code = Code(lambda env, _value: value, lambda env, _value: outputs, grows=PART)
    code.constant = outputs
    code.fixed = True
    return code


def truthy(value: Any) -> bool:
    """Neither null nor false."""
    return value is not None and value is not False


class Variant:
    """One compilation of a function, for one choice of which of its parameters have a single output."""

    __slots__ = ("busy", "code", "frames", "recursive", "scope", "single", "trace")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.busy = True
        self.recursive = False
        self.single = True  # what calls within it assume until it is compiled
        self.code: Code = constant(None)
        self.trace: Trace | None = None
        self.frames = LEAST_FRAMES


class Definition:
    """A function of the program in its scope, and what it was compiled to so far."""

    __slots__ = ("calls", "function", "scope", "variants")

    def __init__(self, function: Function, scope: Scope) -> None:
        self.function = function
        self.calls = called(function.body)
        self.scope = scope
        self.variants: dict[tuple[bool, ...], Variant] = {}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A filter parameter: its slot holds a pair of code and environment; *single* if it has one output."""

    slot: int
    single: bool


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean at a place of the program, and how long the environment is there."""

    variables: dict[str, tuple[int, int]]
    functions: dict[tuple[str, int], Definition | Parameter]
    labels: dict[str, int]
    size: int

    def with_variable(self, name: str, grows: int = GROWN) -> Scope:
        """This scope with `$name` in the next slot; *grows* as of `Code`."""
        variables = {**self.variables, name: (self.size, grows)}
        return replace(self, variables=variables, size=self.size + 1)

    def with_function(self, name: str, arity: int, target: Definition | Parameter) -> Scope:
        """This scope with a function."""
        return replace(self, functions={**self.functions, (name, arity): target})

    def with_label(self, name: str) -> Scope:
        return replace(self, labels={**self.labels, name: self.size}, size=self.size + 1)


class Builder(Protocol):
    """What the modules that compile one kind of node need of the compiler."""

    source: str

    def code(self, node: Node, scope: Scope, *, tail: bool = False) -> Code:
        """Compile *node*; *tail* if its outputs are the outputs of a function as they are."""

    def trace(self, node: Node, scope: Scope) -> Trace:
        """Compile *node* as a path expression."""

    def fail(self, message: str, node: Node) -> NoReturn:
        """Refuse the program because of *node*."""


Compile: TypeAlias = Callable[[Builder, Any, Scope, bool], Code]
CompileTrace: TypeAlias = Callable[[Builder, Any, Scope], Trace]


@dataclass(frozen=True, slots=True)
class Builtin:
    """A builtin function: how a call of it is compiled, and as a path expression if it can be one."""

    compile: Callable[[Builder, Call, Scope], Code]
    trace: Callable[[Builder, Call, Scope], Trace] | None = None


def arguments_of(builder: Builder, node: Call, scope: Scope) -> list[Code]:
    """The arguments of a call, compiled."""
    return [builder.code(argument, scope) for argument in node.arguments]


def not_a_path(value: Any, attempt: str = "") -> EvaluationError:
    """The error of a path expression that came to a *value* which was made, not found."""
    if attempt:
        return EvaluationError(f"Invalid path expression near attempt to {attempt} {excerpt(value)}")
    return EvaluationError(f"Invalid path expression with result {excerpt(value)}")


def step(path: Path | None, key: Any, value: Any) -> Path:
    """*path* with one more *key*; *value* is what was found at the path."""
    if path is None:
        raise not_a_path(value, f"access element {excerpt(key)} of")
    return (*path, key)


def unless_path(code: Code) -> Trace:
    """A filter that makes its outputs: fine as a path expression until somebody goes on from them.

    As in jq, an output that is its very input, or the same number, is still where the input was.
    """
    many = code.many

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        for output in many(env, value):
            same = output is value or (
                type(output) in {int, float} and type(output) is type(value) and output == value
            )
            yield path if same else None, output

    return trace


def too_many_calls() -> NoReturn:
    """Refuse to call functions any deeper."""
    raise LimitExceeded(f"functions call each other deeper than {LIMITS.calls} levels")
