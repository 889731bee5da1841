"""What SonataFlow added to DSL 0.8, but for its functions: the variable ``$WORKFLOW``, and texts as expressions."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from workflow_engine import expressions
from workflow_engine.dsl.v0_8 import custom
from workflow_engine.dsl.v0_8.variables import mentions
from workflow_engine.expressions import ExpressionError, jsonpath, members
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.expression_slots import ExpressionLowering

CODE = "earlier-form"
MEMBERS = frozenset({"instanceId", "id", "name", "version", "prevActionResult", "statusCode", "input"})
"""What ``$WORKFLOW`` has here; its other members are of a request that started a run, or of a Java process."""
PATH = re.compile(r"\s*(?:\$[A-Za-z_]\w*)?(?:\.[A-Za-z_]\w*)+\s*")
"""A path of jq."""
_OLD = re.compile(r"\s*\{\{(.*)\}\}\s*", re.DOTALL)
_MEANT = re.compile(r"\s*(?:[.$\"(\[{]|if\b|not\b)", re.DOTALL)
"""How a text begins that is an expression, and no word that jq happens to have as a function."""
_VARIABLE = re.compile(r"no variable \$([A-Za-z_]\w*)")
_MOST = 10


def is_sonataflow(data: JsonObject, *, mentioned: bool) -> bool:
    """Whether the author of *data* wrote for SonataFlow: a text of an argument that is an expression is meant as one.

    So has a document without ``specVersion``, which the specification requires and SonataFlow does not; one with a
    function in a form that SonataFlow alone has; and one with its variable ``$WORKFLOW``, which is in it only if it is
    *mentioned* somewhere.
    """
    if "specVersion" not in data:
        return True
    functions = data.get("functions")
    for function in functions if isinstance(functions, list) else []:
        known: JsonObject = function if isinstance(function, dict) else {}
        if known.get("type") == "custom" and custom.is_sonataflow(str(known.get("operation", ""))):
            return True
    return mentioned and mentions(data, "$WORKFLOW")


def check_members(lowering: ExpressionLowering, value: Json, at: str) -> None:
    """Warn of ``$WORKFLOW`` in *value*, and refuse what it has not here."""
    try:
        used = list(members(value, {"WORKFLOW"}, at))
    except ExpressionError:
        return  # whoever compiles it says what is wrong
    for place, name in used:
        if name in MEMBERS:
            message = f"there is no $WORKFLOW in DSL 0.8; `$WORKFLOW.{name}` is read as SonataFlow has it"
            lowering.warning(CODE, message, place)
        else:
            listed = ", ".join(f"`{known}`" for known in sorted(MEMBERS))
            what = (
                "`$WORKFLOW` without the name of a member after it" if name is None else f"`$WORKFLOW.{name}`"
            )
            lowering.unsupported(f"{what} of SonataFlow (of its members there are {listed})", place)


def understood(lowering: ExpressionLowering, program: str, known: Collection[str], at: str) -> str:
    r"""*program* as jq, where it is none but SonataFlow takes it: else as it is.

    A text amid which stands ``\(…)`` is a text of jq without its quotes. A variable that nothing binds is the member
    of that name: there each variable of a run is one, and the element of a loop is a variable of its sub-workflows.
    """
    for _ in range(_MOST):
        try:
            expressions.compile(program, variables=known)
        except ExpressionError as error:
            there = at.startswith("/functions/") or lowering.for_sonataflow
            missing = _VARIABLE.search(error.message) if there else None
            if missing is not None:
                name = missing[1]
                message = f"nothing binds `${name}` here; it is read as the member `.{name}` of the data"
                lowering.warning(CODE, message, at)
                program = f".{name} as ${name} | {program}"
                continue
            quoted = _quoted(program, known)
            if quoted is not None:
                message = (
                    'a text with `\\(…)` in it stands in double quotes: `"Hello, \\(.name)"`; it is read so'
                )
                lowering.warning(CODE, message, at)
                return quoted
        return program
    return program


def old_style(lowering: ExpressionLowering, text: Json, at: str) -> str | None:
    """What stands in *text* between ``{{`` and ``}}``; None for anything else."""
    found = _OLD.fullmatch(text) if isinstance(text, str) and "{{" in text else None
    if found is None:
        return None
    message = "an expression stands in `${ }`; `{{ }}` is of the DSL before 0.6, and read as one"
    lowering.warning(CODE, message, at)
    return found[1].strip()


def argument(lowering: ExpressionLowering, text: str, known: Collection[str], at: str) -> str:
    """*text* of an argument, in ``${ }`` where SonataFlow takes it as an expression."""
    if "${" in text or not _MEANT.match(text):
        return text
    if lowering.jsonpath:
        meant = jsonpath.marked(text)
    else:
        try:
            expressions.compile(text, variables=known)
        except ExpressionError:
            return text
        meant = f"${{ {text.strip()} }}"
        if PATH.fullmatch(text) is None:  # what fails is the text itself there, which of a path nobody means
            meant = f"${{ (try [{text}\n] catch [{json.dumps(text)}])[] }}"
    if meant != text:
        shown = text if len(text) <= 60 else text[:59] + "…"
        message = (
            f"in a value an expression stands in `${{ }}`; `{shown}` is read as one, as SonataFlow takes it"
        )
        lowering.warning(CODE, message, at)
    return meant


def _quoted(program: str, known: Collection[str]) -> str | None:
    text = program.strip()
    if "\\(" not in text or text.startswith('"'):
        return None
    quoted = f'"{text}"'
    try:
        expressions.compile(quoted, variables=known)
    except ExpressionError:
        return None
    return quoted
