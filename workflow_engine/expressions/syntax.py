"""The syntax tree of jq: what the parser makes and the compiler reads. Every node knows its place.

No node is ever changed. They are not frozen all the same, for that triples what it costs to make one, and a document
has thousands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from workflow_engine.values import Json


@dataclass(slots=True, eq=False)
class Node:
    """A filter. *position* is the 0-based offset of its first (or, for an operator, its own) character."""

    position: int


@dataclass(slots=True, eq=False)
class Identity(Node):
    """``.``."""


@dataclass(slots=True, eq=False)
class Literal(Node):
    """A number, a string without interpolation, ``true``, ``false``, ``null``, ``[]`` or ``{}``."""

    value: Json


@dataclass(slots=True, eq=False)
class Text(Node):
    """A string with interpolated filters; *format* is the name after ``@``, which renders each of them."""

    format: str
    parts: tuple[str | Node, ...]


@dataclass(slots=True, eq=False)
class Format(Node):
    """``@base64`` alone."""

    name: str


@dataclass(slots=True, eq=False)
class Variable(Node):
    """``$name``."""

    name: str


@dataclass(slots=True, eq=False)
class Index(Node):
    """``target[key]``, and ``target.key`` with a literal key; *key* sees the input of the whole term.

    *optional* tells of a ``?`` behind it, which forgives this step but not the target; so in `Slice` and `Iterate`.
    """

    target: Node
    key: Node
    optional: bool = False


@dataclass(slots=True, eq=False)
class Slice(Node):
    """``target[start:stop]``."""

    target: Node
    start: Node | None
    stop: Node | None
    optional: bool = False


@dataclass(slots=True, eq=False)
class Iterate(Node):
    """``target[]``."""

    target: Node
    optional: bool = False


@dataclass(slots=True, eq=False)
class Array(Node):
    """``[ body ]``."""

    body: Node


@dataclass(slots=True, eq=False)
class Object(Node):
    """``{ key: value, … }``."""

    entries: tuple[tuple[Node, Node], ...]


@dataclass(slots=True, eq=False)
class Negate(Node):
    """``-operand``."""

    operand: Node


@dataclass(slots=True, eq=False)
class Pipe(Node):
    """``left | right``."""

    left: Node
    right: Node


@dataclass(slots=True, eq=False)
class Comma(Node):
    """``left, right``."""

    left: Node
    right: Node


@dataclass(slots=True, eq=False)
class Binary(Node):
    """Arithmetic (``+ - * / %``) and comparison (``== != < <= > >=``)."""

    operator: str
    left: Node
    right: Node


@dataclass(slots=True, eq=False)
class Logic(Node):
    """``and`` and ``or``, which look at the right side only where the left does not decide."""

    operator: str
    left: Node
    right: Node


@dataclass(slots=True, eq=False)
class Alternative(Node):
    """``left // right``."""

    left: Node
    right: Node


@dataclass(slots=True, eq=False)
class Assign(Node):
    """``paths = value``, ``|=`` and the arithmetic updates; *operator* is the token."""

    operator: str
    paths: Node
    value: Node


@dataclass(slots=True, eq=False)
class If(Node):
    """``if … then … else … end``; *otherwise* is None for ``.``."""

    condition: Node
    then: Node
    otherwise: Node | None


@dataclass(slots=True, eq=False)
class Try(Node):
    """``try body catch handler`` and ``body?``; *handler* is None for ``empty``."""

    body: Node
    handler: Node | None


@dataclass(slots=True, eq=False)
class Reduce(Node):
    """``reduce source as $x (start; update)``."""

    source: Node
    patterns: tuple[Pattern, ...]
    start: Node
    update: Node


@dataclass(slots=True, eq=False)
class Foreach(Node):
    """``foreach source as $x (start; update; extract)``; *extract* is None for ``.``."""

    source: Node
    patterns: tuple[Pattern, ...]
    start: Node
    update: Node
    extract: Node | None


@dataclass(slots=True, eq=False)
class Bind(Node):
    """``source as pattern ?// pattern | body``."""

    source: Node
    patterns: tuple[Pattern, ...]
    body: Node


@dataclass(slots=True, eq=False)
class Label(Node):
    """``label $name | body``."""

    name: str
    body: Node


@dataclass(slots=True, eq=False)
class Break(Node):
    """``break $name``."""

    name: str


@dataclass(slots=True, eq=False)
class Call(Node):
    """``name(argument; …)``."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(slots=True, eq=False)
class Function:
    """``def name(parameters): body;``; a parameter that is a value keeps its ``$``."""

    name: str
    parameters: tuple[str, ...]
    body: Node


@dataclass(slots=True, eq=False)
class Define(Node):
    """A definition, and the filter that may use it."""

    function: Function
    body: Node


@dataclass(slots=True, eq=False)
class BindName:
    """``$name``."""

    name: str


@dataclass(slots=True, eq=False)
class BindArray:
    """``[pattern, …]``."""

    items: tuple[Pattern, ...]


@dataclass(slots=True, eq=False)
class BindObject:
    """``{key: pattern, $name, $name: pattern, …}``: the key, the name that it binds itself, the pattern."""

    entries: tuple[tuple[Node, str | None, Pattern | None], ...]


Pattern: TypeAlias = "BindName | BindArray | BindObject"


def names(pattern: Pattern) -> tuple[str, ...]:
    """The variables that *pattern* binds, in order, each once."""
    found: dict[str, None] = {}
    pending: list[Pattern] = [pattern]
    while pending:
        part = pending.pop(0)
        if isinstance(part, BindName):
            found[part.name] = None
        elif isinstance(part, BindArray):
            pending = [*part.items, *pending]
        else:
            inner: list[Pattern] = []
            for _key, name, value in part.entries:
                inner += [BindName(name)] if name else []
                inner += [value] if value else []
            pending = [*inner, *pending]
    return tuple(found)


def parts(node: Node) -> Iterator[Node]:
    """*node* and every filter inside it."""
    pending: list[Any] = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, Node):
            yield part
        if isinstance(part, tuple):
            pending.extend(part)
        elif isinstance(part, Node | Function | BindArray | BindObject):
            pending.extend(getattr(part, name) for name in part.__dataclass_fields__)


def called(node: Node) -> frozenset[str]:
    """The functions without arguments that *node* calls anywhere."""
    return frozenset(part.name for part in parts(node) if isinstance(part, Call) and not part.arguments)
