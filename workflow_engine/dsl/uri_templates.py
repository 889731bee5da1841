"""URI templates as authors write them: what in an address is a variable, what an expression, and what is wrong.

DSL 1.0 has the simple expansion of RFC 6570 alone (specification 1.0, URI Template): ``{name}``, and ``{a,b}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from workflow_engine.expressions.lexer import closing_brace
from workflow_engine.values import Json, JsonObject

_VARIABLE = re.compile(r"\{([^{}]*)\}")
_NOT_SIMPLE = re.compile(r"[+#./;?&=,!@|].*|.*(\*|:\d+)|")


def arguments(address: Json) -> JsonObject:
    """What a call is given besides *address* where that is a template: nothing where it is none.

    ``$uri_variables`` are the members of the top level of the task's input that it reads (decision A63). An address
    that has expressions too is in ``$uri_parts``: text that is a template, and, in turn, what an expression gives,
    which is put in as it is (decision A2).
    """
    found = parts(address) if isinstance(address, str) else []
    names = [name for text in found[::2] for name in _names(text)]
    if not names:
        return {}
    variables: JsonObject = {name: f"${{ .[{json.dumps(name)}]? }}" for name in dict.fromkeys(names)}
    if len(found) == 1:
        return {"$uri_variables": variables}
    return {"$uri_variables": variables, "$uri_parts": [*found]}


def problems(address: Json) -> Iterator[tuple[str, str]]:
    """What the template *address* cannot be expanded with, each a code and a message: it would be sent as written."""
    for text in parts(address)[::2] if isinstance(address, str) else []:
        for found in _VARIABLE.findall(text):
            if _NOT_SIMPLE.fullmatch(found.strip()):
                message = (
                    f"`{{{found}}}` is not the simple expansion of RFC 6570, `{{name}}`, which is all that the "
                    "specification has (URI Template); build the address with one `${ }`"
                )
                yield "invalid-uri-template", message
        rest = _VARIABLE.sub("", text)
        if "{" in rest or "}" in rest:
            yield "invalid-value", "a brace of the URI template has no counterpart"


def _names(text: str) -> list[str]:
    return [name.strip() for found in _VARIABLE.findall(text) for name in found.split(",")]


def parts(text: str) -> list[str]:
    """What is outside of every ``${ }`` in *text*, and in turn each ``${ }``: one part where there is none."""
    found, at = [], 0
    while (start := text.find("${", at)) >= 0:
        end = closing_brace(text, start + 2)
        if end is None:
            break
        found += [text[at:start], text[start : end + 1]]
        at = end + 1
    return [*found, text[at:]]
