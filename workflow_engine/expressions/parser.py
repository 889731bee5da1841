"""jq's grammar, from tokens to a tree: recursive descent, with precedence climbing for the operators."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

from workflow_engine.expressions import syntax
from workflow_engine.expressions.errors import ExpressionError
from workflow_engine.expressions.lexer import Token, tokenize
from workflow_engine.expressions.operators import ASSIGNING, NOT_CHAINED, PRECEDENCE, number, operation
from workflow_engine.expressions.patterns import Patterns
from workflow_engine.expressions.plain import APPLIED, FUNCTIONS
from workflow_engine.expressions.purity import REFUSED
from workflow_engine.expressions.syntax import Node

MAX_CHAIN = 500
"""How many stages a pipe, or operators of one level a row, may have."""

_KEYWORDS = frozenset(
    "as def module import include if then else elif end reduce foreach and or try catch label break".split()  # noqa: SIM905
)
_TAKING_NOTHING, _TAKING_ONE = frozenset(FUNCTIONS), frozenset(APPLIED)
_CONSTANTS = {"true": True, "false": False, "null": None}


def parse(source: str) -> Node:
    """The syntax tree of *source*; `ExpressionError` says what is wrong, and where."""
    return _Parser(source, tokenize(source), 0).program()


def parse_plain(source: str) -> tuple[Node, frozenset[str] | None]:
    """The syntax tree of *source*, and the variables in it if it is plain (see `Cursor`), else None."""
    parser = _Parser(source, tokenize(source), 0)
    tree = parser.program()
    return tree, frozenset(variable.name for variable in parser.variables) if parser.plain else None


class _Parser(Patterns):
    # --- queries: | , as def label

    def program(self) -> Node:
        if self.token.kind == "end":
            self.fail("a filter is expected here")
        body = self.query()
        if self.token.kind != "end":
            self.fail("an operator or the end is expected here")
        return body

    def query(self, *, comma: bool = True) -> Node:
        return self.nested(lambda: self._pipeline(comma=comma))

    def _pipeline(self, *, comma: bool) -> Node:
        stages: list[tuple[int, Node]] = []
        while True:
            position = self.token.position
            if self.at("def") or self.at("label"):
                last = self._definition() if self.at("def") else self._label()
                break
            last = self._sequence(comma=comma)
            if not self.at("|"):
                break
            self.take()
            stages.append((position, last))
            if len(stages) > MAX_CHAIN:
                self.fail(f"at most {MAX_CHAIN} filters in one pipe are expected")
        for position, stage in reversed(stages):
            last = syntax.Pipe(position, stage, last)
        return last

    def _definition(self) -> Node:
        self.plain = False
        position = self.take().position
        if self.token.kind != "name" or self.token.text in _KEYWORDS:
            self.fail("the name of a function is expected here")
        name = self.take().text
        parameters: list[str] = []
        if self.accept("("):
            while True:
                if self.token.kind not in {"name", "variable"} or self.token.text in _KEYWORDS:
                    self.fail("the name of a parameter is expected here")
                token = self.take()
                parameters.append("$" * (token.kind == "variable") + token.text)
                if not self.accept(";"):
                    break
            self.expect(")")
        self.expect(":")
        body = self.query()
        self.expect(";")
        return syntax.Define(position, syntax.Function(name, tuple(parameters), body), self.query())

    def _label(self) -> Node:
        self.plain = False
        position = self.take().position
        name = self.expect_variable()
        self.expect("|")
        return syntax.Label(position, name, self.query())

    def _sequence(self, *, comma: bool) -> Node:
        node = self._binding()
        while comma and self.at(","):
            position = self.take().position
            right = self._query_item()
            node = syntax.Comma(position, node, right)
        return node

    def _query_item(self) -> Node:
        if self.at("def"):
            return self._definition()
        return self._label() if self.at("label") else self._binding()

    def _binding(self) -> Node:
        source = self._expression(0)
        if not self.at("as"):
            return source
        position = self.take().position
        name, plain, before = self.token.text, self.plain, len(self.variables)
        alone = self.token.kind == "variable" and self._follows("|")
        patterns = self.patterns()
        if alone:
            self.plain = plain
        self.expect("|")
        body = self.query()
        if alone:
            self.variables[before:] = [used for used in self.variables[before:] if used.name != name]
        return syntax.Bind(position, source, patterns, body)

    # --- expressions: operators

    def _expression(self, lowest: int) -> Node:
        return self.nested(lambda: self._operation(lowest))

    def _operation(self, lowest: int) -> Node:
        left = self._postfix()
        count = 0
        while self.token.kind in {"symbol", "name"}:
            operator = self.token.text
            level = PRECEDENCE.get(operator, 0)
            if not level or level < lowest:
                break
            count += 1
            if count > MAX_CHAIN:
                self.fail(f"at most {MAX_CHAIN} operators in a row are expected")
            position = self.take().position
            right = self._expression(level if operator == "//" else level + 1)
            if level in NOT_CHAINED and PRECEDENCE.get(self.token.text) == level:
                self.fail(f"{operator!r} cannot be chained; use parentheses")
            self.plain = self.plain and operator not in ASSIGNING
            left = operation(position, operator, left, right)
        return left

    # --- terms

    def _postfix(self) -> Node:
        closed = self.at("(")  # what is in parentheses is forgiven as a whole by a `?`
        node = self._term()
        while True:
            token = self.token
            if token.kind == "field":
                self.take()
                node = syntax.Index(token.position, node, syntax.Literal(token.position, token.text))
            elif token.kind != "symbol":
                return node
            elif token.text == "." and self.tokens[self.place + 1].kind == "string":
                self.take()
                node = syntax.Index(token.position, node, self.string("text"))
            elif token.text == "[" or (token.text == "." and self._follows("[")):
                self.accept(".")
                node = self._bracket(node)
            elif token.text == "?":
                self.take()
                node = _optional(token.position, node, closed=closed)
            elif token.text in {"?//", "?//="}:  # `.a?//1`: an optional, then an alternative
                self.token = Token("symbol", token.text[1:], token.position + 1)
                self.tokens[self.place] = self.token
                node = _optional(token.position, node, closed=closed)
            else:
                return node
            closed = False

    def _follows(self, text: str) -> bool:
        following = self.tokens[self.place + 1]
        return following.kind == "symbol" and following.text == text

    def _bracket(self, target: Node) -> Node:
        position = self.expect("[").position
        if self.accept("]"):
            return syntax.Iterate(position, target)
        if self.accept(":"):
            stop = self.query()
            self.expect("]")
            return syntax.Slice(position, target, None, stop)
        key = self.query()
        if self.accept(":"):
            end = None if self.at("]") else self.query()
            self.expect("]")
            return syntax.Slice(position, target, key, end)
        self.expect("]")
        return syntax.Index(position, target, key)

    def _term(self) -> Node:
        token = self.token
        position = token.position
        if token.kind == "number":
            self.take()
            return syntax.Literal(position, number(token.text))
        if token.kind == "string":
            return self.string("text")
        if token.kind == "format":
            self.plain = False
            self.take()
            if self.token.kind == "string":
                return self.string(token.text)
            return syntax.Format(position, token.text)
        if token.kind == "field":
            self.take()
            return syntax.Index(position, syntax.Identity(position), syntax.Literal(position, token.text))
        if token.kind == "variable":
            return self._variable()
        if token.kind == "name":
            return self._word()
        return self._symbol()

    def _variable(self) -> syntax.Variable:
        token = self.take()
        if "$" + token.text in REFUSED:
            self._refuse("$" + token.text, token.position)
        variable = syntax.Variable(token.position, token.text)
        self.variables.append(variable)
        return variable

    def _symbol(self) -> Node:
        token = self.token
        position = token.position
        if token.kind != "symbol":
            self.fail("a filter is expected here")
        if token.text == ".":
            self.take()
            if self.token.kind == "string":
                return syntax.Index(position, syntax.Identity(position), self.string("text"))
            if self.token.kind == "name" and self.token.position == position + 1:
                self.fail('a field with an unusual name is written .["name"]')
            return syntax.Identity(position)
        if token.text == "..":
            self.plain = False
            self.take()
            return syntax.Call(position, "recurse", ())
        if token.text == "-":
            self.take()
            return syntax.Negate(position, self.nested(self._postfix))
        if token.text == "(":
            self.take()
            body = self.query()
            self.expect(")")
            return body
        if token.text == "[":
            self.take()
            if self.accept("]"):
                return syntax.Literal(position, [])
            body = self.query()
            self.expect("]")
            return syntax.Array(position, body)
        if token.text != "{":
            self.fail("a filter is expected here")
        return self._object()

    def _word(self) -> Node:
        token = self.token
        position, name = token.position, token.text
        if name in {"import", "include", "module"}:
            self._refuse(name, position)
        if name == "if":
            return self._if()
        if name == "try":
            self.take()
            body = self.nested(self._postfix)
            handler = self.nested(self._postfix) if self.accept("catch") else None
            return syntax.Try(position, body, handler)
        if name in {"reduce", "foreach"}:
            return self._fold()
        if name == "break":
            self.plain = False
            self.take()
            return syntax.Break(position, self.expect_variable())
        if name in _KEYWORDS:
            self.fail("a filter is expected here")
        self.take()
        if name in _CONSTANTS:
            return syntax.Literal(position, _CONSTANTS[name])
        arguments: list[Node] = []
        if self.accept("("):
            arguments.append(self.query())
            while self.accept(";"):
                arguments.append(self.query())
            self.expect(")")
        known = _TAKING_NOTHING if not arguments else _TAKING_ONE if len(arguments) == 1 else ()
        self.plain = self.plain and name in known
        return syntax.Call(position, name, tuple(arguments))

    def _refuse(self, word: str, position: int) -> NoReturn:
        raise ExpressionError(f"`{word}` is refused: {REFUSED[word]}", self.source, position, refused=True)

    def _if(self) -> Node:
        position = self.take().position
        condition = self.query()
        self.expect("then")
        then = self.query()
        if self.at("elif"):
            return syntax.If(position, condition, then, self.nested(self._if))
        otherwise = self.query() if self.accept("else") else None
        self.expect("end")
        return syntax.If(position, condition, then, otherwise)

    def _fold(self) -> Node:
        token = self.take()
        source = self._expression(0)
        self.expect("as")
        patterns = self.patterns()
        self.expect("(")
        start = self.query()
        self.expect(";")
        update = self.query()
        if token.text == "reduce":
            self.expect(")")
            return syntax.Reduce(token.position, source, patterns, start, update)
        extract = self.query() if self.accept(";") else None
        self.expect(")")
        return syntax.Foreach(token.position, source, patterns, start, update, extract)

    def string(self, format: str) -> Node:
        token = self.take()
        parts: list[str | Node] = []
        for part in token.parts:
            if isinstance(part, str):
                parts.append(part)
            else:
                inner = _Parser(self.source, list(part), self.nesting)
                parts.append(inner.program())
                self.plain = self.plain and inner.plain
                self.variables += inner.variables
        if all(isinstance(part, str) for part in parts):
            return syntax.Literal(token.position, "".join(str(part) for part in parts))
        return syntax.Text(token.position, format, tuple(parts))

    def _object(self) -> Node:
        position = self.take().position
        entries: list[tuple[Node, Node]] = []
        while not self.at("}"):
            entries.append(self._entry())
            if not self.accept(","):
                break
        self.expect("}")
        return syntax.Object(position, tuple(entries)) if entries else syntax.Literal(position, {})

    def _entry(self) -> tuple[Node, Node]:
        token = self.token
        here = token.position
        if token.kind == "variable":
            variable = self._variable()
            if self.accept(":"):
                return variable, self._entry_value()
            return syntax.Literal(here, token.text), variable
        key: Node
        if token.kind == "name":
            self.take()
            key = syntax.Literal(here, token.text)
        elif token.kind in {"string", "format"}:
            if token.kind == "format":
                self.plain = False
                self.take()
            if self.token.kind != "string":
                self.fail("a string is expected here")
            key = self.string(token.text if token.kind == "format" else "text")
        else:
            key = self.computed_key()
            self.expect(":")
            return key, self._entry_value()
        if self.accept(":"):
            return key, self._entry_value()
        return key, syntax.Index(here, syntax.Identity(here), key)

    def _entry_value(self) -> Node:
        return self.query(comma=False)


def _optional(position: int, node: Node, *, closed: bool) -> Node:
    """*node* with a ``?`` behind it."""
    if not closed and isinstance(node, syntax.Index | syntax.Slice | syntax.Iterate) and not node.optional:
        return replace(node, optional=True)
    return syntax.Try(position, node, None)
