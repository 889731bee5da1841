"""Where a call goes: its address, which may be a URI template, and who it says that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.dsl import bounds, uri_templates
from workflow_engine.dsl.policies import known_at_deployment, policy_of
from workflow_engine.dsl.v1 import secrets
from workflow_engine.dsl.v1.scope import Task
from workflow_engine.values import Json, JsonObject, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering


def expand(lowering: WorkflowLowering, given: JsonObject, address: Json, at: str) -> None:
    """Give a call what the URI template *address* reads (decision A63), and report what is wrong with it."""
    for code, message in uri_templates.problems(address):
        lowering.problem(code, message, at)
    bounds.check_address(lowering, address, at)
    given.update(uri_templates.arguments(address))


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


def check_fetching(lowering: WorkflowLowering, endpoint: Json, at: str, what: str) -> None:
    """Find what is wrong with the authentication of *endpoint*, from which *what* is fetched at deployment."""
    written = endpoint.get("authentication") if isinstance(endpoint, dict) else None
    if written is not None:
        at += "/authentication"
        check_authentication(lowering, written, at)
        if not known_at_deployment(policy_of(written, lowering.use)):
            why = f"({what} is fetched when the workflow is deployed: secrets are there then, the data of a run is not)"
            lowering.unsupported(f"authentication by the data of a run {why}", at)


def check_policy(lowering: WorkflowLowering, policy: Json, at: str) -> None:
    """Refuse what no call can do by itself, and secrets that are not declared."""
    secrets.check(lowering, policy, at)
    for scheme, details in (policy if isinstance(policy, dict) else {}).items():
        if not isinstance(details, dict):
            continue
        if "use" in details:
            secrets.declared(lowering, str(details["use"]), at + pointer(scheme, "use"))
        if details.get("grant") == "authorization_code":
            message = (
                "`authorization_code` needs a code that a person gets by signing in, and the specification has no "
                "property for one; use another grant, such as `client_credentials`"
            )
            lowering.problem("unsupported-authentication", message, at + pointer(scheme, "grant"))
        for code, message in uri_templates.problems(details.get("authority")):
            lowering.problem(code, message, at + pointer(scheme, "authority"))
        _check_parties(lowering, details, at + pointer(scheme))


def _check_parties(lowering: WorkflowLowering, details: JsonObject, at: str) -> None:
    """``subject`` and ``actor`` are parameters of token exchange; the token to refresh is the subject's too."""
    grant = details.get("grant")
    if not isinstance(grant, str) or grant.endswith(":token-exchange") or "${" in grant:
        return
    for name in ("subject", "actor"):
        if name in details and not (name == "subject" and grant == "refresh_token"):
            message = f"`{name}` has a meaning only with a grant that exchanges tokens, not with `{grant}`"
            lowering.problem("misplaced-property", message, f"{at}/{name}")
