"""JSONPath as the other language of DSL 0.8, put into jq: it runs within the same limits, and as repeatably.

The paths are those of RFC 9535, with what SonataFlow's users have from Jayway's library: ``$CONST`` and ``$SECRETS`` as
roots, ``=~ /x/i``, ``in``, ``nin``, ``$.[?(…)]``, which asks an object and not its members, and ``.length()``,
``.size()``, ``.keys()``, ``.min()``, ``.max()``, ``.avg()``, ``.sum()`` at the end of a path. A path that can match
once gives its value, or null; any other one an array. What is no path may be a condition, such as
``$.count > 5 && $.open``: there a path holds by its value, inside of a filter by being there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from workflow_engine.expressions.errors import ExpressionError

MAX_DEPTH = 50
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<regex>/(?:[^/\\\n]|\\.)+/[a-z]*)
  | (?P<name>\$[A-Za-z_]\w*|[A-Za-z_]\w*)
  | (?P<sign>\.\.|&&|\|\||==|!=|<=|>=|=~|[$@.\[\](){}*,:?!<>])
    )""",
    re.VERBOSE,
)
_FUNCTIONS = {
    "length": "length",
    "size": "length",
    "keys": "keys",
    "min": "min",
    "max": "max",
    "sum": "add",
    "avg": "(add / length)",
}
_COMPARE = {"==", "!=", "<", "<=", ">", ">="}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


_PIECE = re.compile(r"(?=\$[.\[])")
_UNTIL = re.compile(r"""(?:[^"'}]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*""")


def closing_brace(text: str, start: int) -> int | None:
    """The index of the brace that ends the JSONPath from *start* on; None where there is none."""
    match = _UNTIL.match(text, start)
    end = start if match is None else match.end()
    return end if end < len(text) and text[end] == "}" else None


def unwrap(text: str) -> str | None:
    """The JSONPath inside *text* if it is one whole ``${ … }``; else None."""
    stripped = text.strip()
    if not stripped.startswith("${") or closing_brace(stripped, 2) != len(stripped) - 1:
        return None
    return stripped[2:-1]


def to_jq(text: str) -> str:
    """The jq for the JSONPath *text*; `ExpressionError` says what is wrong with it, and where."""
    return f". as $__root | {_Parser(text).whole()}"


def condition_to_jq(text: str) -> str:
    """The jq for *text* as a condition: a path that matches holds, unless what it matches once is false or null."""
    return f'{to_jq(text)} | if type == "array" then length > 0 else (. != null and . != false) end'


def marked(text: str) -> str:
    """A text of one or more JSONPaths, such as ``$.greeting $.name``, each in ``${ }``; else *text*."""
    if not text.lstrip().startswith("$"):
        return text
    parts = []
    for piece in filter(None, _PIECE.split(text)):
        try:
            to_jq(piece)
        except ExpressionError:
            return text
        inner = piece.strip()
        parts.append(f"${{ {inner} }}{piece[len(piece.rstrip()) :]}" if inner else piece)
    return "".join(parts)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)
        self._next = 0
        self._depth = 0
        self._filters = 0

    def _split(self, text: str) -> list[_Token]:
        tokens, at = [], 0
        end = len(text.rstrip())
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise ExpressionError(f"{text[at : at + 20].strip()!r} is no JSONPath", text, at)
            tokens.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            at = match.end()
        return tokens

    # --- reading ------------------------------------------------------------------------------------------

    def _peek(self, *texts: str) -> bool:
        return self._next < len(self._tokens) and self._tokens[self._next].text in texts

    def _kind(self) -> str:
        return self._tokens[self._next].kind if self._next < len(self._tokens) else ""

    def _take(self) -> _Token:
        if self._next >= len(self._tokens):
            raise ExpressionError("the JSONPath ends too early", self._text, len(self._text))
        self._next += 1
        return self._tokens[self._next - 1]

    def _expect(self, text: str) -> None:
        token = self._take()
        if token.text != text:
            raise ExpressionError(f"expected {text!r}, not {token.text!r}", self._text, token.at)

    def _accept(self, *texts: str) -> str | None:
        return self._take().text if self._peek(*texts) else None

    # --- the whole ----------------------------------------------------------------------------------------

    def whole(self) -> str:
        path = self._path() if self._starts_path() else None
        if path is not None and self._next == len(self._tokens):
            program, many = path
            return f"[{program}]" if many else f"first(({program}), null)"
        self._next = 0
        program = self._either()
        if self._next < len(self._tokens):
            token = self._tokens[self._next]
            raise ExpressionError(f"{token.text!r} does not belong here", self._text, token.at)
        return program

    def _starts_path(self) -> bool:
        return self._peek("$", "@") or (
            self._kind() == "name" and self._tokens[self._next].text.startswith("$")
        )

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"filters are nested more than {MAX_DEPTH} deep", self._text, 0)

    # --- paths --------------------------------------------------------------------------------------------

    def _path(self, *, exists: bool = False) -> tuple[str, bool]:
        """The jq of a path, and whether it can match more than once; with *exists* it matches what is there alone."""
        root = self._take().text
        program = "$__root" if root == "$" else "." if root == "@" else root
        many = False
        while self._peek(".", "..", "["):
            step, several = self._step(exists=exists)
            if several is None:
                return (f"[{program}] | {step}" if many else f"{program} | {step}"), False
            program, many = f"{program} | {step}", many or several
        return program, many

    def _step(self, *, exists: bool) -> tuple[str, bool | None]:
        """One step, and whether it can match more than once; None for a function, which ends the path."""
        sign = self._take().text
        if sign == "[":
            return self._brackets(exists=exists)
        if sign == "..":
            if self._accept("["):
                inner, _ = self._brackets(exists=True)
            elif self._accept("*"):
                inner = ".[]?"
            else:
                inner = _member(self._name(), exists=True)
            return f"(.. | {inner})", True
        if self._accept("*"):
            return ".[]?", True
        if self._peek("["):  # `$.[0]`, which Jayway's library understands
            self._take()
            return self._brackets(exists=exists, itself=True)
        name = self._name()
        if self._accept("("):
            self._expect(")")
            if name not in _FUNCTIONS:
                known = ", ".join(_FUNCTIONS)
                raise ExpressionError(f"there is no function {name}(); there are {known}", self._text)
            return _FUNCTIONS[name], None
        return _member(name, exists=exists), False

    def _name(self) -> str:
        token = self._take()
        if token.kind not in ("name", "number") or "." in token.text:
            raise ExpressionError(f"expected the name of a member, not {token.text!r}", self._text, token.at)
        return token.text

    def _brackets(self, *, exists: bool, itself: bool = False) -> tuple[str, bool]:
        """*itself*: a filter is asked of an object, and not of its members, as Jayway's library has ``$.[?(…)]``."""
        if self._accept("?"):
            self._filters += 1
            condition = self._either()
            self._filters -= 1
            self._expect("]")
            each = '(if type == "object" then . else .[]? end)' if itself else ".[]?"
            return f"({each} | select({condition}))", True
        found: list[tuple[str, bool]] = [self._selector(exists=exists)]
        while self._accept(","):
            found.append(self._selector(exists=exists))
        self._expect("]")
        if len(found) == 1:
            return found[0]
        return "(" + ", ".join(f"({step})" for step, _ in found) + ")", True

    def _selector(self, *, exists: bool) -> tuple[str, bool]:
        if self._accept("*"):
            return ".[]?", True
        if self._kind() == "string":
            return _member(_string(self._take().text), exists=exists), False
        first = self._take().text if self._kind() == "number" else None
        if first is not None and not self._peek(":"):
            index = self._whole(first)
            return (f"(arrays | select(length > {index} and length >= -({index})) | .[{index}])", False)
        if first is None and not self._peek(":"):
            token = self._take()
            raise ExpressionError(f"{token.text!r} selects nothing", self._text, token.at)
        self._expect(":")
        last = self._take().text if self._kind() == "number" else None
        step = self._take().text if self._accept(":") and self._kind() == "number" else "1"
        start, end, every = (None if part is None else self._whole(part) for part in (first, last, step))
        if every is None or every < 1:
            raise ExpressionError("a slice goes forward: its step is 1 or more", self._text)
        sliced = f".[{'' if start is None else start}:{'' if end is None else end}]"
        if start is None and end is None:
            sliced = "."
        if every > 1:
            sliced += f" | [range(0; length; {every}) as $i | .[$i]]"
        return f"(arrays | {sliced} | .[])", True

    def _whole(self, text: str) -> int:
        if not re.fullmatch(r"-?\d{1,9}", text):
            raise ExpressionError(f"{text} is no index", self._text)
        return int(text)

    # --- conditions ---------------------------------------------------------------------------------------

    def _either(self) -> str:
        self._deeper()
        program = self._both()
        while self._accept("||"):
            program = f"({program} or {self._both()})"
        self._depth -= 1
        return program

    def _both(self) -> str:
        program = self._simple()
        while self._accept("&&"):
            program = f"({program} and {self._simple()})"
        return program

    def _simple(self) -> str:
        if self._accept("!"):
            self._deeper()
            program = f"({self._simple()} | not)"
            self._depth -= 1
            return program
        if self._accept("("):
            program = self._either()
            self._expect(")")
            return program
        before = self._next
        left = self._operand()
        if self._peek(*_COMPARE):
            sign = self._take().text
            return _compared(left, sign, self._operand())
        if self._accept("=~"):
            return f"({left} | strings | test({self._pattern()}))"
        if self._peek("in", "nin"):
            word = self._take().text
            listed = f"([{self._list()}] | any(. == $__left))"
            return f"(({left}) as $__left | {listed}{'' if word == 'in' else ' | not'})"
        self._next = before
        if not self._starts_path():
            self._take()
            return f"({left})"
        path, many = self._path(exists=self._filters > 0)
        if self._filters or many:
            return f"([{path}] | length > 0)"
        return f"(first(({path}), null) | . != null and . != false)"

    def _operand(self) -> str:
        if self._starts_path():
            path, many = self._path()
            return f"[{path}]" if many else f"first(({path}), null)"
        token = self._take()
        if token.kind == "number":
            return token.text
        if token.kind == "string":
            return json.dumps(_string(token.text))
        if token.text in ("true", "false", "null"):
            return token.text
        if token.text in ("length", "count", "value") and self._accept("("):
            inner = self._operand()
            self._expect(")")
            return f"({inner} | length)" if token.text != "value" else inner
        raise ExpressionError(f"{token.text!r} is no value", self._text, token.at)

    def _pattern(self) -> str:
        token = self._take()
        if token.kind != "regex":
            raise ExpressionError("expected a pattern such as /^a.*/i after =~", self._text, token.at)
        pattern, _, flags = token.text[1:].rpartition("/")
        return f"{json.dumps(f'^(?:{pattern})$')}; {json.dumps(''.join(sorted(set(flags) & set('isx'))))}"

    def _list(self) -> str:
        self._expect("[")
        items = []
        while not self._peek("]"):
            items.append(self._operand())
            if not self._accept(","):
                break
        self._expect("]")
        return ", ".join(items)


def _member(name: str, *, exists: bool) -> str:
    quoted = json.dumps(name)
    return f"(objects | select(has({quoted})) | .[{quoted}])" if exists else f"(objects | .[{quoted}])"


def _compared(left: str, sign: str, right: str) -> str:
    """A comparison: what is of another kind is neither less nor more (RFC 9535 §2.3.5.2.2)."""
    if sign in ("==", "!="):
        return f"(({left}) {sign} ({right}))"
    return (
        f"(({left}) as $__left | ({right}) as $__right | (($__left | type) == ($__right | type)) "
        f"and ($__left {sign} $__right))"
    )


def _string(text: str) -> str:
    if text.startswith("'"):
        inner = text[1:-1].replace("\\'", "'")
        text = '"' + re.sub(r'(?<!\\)"', r"\"", inner) + '"'
    try:
        return str(json.loads(text))
    except ValueError:
        raise ExpressionError(f"{text} is no text", text) from None
