"""Run code as the body of a function: ``function.py CODE ARGUMENTS RESULT``, three files.

ARGUMENTS is a JSON object whose members are the function's arguments; what it returns is written to RESULT as JSON.
"""

from __future__ import annotations

import ast
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
    try:
        value = names["script"](**given)
    except Exception as error:  # noqa: BLE001 - told as it would be without us
        frames = error.__traceback__
        traceback.print_exception(error.with_traceback(frames and frames.tb_next))
        sys.exit(1)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    Path(result).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
