"""From a syntax tree to closures: each kind of node has a function that compiles it, and one for it as a path."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import NoReturn

from workflow_engine.expressions import (
    assignment,
    binding,
    building,
    control,
    folding,
    functions,
    selecting,
    syntax,
)
from workflow_engine.expressions.builtins import BUILTINS, unknown_function
from workflow_engine.expressions.code import (
    BUILT,
    FIRST_SLOT,
    GROWN,
    PART,
    Builtin,
    Code,
    Compile,
    CompileTrace,
    Definition,
    Scope,
    Trace,
    unless_path,
)
from workflow_engine.expressions.errors import ExpressionError, LimitExceeded
from workflow_engine.expressions.parser import parse, parse_plain
from workflow_engine.expressions.plain import plain_variables
from workflow_engine.expressions.prelude import PRELUDE
from workflow_engine.expressions.purity import REFUSED, unknown_variable
from workflow_engine.expressions.syntax import Node, parts

MAX_NODES = 100_000
"""How many nodes one program may come to, with each function counted for each way it is called."""

_CODE: dict[type[Node], Compile] = {
    syntax.Identity: selecting.identity,
    syntax.Literal: selecting.literal,
    syntax.Variable: selecting.variable,
    syntax.Index: selecting.index_,
    syntax.Slice: selecting.slice_,
    syntax.Iterate: selecting.iterate,
    syntax.Text: building.text,
    syntax.Format: building.format_,
    syntax.Array: building.array,
    syntax.Object: building.object_,
    syntax.Negate: building.negate,
    syntax.Binary: building.binary,
    syntax.Pipe: control.pipe,
    syntax.Comma: control.comma,
    syntax.Logic: control.logic,
    syntax.Alternative: control.alternative,
    syntax.If: control.if_,
    syntax.Try: control.try_,
    syntax.Label: control.label,
    syntax.Break: control.break_,
    syntax.Bind: binding.bind,
    syntax.Reduce: folding.reduce,
    syntax.Foreach: folding.foreach,
    syntax.Assign: assignment.assign,
    syntax.Define: functions.define,
}
_TRACE: dict[type[Node], CompileTrace] = {
    syntax.Identity: selecting.trace_identity,
    syntax.Index: selecting.trace_index,
    syntax.Slice: selecting.trace_slice,
    syntax.Iterate: selecting.trace_iterate,
    syntax.Pipe: control.trace_pipe,
    syntax.Comma: control.trace_comma,
    syntax.Alternative: control.trace_alternative,
    syntax.If: control.trace_if,
    syntax.Try: control.trace_try,
    syntax.Label: control.trace_label,
    syntax.Bind: binding.trace_bind,
    syntax.Reduce: folding.trace_reduce,
    syntax.Foreach: folding.trace_foreach,
    syntax.Define: functions.trace_define,
}


class Program:
    """A compiled expression: its *code* (see `compiled`), the outer *names* that have slots, in their order, and those
    that are *used*.
    """

    __slots__ = ("_copies", "_source", "_tree", "code", "names", "used")

    def __init__(
        self,
        source: str,
        tree: Node | None,
        names: tuple[str, ...],
        used: frozenset[str],
        code: Code | None = None,
    ) -> None:
        self._source = source
        self._tree = tree
        self._copies: int | None = None
        self.code = code
        self.names = names
        self.used = used

    def compiled(self) -> Code:
        """The code, made when it is first asked for where nothing can be wrong with it any more."""
        if self.code is None:
            compiler = _Compiler(self._source, frozenset(self.names), len(self.names))
            try:
                self.code = compiler.program(self._tree or parse(self._source), self.names)
            except ExpressionError as error:  # nothing but its size
                raise LimitExceeded(error.message) from None
            self._tree = None
        return self.code

    def copies(self) -> int:
        """See `Expression.copies`."""
        if self._copies is None:
            self._copies = {PART: 1, BUILT: 2, GROWN: 0}[self.compiled().grows]
            if self._copies == 2:
                self._copies = sum(isinstance(node, _WHOLE) for node in parts(parse(self._source)))
        return self._copies


_WHOLE = (syntax.Identity, syntax.Variable)


def compile_program(source: str, variables: Collection[str]) -> Program:
    """Compile *source*; `ExpressionError` where it is not jq, or asks for what no expression may have.

    A worker compiles whole documents and walks parts of them, so what is plain becomes code when it is first evaluated;
    most of it is not even read before.
    """
    plain = plain_variables(source)
    if plain is not None and plain <= frozenset(variables):
        return Program(source, None, tuple(sorted(plain)), plain)
    try:
        tree, plain = parse_plain(source)
        if plain is not None and plain <= frozenset(variables):
            return Program(source, tree, tuple(sorted(plain)), plain)
        names = tuple(sorted(name for name in variables if f"${name}" in source))  # not all need be used
        compiler = _Compiler(source, frozenset(variables), len(names))
        code = compiler.program(tree, names)
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply", source) from None
    return Program(source, None, names, frozenset(compiler.used), code)


class _Compiler:
    def __init__(self, source: str, variables: frozenset[str], outer: int) -> None:
        self.source = source
        self.used: set[str] = set()
        self._variables = variables
        self._outer = FIRST_SLOT + outer
        self._room = MAX_NODES
        self._prelude: dict[tuple[str, int], Definition] = {}

    def program(self, tree: Node, names: tuple[str, ...]) -> Code:
        """The code of a whole program, whose outer variables *names* are in slots in that order."""
        scope = Scope({}, {}, {}, FIRST_SLOT)
        for name in names:
            scope = scope.with_variable(name, PART)
        code = self.code(tree, scope)
        # Paths are compiled when they are first followed; which ones are must not matter to others.
        self._room = sys.maxsize
        return code

    def _count(self) -> None:
        self._room -= 1
        if self._room < 0:
            raise ExpressionError("the expression comes to too many filters; write it shorter", self.source)

    def code(self, node: Node, scope: Scope, *, tail: bool = False) -> Code:
        self._count()
        if isinstance(node, syntax.Call):
            return self._call(node, scope, tail=tail)
        if isinstance(node, syntax.Variable):
            self._note(node, scope)
        return _CODE[type(node)](self, node, scope, tail)

    def _note(self, node: syntax.Variable, scope: Scope) -> None:
        known = scope.variables.get(node.name)
        if known is None:
            known_names = self._variables | (scope.variables.keys() - _hidden(scope))
            self.fail(unknown_variable(node.name, known_names), node)
        if known[0] < self._outer:
            self.used.add(node.name)

    def _call(self, node: syntax.Call, scope: Scope, *, tail: bool) -> Code:
        signature = (node.name, len(node.arguments))
        target = scope.functions.get(signature)
        if target is None:
            builtin = self._builtin(node, signature)
            if isinstance(builtin, Builtin):
                return builtin.compile(self, node, scope)
            target = builtin
        return functions.call(self, node, scope, target, tail=tail)

    def _builtin(self, node: syntax.Call, signature: tuple[str, int]) -> Builtin | Definition:
        builtin = BUILTINS.get(signature)
        if builtin is not None:
            return builtin
        definition = self._prelude.get(signature)
        if definition is None:
            function = PRELUDE.get(signature)
            if function is None:
                message = unknown_function(node.name, len(node.arguments))
                self.fail(message, node, refused=node.name in REFUSED)
            definition = functions.defined(function, Scope({}, {}, {}, FIRST_SLOT))
            self._prelude[signature] = definition
        return definition

    def trace(self, node: Node, scope: Scope) -> Trace:
        self._count()
        if isinstance(node, syntax.Call):
            return self._trace_call(node, scope)
        compile_trace = _TRACE.get(type(node))
        if compile_trace is None:
            return unless_path(self.code(node, scope))
        return compile_trace(self, node, scope)

    def _trace_call(self, node: syntax.Call, scope: Scope) -> Trace:
        signature = (node.name, len(node.arguments))
        target = scope.functions.get(signature)
        if target is None:
            builtin = self._builtin(node, signature)
            if isinstance(builtin, Builtin):
                if builtin.trace is None:
                    return unless_path(builtin.compile(self, node, scope))
                return builtin.trace(self, node, scope)
            target = builtin
        return functions.trace_call(self, node, scope, target)

    def fail(self, message: str, node: Node, *, refused: bool = False) -> NoReturn:
        raise ExpressionError(message, self.source, node.position, refused=refused)


def _hidden(scope: Scope) -> set[str]:
    """The names of slots that no program can spell."""
    return {name for name in scope.variables if name.startswith(" ")}
