"""Run code as the body of a function: ``function.py CODE ARGUMENTS RESULT``, three files.

ARGUMENTS is a JSON object whose members are the function's arguments; what it returns is written to RESULT as JSON.
"""

from __future__ import annotations

import ast
import json
import sys
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
    text = json.dumps(names["script"](**given), ensure_ascii=False, allow_nan=False)
    Path(result).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
