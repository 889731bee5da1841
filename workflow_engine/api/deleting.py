"""Deleting workflows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.grants import granted
from workflow_engine.api.parameters import Name, Namespace, Version
from workflow_engine.api.rights import hears
from workflow_engine.api.strict import StrictRoute
from workflow_engine.api.wire import DeletedModel
from workflow_engine.engine.deleting import Deleted, Deleting, Seen
from workflow_engine.engine.engine import Engine
from workflow_engine.errors import Rejected

_log = logging.getLogger(__name__)

Despite = Annotated[
    list[Literal["runs", "schedule", "triggers", "callers"]] | None,
    Query(description="What shall not keep it from being deleted; as often as needed"),
]


def create_routes(engine: Engine) -> APIRouter:
    """The routes under ``/v1/workflows`` that delete."""
    routes = APIRouter(prefix="/v1/workflows", tags=["workflows"], route_class=StrictRoute)

    async def delete(
        namespace: str, name: str, version: str | None, despite: Sequence[str] | None
    ) -> Deleted:
        grant = granted()
        seen = Seen(grant.sees, lambda each: hears(grant, each.channel, each.target), grant.allowed)
        deleted = await Deleting(engine).delete(namespace, name, version, despite=despite or (), seen=seen)
        for each in deleted.versions:
            _log.warning("deleted %s (digest %s); who asked: %s", each.workflow, each.digest, grant)
        return deleted

    @routes.delete("/{namespace}/{name}", response_model=DeletedModel)
    async def delete_workflow(namespace: Namespace, name: Name, despite: Despite = None) -> Response:
        """Delete all versions of a workflow.

        Refused with 409 `workflow-in-use` while `runs` of it are in flight, its `schedule` or `triggers` (subscriptions
        that are not paused) start it, or other workflows are its `callers`, unless it is said that it shall be deleted
        `despite` that: runs go on to their ends, for each has with it what it runs; nothing starts it any more; events
        that waited to are let go; and those who call it fault there. A version that is deployed again must be what it
        was.
        """
        return JsonAnswer((await delete(namespace, name, None, despite)).to_json())

    @routes.delete("/{namespace}/{name}/{version}", response_model=DeletedModel)
    async def delete_version(
        namespace: Namespace, name: Name, version: Version, despite: Despite = None
    ) -> Response:
        """Delete one version of a workflow, which must be named; refused as deleting all of it is.

        Where it was the latest, the highest of the others is the latest then, and its events and its schedule start it.
        """
        if version == "latest":
            raise Rejected("version-missing", "say which version is to be deleted, by its number")
        return JsonAnswer((await delete(namespace, name, version, despite)).to_json())

    return routes
