"""The syntax of CloudEvents SQL, version 1.0: from text to a tree, by operator precedence.

What binds most comes first: function calls; ``NOT`` and ``-`` before an operand; ``LIKE``, ``EXISTS``, ``IN``;
``* / %``; ``+ -``; comparisons; ``AND OR XOR``, which have one precedence and go from left to right (specification,
section 3.6). Keywords, functions and attributes are the same in capital and small letters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from workflow_engine.filters.wildcards import BadPattern, like

MAX_LENGTH = 8192
"""How many characters an expression may have."""
MAX_DEPTH = 64
"""How deep expressions may be in one another."""
MAX_NODES = 1000
"""How many operators, functions, attributes and literals an expression may have."""

_INT32 = 2**31
_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<string>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    r"|(?P<name>[A-Za-z0-9_]+)"
    r"|(?P<symbol><>|!=|<=|>=|[-+*/%=<>(),])",
    re.DOTALL,
)
_KEYWORDS = frozenset({"AND", "OR", "XOR", "NOT", "LIKE", "EXISTS", "IN", "TRUE", "FALSE"})
_LOGIC, _COMPARISON, _SUM, _PRODUCT, _MEMBER, _UNARY = range(1, 7)
_BINDING = {
    **dict.fromkeys(("AND", "OR", "XOR"), _LOGIC),
    **dict.fromkeys(("=", "!=", "<>", "<", "<=", ">", ">="), _COMPARISON),
    **dict.fromkeys(("+", "-"), _SUM),
    **dict.fromkeys(("*", "/", "%"), _PRODUCT),
    **dict.fromkeys(("LIKE", "IN", "NOT"), _MEMBER),
}


class ParseError(ValueError):
    """An expression is none: *at* is the index of the character where that shows."""

    def __init__(self, message: str, source: str, at: int) -> None:
        line = source.count("\n", 0, at) + 1
        column = at - source.rfind("\n", 0, at)
        super().__init__(f"line {line}, column {column}: {message}")
        self.at, self.line, self.column = at, line, column


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, an integer of 32 bits, or a boolean."""

    value: str | int | bool
    at: int


@dataclass(frozen=True, slots=True)
class Attribute:
    """What an attribute of the event is; *name* is in small letters."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Exists:
    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Unary:
    """``NOT`` or ``-``."""

    operator: str
    operand: Node
    at: int


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic or a comparison; ``<>`` is ``!=``."""

    operator: str
    left: Node
    right: Node
    at: int


@dataclass(frozen=True, slots=True)
class Logic:
    """``AND``, ``OR`` or ``XOR`` of two operands or more, from left to right."""

    operator: str
    operands: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Like:
    operand: Node
    pattern: str
    match: Callable[[str], bool]
    at: int


@dataclass(frozen=True, slots=True)
class In:
    operand: Node
    members: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function; *name* is in capital letters. That there is such a function is not known yet."""

    name: str
    arguments: tuple[Node, ...]
    at: int


Node: TypeAlias = Literal | Attribute | Exists | Unary | Binary | Logic | Like | In | Call


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """``string``, ``name``, ``integer``, ``keyword``, ``symbol`` or ``end``."""
    text: str
    """Keywords are in capital letters, strings without their quotes."""
    at: int
    end: int


def parse(source: str) -> Node:
    """The tree of *source*, or `ParseError`."""
    if len(source) > MAX_LENGTH:
        raise ParseError(f"an expression has at most {MAX_LENGTH} characters", source, MAX_LENGTH)
    return _Parser(source).whole()


def _tokens(source: str) -> list[_Token]:
    found, at = [], 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            quote = source[at] in "'\""
            message = "this text does not end" if quote else f"unexpected {source[at]!r}"
            raise ParseError(message, source, at)
        at, kind, text = match.end(), str(match.lastgroup), match[0]
        if kind == "string":
            quote_mark, text = text[0], text[1:-1]
            if source[at : at + 1] == quote_mark:
                raise ParseError(f"a quote inside a text is written \\{quote_mark}", source, at)
            text = text.replace("\\" + quote_mark, quote_mark)
        elif kind == "name":
            if text.upper() in _KEYWORDS:
                kind, text = "keyword", text.upper()
            elif text.isdecimal():
                kind = "integer"
        if kind != "space":
            found.append(_Token(kind, text, match.start(), at))
    return [*found, _Token("end", "", len(source), len(source))]


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = _tokens(source)
        self.next = 0
        self.nodes = 0
        self.height = 0
        """How deep the tree is that was made last."""

    def whole(self) -> Node:
        node = self.expression(0, 0)
        if self.tokens[self.next].kind != "end":
            raise self.unexpected("an operator")
        return node

    def peek(self) -> str:
        """The keyword or symbol that comes next, or nothing."""
        token = self.tokens[self.next]
        return token.text if token.kind in ("keyword", "symbol") else ""

    def take(self) -> _Token:
        token = self.tokens[self.next]
        self.next = min(self.next + 1, len(self.tokens) - 1)
        return token

    def expect(self, symbol: str) -> None:
        if self.peek() != symbol:
            raise self.unexpected(f"`{symbol}`")
        self.take()

    def unexpected(self, expected: str) -> ParseError:
        token = self.tokens[self.next]
        found = "the end" if token.kind == "end" else f"`{self.source[token.at : token.end][:40]}`"
        return ParseError(f"expected {expected}, not {found}", self.source, token.at)

    def count(self, at: int) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise ParseError(f"an expression has at most {MAX_NODES} parts", self.source, at)

    def expression(self, binding: int, depth: int) -> Node:
        """What is there, as far as its operators bind more than *binding*."""
        if depth > MAX_DEPTH:
            raise self.too_deep(self.tokens[self.next].at)
        left, height = self.operand(depth), self.height
        while (binds := _BINDING.get(self.peek(), 0)) > binding:
            token = self.take()
            self.count(token.at)
            self.height = 0
            if binds == _MEMBER:
                left, height = self.member(left, token, depth), height + 2
            else:
                right = self.expression(binds, depth + 1)
                if isinstance(left, Logic) and left.operator == token.text:
                    left, height = Logic(token.text, (*left.operands, right), left.at), height - 1
                elif binds == _LOGIC:
                    left = Logic(token.text, (left, right), token.at)
                else:
                    left = Binary("!=" if token.text == "<>" else token.text, left, right, token.at)
            height = max(height, self.height) + 1
            if height > MAX_DEPTH:
                raise self.too_deep(token.at)
        self.height = height
        return left

    def too_deep(self, at: int) -> ParseError:
        return ParseError(f"expressions are at most {MAX_DEPTH} deep in one another", self.source, at)

    def member(self, left: Node, token: _Token, depth: int) -> Node:
        """``[NOT] LIKE 'pattern'`` and ``[NOT] IN (…)`` behind *left*."""
        operator, at = token, token.at
        if token.text == "NOT":
            if self.peek() not in ("LIKE", "IN"):
                raise self.unexpected("LIKE or IN")
            operator = self.take()
        node = self.like(left, at) if operator.text == "LIKE" else In(left, self.several(depth, 1), at)
        return Unary("NOT", node, at) if token.text == "NOT" else node

    def like(self, left: Node, at: int) -> Node:
        if self.tokens[self.next].kind != "string":
            raise self.unexpected("a text, which is the pattern")
        token = self.take()
        try:
            return Like(left, token.text, like(token.text), at)
        except BadPattern as error:
            raise ParseError(str(error), self.source, token.at) from None

    def several(self, depth: int, least: int) -> tuple[Node, ...]:
        """Expressions in parentheses, with commas between."""
        self.expect("(")
        if not least and self.peek() == ")":
            self.take()
            return ()
        found = [self.expression(0, depth + 1)]
        highest = self.height
        while self.peek() == ",":
            self.take()
            found.append(self.expression(0, depth + 1))
            highest = max(highest, self.height)
        self.expect(")")
        self.height = highest + 1
        return tuple(found)

    def operand(self, depth: int) -> Node:
        token = self.tokens[self.next]
        self.count(token.at)
        self.height = 1
        match token.kind:
            case "string":
                return Literal(self.take().text, token.at)
            case "integer":
                return self.integer(self.take(), "")
            case "name":
                return self.named(depth)
            case "keyword" | "symbol":
                return self.prefixed(token, depth)
            case _:
                raise self.unexpected("a value")

    def prefixed(self, token: _Token, depth: int) -> Node:
        """An operand that begins with a keyword or a symbol."""
        match token.text:
            case "TRUE" | "FALSE":
                return Literal(self.take().text == "TRUE", token.at)
            case "NOT":
                self.take()
                return self.unary(depth, token.at, "NOT")
            case "EXISTS":
                self.take()
                return Exists(self.attribute(), token.at)
            case "-" | "+":
                self.take()
                following = self.tokens[self.next]
                if following.kind == "integer" and following.at == token.end:
                    return self.integer(self.take(), token.text)
                if token.text == "-":
                    return self.unary(depth, token.at, "-")
                raise self.unexpected("digits behind `+`")
            case "(":
                self.take()
                inner = self.expression(0, depth + 1)
                self.expect(")")
                return inner
            case _:
                raise self.unexpected("a value")

    def unary(self, depth: int, at: int, operator: str) -> Node:
        node = Unary(operator, self.expression(_UNARY, depth + 1), at)
        self.height += 1
        return node

    def integer(self, token: _Token, sign: str) -> Node:
        value = int(sign + token.text) if len(token.text) <= 20 else _INT32
        if not -_INT32 <= value < _INT32:
            raise ParseError("an integer has 32 bits: -2147483648 to 2147483647", self.source, token.at)
        return Literal(value, token.at - len(sign))

    def named(self, depth: int) -> Node:
        """An attribute, or a function that is called."""
        token = self.tokens[self.next]
        following = self.tokens[self.next + 1]
        if following.text == "(" and following.kind == "symbol":
            self.take()
            if any(character.isdecimal() for character in token.text) or token.text[0] == "_":
                raise ParseError("a function's name has letters and `_` only", self.source, token.at)
            return Call(token.text.upper(), self.several(depth, 0), token.at)
        return Attribute(self.attribute(), token.at)

    def attribute(self) -> str:
        token = self.tokens[self.next]
        if token.kind not in ("name", "integer"):
            raise self.unexpected("the name of an attribute")
        if "_" in token.text:
            raise ParseError("an attribute's name has letters and digits only", self.source, token.at)
        return self.take().text.lower()
