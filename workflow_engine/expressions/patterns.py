"""The patterns of ``as``: names, arrays and objects to take values apart with."""

from __future__ import annotations

from abc import abstractmethod

from workflow_engine.expressions import syntax
from workflow_engine.expressions.cursor import MAX_NESTING, Cursor
from workflow_engine.expressions.errors import ExpressionError
from workflow_engine.expressions.syntax import Node, Pattern


class Patterns(Cursor):
    """The part of the grammar that binds names."""

    @abstractmethod
    def query(self, *, comma: bool = True) -> Node:
        """A whole filter; without *comma* only up to the next one."""

    @abstractmethod
    def string(self, format: str) -> Node:
        """The string here, whose interpolated filters *format* renders."""

    def patterns(self) -> tuple[Pattern, ...]:
        """The patterns after ``as``, which ``?//`` separates."""
        self.plain = False
        patterns = [self._pattern(0)]
        while self.accept("?//"):
            patterns.append(self._pattern(0))
        return tuple(patterns)

    def _pattern(self, depth: int) -> Pattern:
        if depth > MAX_NESTING // 2:
            self.fail("a shallower pattern is expected here")
        if self.token.kind == "variable":
            return syntax.BindName(self.take().text)
        if self.accept("["):
            items = [self._pattern(depth + 1)]
            while self.accept(","):
                items.append(self._pattern(depth + 1))
            self.expect("]")
            return syntax.BindArray(tuple(items))
        if not self.accept("{"):
            self.fail("a pattern such as $x, [$x] or {a: $x} is expected here")
        entries = [self._pattern_entry(depth)]
        while self.accept(","):
            entries.append(self._pattern_entry(depth))
        self.expect("}")
        return syntax.BindObject(tuple(entries))

    def _pattern_entry(self, depth: int) -> tuple[Node, str | None, Pattern | None]:
        token = self.token
        here = token.position
        if token.kind == "variable":
            self.take()
            inner = self._pattern(depth + 1) if self.accept(":") else None
            return syntax.Literal(here, token.text), token.text, inner
        key: Node
        if token.kind == "name":
            self.take()
            key = syntax.Literal(here, token.text)
        elif token.kind == "string":
            key = self.string("text")
        else:
            key = self.computed_key()
        self.expect(":")
        return key, None, self._pattern(depth + 1)

    def computed_key(self) -> Node:
        """The filter in parentheses that makes a key of an object."""
        if not self.at("("):
            self.fail('a key such as a, "a", $a or (.a) is expected here')
        position = self.take().position
        key = self.query()
        self.expect(")")
        if isinstance(key, syntax.Literal) and not isinstance(key.value, str):
            raise ExpressionError("a key must be a string", self.source, position)
        return key
