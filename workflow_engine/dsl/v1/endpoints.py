"""Where a call goes: its address, which may be a URI template, and who it says that it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflow_engine.dsl.policies import policy_of
from workflow_engine.dsl.v1 import secrets
from workflow_engine.dsl.v1.scope import Task
from workflow_engine.expressions.lexer import closing_brace
from workflow_engine.values import Json, JsonObject, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

_URI_EXPRESSION = re.compile(r"\{([^{}]*)\}")
_NOT_SIMPLE = re.compile(r"[+#./;?&=,!@|].*|.*(\*|:\d+)|")


def expand(lowering: WorkflowLowering, given: JsonObject, address: Json, at: str) -> None:
    """Give a call what the URI template *address* reads: members of the top level of its input (A63).

    What the template cannot be expanded with is a problem now: it would be sent as it is written. An address
    that is an expression is no template.
    """
    if not isinstance(address, str):
        return
    literal = "".join(_literals(address))
    if "{" not in literal and "}" not in literal:
        return
    if literal != address:
        message = "an address with both `{name}` and `${ }` in it; write all of it as one `${ }`"
        lowering.unsupported(message, at)
        return
    names: dict[str, None] = {}
    for expression in _URI_EXPRESSION.findall(address):
        if _NOT_SIMPLE.fullmatch(expression.strip()):
            what = f"`{{{expression}}}` in a URI template (only the simple form is, `{{name}}`)"
            lowering.unsupported(what, at)
        names |= dict.fromkeys(name.strip() for name in expression.split(","))
    rest = _URI_EXPRESSION.sub("", address)
    if "{" in rest or "}" in rest:
        lowering.problem("invalid-value", "a brace of the URI template has no counterpart", at)
    given["$uri_variables"] = {name: f"${{ .[{json.dumps(name)}]? }}" for name in names}


def _literals(text: str) -> Iterator[str]:
    """What is outside of every ``${ }`` in *text*."""
    at = 0
    while (start := text.find("${", at)) >= 0:
        end = closing_brace(text, start + 2)
        if end is None:
            break
        yield text[at:start]
        at = end + 1
    yield text[at:]


def authenticate(lowering: WorkflowLowering, task: Task, holder: JsonObject, path: tuple[str, ...]) -> None:
    """Put the policy in the place of its name."""
    written: Json = holder.get("authentication")
    if written is not None:
        check_authentication(lowering, written, task.at(*path, "authentication"))
        holder["authentication"] = policy_of(written, lowering.use)


def check_authentication(lowering: WorkflowLowering, written: Json, at: str) -> None:
    """Find what is wrong with an ``authentication``: a policy, or the name of one."""
    name = written.get("use") if isinstance(written, dict) else written
    if not isinstance(name, str):
        check_policy(lowering, written, at)
        return
    known = lowering.used("authentications")
    if name not in known:
        lowering.unknown("unknown-authentication", "authentication", name, known, at)


def check_policy(lowering: WorkflowLowering, policy: Json, at: str) -> None:
    """Refuse what no call can do by itself, and secrets that are not declared."""
    secrets.check(lowering, policy, at)
    for scheme, details in (policy if isinstance(policy, dict) else {}).items():
        if not isinstance(details, dict):
            continue
        if "use" in details:
            secrets.declared(lowering, str(details["use"]), at + pointer(scheme, "use"))
        if details.get("grant") == "authorization_code":
            what = "`authorization_code` (nobody is there to sign in when a workflow calls)"
            lowering.unsupported(what, at + pointer(scheme, "grant"))
        authority = details.get("authority")
        if isinstance(authority, str) and "{" in "".join(_literals(authority)):
            lowering.unsupported("an authority with `{name}` in it", at + pointer(scheme, "authority"))
