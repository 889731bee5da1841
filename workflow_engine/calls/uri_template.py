"""URI templates: the simple expansion of RFC 6570, which is all that the DSL has."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject

_EXPRESSION = re.compile(r"\{([^{}]*)\}")
_OPERATORS = "+#./;?&=,!@|"


def expand(template: str, variables: Json) -> str:
    """Replace each ``{name}`` of *template* by the top-level property *name* of *variables* (decision A63).

    Names are taken verbatim: ``{a.b}`` is the property ``a.b``. A missing or null property gives the empty
    string, as does every name where *variables* is not an object. Everything outside RFC 3986's unreserved
    set is percent-encoded, in the path as in the query. ``{a,b}`` joins what is there with commas.

    An object or array is an expression fault (specification 1.0, URI template), and so is a variable that
    would climb in the path (``..``). The other operators of RFC 6570, such as ``{+name}`` or ``{name*}``,
    are a configuration fault.
    """

    def replace(match: re.Match[str]) -> str:
        expression = match[1].strip()
        if not expression or expression[0] in _OPERATORS or re.search(r"\*$|:\d+$", expression):
            raise fault(
                "configuration",
                f"{match[0]!r} in the URI template {template[:200]!r}: only simple expansion, {{name}}, "
                "is supported",
            )
        if isinstance(variables, dict) and expression in variables:
            return _scalar(expression, variables[expression]) or ""
        parts = [_variable(name.strip(), variables) for name in expression.split(",")]
        return ",".join(part for part in parts if part is not None)

    literal = _EXPRESSION.sub("", template)
    if "{" in literal or "}" in literal:
        raise fault("configuration", f"the URI template {template[:200]!r} has an unbalanced brace")
    expanded = _EXPRESSION.sub(replace, template)
    if _dot_segments(expanded) > _dot_segments(template):
        raise fault("expression", f"a variable makes a '.' or '..' segment in the path of {template[:200]!r}")
    return expanded


def address(uri: str, arguments: JsonObject) -> str:
    """The address that *uri* is with what a call was given to expand it: nothing where it is no template.

    ``$uri_parts`` are templates and, in turn, what expressions gave, which is put in as it is: text, or JSON (A2).
    """
    variables, parts = arguments.get("$uri_variables"), arguments.get("$uri_parts")
    if not isinstance(parts, list):
        return expand(uri, variables) if "$uri_variables" in arguments else uri
    given = [part if isinstance(part, str) else _json(part) for part in parts]
    expanded = "".join(part if number % 2 else expand(part, variables) for number, part in enumerate(given))
    if _dot_segments(expanded) > _dot_segments("".join(given)):
        raise fault("expression", f"a variable makes a '.' or '..' segment in the path of {expanded[:200]!r}")
    return expanded


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _dot_segments(uri: str) -> int:
    path = re.split(r"[?#]", uri, maxsplit=1)[0]
    return sum(segment in (".", "..") for segment in path.split("/"))


def scalar_text(value: Json) -> str:
    """A scalar as URLs and headers spell it: ``true``, ``3``, ``2.5``; null is the empty string."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _variable(name: str, variables: Json) -> str | None:
    return _scalar(name, variables[name]) if isinstance(variables, dict) and name in variables else None


def _scalar(name: str, value: Json) -> str | None:
    if isinstance(value, dict | list):
        kind = "an object" if isinstance(value, dict) else "an array"
        raise fault("expression", f"the URI template variable {name!r} is {kind}; it must be a scalar")
    return None if value is None else quote(scalar_text(value), safe="~")
