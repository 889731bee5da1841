"""A place in a list of tokens, and what the grammar asks there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from workflow_engine.expressions.errors import ExpressionError
from workflow_engine.expressions.lexer import Token
from workflow_engine.expressions.syntax import Node, Variable

MAX_NESTING = 200
"""How deep filters may be nested inside each other; each level costs a few frames of the stack."""


class Cursor:
    """Goes through *tokens*, the last of which is of kind ``end``; *nesting* counts what is open around them.

    *plain* tells of what has been read that nothing in it defines anything, takes anything apart, or calls what may
    refuse its arguments, so that the only thing left that can be wrong with it are the names of its *variables*; what
    it binds itself is not among them.
    """

    def __init__(self, source: str, tokens: list[Token], nesting: int) -> None:
        self.source = source
        self.tokens = tokens
        self.place = 0
        self.token = tokens[0]
        self.nesting = nesting
        self.plain = True
        self.variables: list[Variable] = []

    def take(self) -> Token:
        """The token here, leaving it behind."""
        token = self.token
        if token.kind != "end":
            self.place += 1
            self.token = self.tokens[self.place]
        return token

    def at(self, text: str) -> bool:
        """Whether the token here is this symbol or keyword."""
        return self.token.text == text and self.token.kind in {"symbol", "name"}

    def accept(self, text: str) -> bool:
        """Leave this symbol or keyword behind if it is here."""
        if self.at(text):
            self.take()
            return True
        return False

    def expect(self, text: str) -> Token:
        """Leave this symbol or keyword behind; it must be here."""
        if not self.at(text):
            self.fail(f"{text!r} is expected here")
        return self.take()

    def expect_variable(self) -> str:
        """The name of the variable that must be here."""
        if self.token.kind != "variable":
            self.fail("a variable such as $x is expected here")
        return self.take().text

    def fail(self, message: str) -> NoReturn:
        """Refuse the source for what is here."""
        found = {"end": "the end", "string": "a string"}.get(self.token.kind, repr(self.token.text))
        raise ExpressionError(f"{message}, not {found}", self.source, self.token.position)

    def nested(self, rule: Callable[[], Node]) -> Node:
        """Apply *rule* one level deeper."""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise ExpressionError(
                f"filters are nested deeper than {MAX_NESTING} levels", self.source, self.token.position
            )
        node = rule()
        self.nesting -= 1
        return node
