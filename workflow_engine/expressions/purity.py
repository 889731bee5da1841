"""What an expression may not do: depend on anything but its input and its variables, or act on the world.

A run is replayed from its history, so an expression must give the same answer each time and on each worker.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

_PROCESS = "it would show the worker's environment, with its secrets"
_STREAM = "an expression has one input, its `.`; there is no stream to read"
_EFFECT = "an expression must not act on the world outside it"
_ZONE = "its answer depends on the time zone of the worker; use gmtime, strftime or todate (UTC)"
_MODULES = "an expression must not read files of the worker"
_BESSEL = "Bessel functions are not provided"
_STOP = "an expression must not stop the worker; use error(...)"

REFUSED: dict[str, str] = {
    "env": _PROCESS,
    "$ENV": _PROCESS,
    "$__loc__": "an expression has no file; put what you need into the text",
    "$__prog_args": "an expression has no command line",
    "input": _STREAM,
    "inputs": _STREAM,
    "input_line_number": _STREAM,
    "input_filename": _STREAM,
    "debug": _EFFECT,
    "stderr": _EFFECT,
    "halt": _STOP,
    "halt_error": _STOP,
    "localtime": _ZONE,
    "strflocaltime": _ZONE,
    "import": _MODULES,
    "include": _MODULES,
    "module": _MODULES,
    "modulemeta": _MODULES,
    "get_search_list": _MODULES,
    "get_prog_origin": _MODULES,
    "get_jq_origin": _MODULES,
    "getjq_origin": _MODULES,
    "input_line": _STREAM,
    "builtins": "it lists what this version of the engine has, so an upgrade would change its answer",
    "$JQ_BUILD_CONFIGURATION": "it tells how the engine was built, so an upgrade would change its answer",
    "j0": _BESSEL,
    "j1": _BESSEL,
    "jn": _BESSEL,
    "y0": _BESSEL,
    "y1": _BESSEL,
    "yn": _BESSEL,
    "$__prog_name": "an expression has no command line",
}
"""Words of jq that are refused, with the reason; a variable is written with its ``$``."""


def unknown_variable(name: str, known: Collection[str]) -> str:
    """The message for a variable that is not there, with the nearest that is."""
    near = difflib.get_close_matches(name, sorted(known), 1)
    if near:
        return f"there is no variable ${name} here; did you mean ${near[0]}?"
    listed = ", ".join(f"${other}" for other in sorted(known)) or "none"
    return f"there is no variable ${name} here (there are: {listed})"
