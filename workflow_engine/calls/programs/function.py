"""Run code as the body of a function: ``function.py CODE ARGUMENTS RESULT``, three files.

ARGUMENTS is a JSON object whose members are the function's arguments, and the options of its ``sys.argv``; what it
returns is written to RESULT as JSON. Code without a ``return`` of its own is a program: that is what it prints then.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import sys
import traceback
from pathlib import Path
from typing import Any


def main(code: str, arguments: str, result: str) -> None:
    given = json.loads(Path(arguments).read_text(encoding="utf-8"))
    module = ast.parse(f"def script({', '.join(given)}):\n    pass", code)
    function = module.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = ast.parse(Path(code).read_text(encoding="utf-8"), code).body or function.body
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(module, code, "exec"), names)  # noqa: S102 - that is what the author asked for
    sys.argv = [code, *options(given)]
    printed = None if returns(function.body) else io.StringIO()
    try:
        with contextlib.nullcontext() if printed is None else contextlib.redirect_stdout(printed):
            value = names["script"](**given)
    except Exception as error:  # noqa: BLE001 - told as it would be without us
        frames = error.__traceback__
        traceback.print_exception(error.with_traceback(frames and frames.tb_next))
        sys.exit(1)
    if printed is not None:
        value = printed.getvalue() or None
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    Path(result).write_text(text, encoding="utf-8")


def options(given: dict[str, Any]) -> list[str]:
    """The members of *given* as a command line has them: ``--name value``, a true one ``--name``; no null, no false."""
    found: list[str] = []
    for name, value in given.items():
        if value is not None and value is not False:
            found.append(f"--{name}")
        if value is not None and not isinstance(value, bool):
            found.append(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return found


def returns(nodes: list[ast.stmt]) -> bool:
    """Whether the statements *nodes* return, but for those of functions and classes inside them."""
    waiting: list[ast.AST] = [*nodes]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Return):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
