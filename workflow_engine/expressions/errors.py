"""What can be wrong with an expression: its text, or what it meets when it runs."""

from __future__ import annotations

from workflow_engine.values import Json


class ExpressionError(ValueError):
    """The text of an expression is wrong; it can never run.

    *position* is a 0-based offset into *source*, or None where there is no single place. *pointer* is the
    RFC 6901 pointer of the faulty string inside a template, and is None for a lone expression. *start* is where
    *source* begins in the string that it was found in: behind ``${``. *refused*: it is jq, and asks for what no
    expression may have (`purity`).
    """

    def __init__(
        self,
        message: str,
        source: str = "",
        position: int | None = None,
        *,
        pointer: str | None = None,
        refused: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.source = source
        self.position = position
        self.pointer = pointer
        self.refused = refused
        self.start = 0


class EvaluationError(ValueError):
    """An expression failed on the data it was given, or met a limit.

    *value* is the payload of jq's ``error(value)`` where that is not a string, else None. Inside a template, *source*
    is the expression, and *pointer* the RFC 6901 pointer of its string.
    """

    def __init__(self, message: str, value: Json = None) -> None:
        super().__init__(message)
        self.message = message
        self.value = value
        self.source = ""
        self.pointer = ""

    def caught(self) -> Json:
        """What a ``catch`` sees as its input."""
        return self.message


class Raised(EvaluationError):
    """jq's ``error(payload)``, where *payload* is not a string; *message* is for people."""

    def caught(self) -> Json:
        return self.value


class LimitExceeded(EvaluationError):
    """A limit of `limits` was met. No ``try`` catches it, or a program could go on without end."""
