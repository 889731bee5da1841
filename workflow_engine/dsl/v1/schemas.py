"""Lower ``schema``: written in the document, or elsewhere (dsl.md §1.2, decision A14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.dsl.needs import uri_of
from workflow_engine.dsl.policies import known_at_deployment, policy_of
from workflow_engine.dsl.schema_resources import pinned
from workflow_engine.dsl.v1 import endpoints
from workflow_engine.expressions import Schema, missing_references
from workflow_engine.values import JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

_LATE = (
    "schemas are fetched once, when a workflow is deployed, and no run changes what data is checked against"
)


def schema(lowering: WorkflowLowering, value: JsonObject, at: str) -> Schema | None:
    """The schema of *value*, which is at *at*; None where it is not known yet, or is a problem."""
    resource = value.get("resource")
    if resource is None:
        return _inline(lowering, value, at + "/document")
    at += "/resource"
    endpoint = resource.get("endpoint") if isinstance(resource, dict) else None
    address = uri_of(endpoint) or ""
    if "{" in address:
        lowering.unsupported(f"the address of a schema that only a run knows ({_LATE})", at + "/endpoint")
        return None
    if isinstance(endpoint, dict) and endpoint.get("authentication") is not None:
        endpoints.check_authentication(lowering, endpoint["authentication"], at + "/endpoint/authentication")
        if not known_at_deployment(policy_of(endpoint["authentication"], lowering.use)):
            what = f"authentication for a schema by what only a run knows ({_LATE})"
            lowering.unsupported(what, at + "/endpoint/authentication")
    if lowering.resources is None:
        return None
    return _pinned(lowering, value, address, at)


def _inline(lowering: WorkflowLowering, value: JsonObject, at: str) -> Schema | None:
    written = value.get("document")
    if not missing_references(written):
        return lowering.schema(written, at)
    return None if lowering.resources is None else _pinned(lowering, value, None, at)


def _pinned(lowering: WorkflowLowering, value: JsonObject, address: str | None, at: str) -> Schema | None:
    try:
        return pinned(value, address, lowering.resources or {})
    except ValueError as error:
        lowering.problem("invalid-schema", f"this is not a usable JSON Schema: {error}", at)
    return None
