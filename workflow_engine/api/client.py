"""The API from elsewhere: what workers and the command line ask of the engine and the router over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote

import orjson

from workflow_engine.api.certificates import Shown
from workflow_engine.api.client_schedules import SchedulesOfApi
from workflow_engine.api.client_subscriptions import SubscriptionsOfApi
from workflow_engine.api.connection import Connection
from workflow_engine.api.listing import path_of
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import ENDED, RunQuery
from workflow_engine.errors import Unavailable
from workflow_engine.events.ports import Published
from workflow_engine.values import Json, JsonObject, rfc3339

PACKAGE = "application/vnd.wfe.package+json"
"""A document with the local files that it refers to: ``{document, name?, resources?}``."""
BATCH = "application/cloudevents-batch+json"
MAX_WAIT = 60.0
"""How many seconds one request may wait for a run; this client asks again for longer waits."""
CHECK_SECONDS = 240.0  # how long the check of many runs may take


class HttpApi(SubscriptionsOfApi, SchedulesOfApi):
    """The API at *base_url*, such as ``http://127.0.0.1:8080``; use it in ``async with``, or `close` it.

    Answers are JSON as the API documents it. Errors are those of the engine in the same process:
    `InvalidDocument`, `NotFound`, `Conflict`, `Rejected` (a wrong token is one, with status 401), and
    `Unavailable`, naming the URL, when nothing answers there in time or what answers fails.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        certificates: Shown | None = None,
    ) -> None:
        self._connection = Connection(base_url, token, timeout=timeout, certificates=certificates)

    @property
    def base_url(self) -> str:
        return self._connection.base_url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the next call would open new ones."""
        await self._connection.close()

    # --- workflows ----------------------------------------------------------------------------------------

    async def deploy(
        self,
        text: str,
        *,
        name: str = "<text>",
        resources: Mapping[str, Json] | None = None,
        express: bool | None = None,
    ) -> JsonObject:
        """Deploy a document: ``{namespace, name, version, digest, dsl, warnings, schedule, created}``."""
        answer = await self._connection.request(
            "POST",
            "/v1/workflows",
            query=_present(express=_boolean(express)),
            body=_package(text, name, resources),
            content_type=PACKAGE,
            problems_of=name,
        )
        return {**answer.json(), "created": answer.status == 201}

    async def validate(
        self, text: str, *, name: str = "<text>", resources: Mapping[str, Json] | None = None
    ) -> JsonObject:
        """Everything wrong with a document: ``{valid, problems}``. Nothing is stored."""
        body = _package(text, name, resources)
        return await self._object("POST", "/v1/workflows/validate", body=body, content_type=PACKAGE)

    async def workflows(
        self, *, namespace: str | None = None, name: str | None = None, limit: int | None = None
    ) -> list[JsonObject]:
        """The latest version of every workflow, from all pages, or of the first *limit*."""
        return await self.every("workflows", limit, namespace=namespace, name=name)

    async def versions(self, namespace: str, name: str) -> list[JsonObject]:
        """Every version of a workflow, latest first."""
        return await self._pages(_path("workflows", namespace, name), "versions", None, {})

    async def delete_workflow(
        self, namespace: str, name: str, version: str | None = None, *, despite: Sequence[str] = ()
    ) -> JsonObject:
        """Delete a version of a workflow, or all: ``{namespace, name, versions, latest, runs}``. `Rejected` with every
        reason against it but those of *despite*: runs, schedule, triggers, callers.
        """
        parts = [namespace, name, *([] if version is None else [version])]
        answer = await self._connection.request(
            "DELETE",
            _path("workflows", *parts) + _repeated("despite", despite),
            seconds=CHECK_SECONDS,
        )
        return answer.json()

    async def workflow(self, namespace: str, name: str, version: str = "latest") -> JsonObject:
        """One version with its text."""
        return await self._object("GET", _path("workflows", namespace, name, version))

    async def graph(
        self, namespace: str, name: str, version: str = "latest", *, format: str = "mermaid"
    ) -> str:
        """The graph as ``mermaid``, ``dot`` or ``json`` text, or the contract: ``openapi`` or ``asyncapi``."""
        contract = format.endswith("api")
        path = _path("workflows", namespace, name, version, format if contract else "graph")
        query = {} if contract else {"format": format}
        return (await self._connection.request("GET", path, query=query)).text()

    async def bundle(self, namespace: str | None, name: str, version: str | None) -> Bundle:
        """What a run of that workflow is pinned to; without a *namespace* the name alone must be unique."""
        query = _present(namespace=namespace, name=name, version=version)
        answer = await self._connection.request("GET", "/v1/bundles", query=query)
        digest = answer.headers.get("wfe-digest")
        if digest is None:
            raise Unavailable(f"what answers at {self.base_url} is not this engine: it sent no wfe-digest")
        return Bundle(digest, answer.body)

    # --- runs ---------------------------------------------------------------------------------------------

    async def start(
        self,
        namespace: str,
        name: str,
        version: str | None,
        input: Json,
        *,
        run_id: str | None = None,
        wait: float = 0.0,
        express: bool | None = None,
    ) -> JsonObject:
        """Start a run; the `Run` as it is once it has ended, or after *wait* seconds, however many."""
        path = _path("workflows", namespace, name, version or "latest", "runs")
        query = _present(id=run_id, wait=_seconds(wait), express=_boolean(express))
        return await self._started(path, query, input, wait)

    async def run_once(
        self,
        text: str,
        input: Json,
        *,
        run_id: str | None = None,
        resources: Mapping[str, Json] | None = None,
        wait: float = 0.0,
    ) -> JsonObject:
        """Run a document without deploying it; *wait* as for `start`."""
        body: JsonObject = {"document": text, "input": input, "resources": dict(resources or {})}
        return await self._started("/v1/runs", _present(id=run_id, wait=_seconds(wait)), body, wait)

    async def _started(self, path: str, query: Mapping[str, str], body: Json, wait: float) -> JsonObject:
        deadline = asyncio.get_running_loop().time() + wait
        run = await self._object("POST", path, query=query, body=_dumps(body), seconds=min(wait, MAX_WAIT))
        left = deadline - asyncio.get_running_loop().time()
        return run if run["status"] in ENDED or left <= 0 else await self.run(str(run["id"]), wait=left)

    async def run(self, run_id: str, *, wait: float = 0.0) -> JsonObject:
        """A run as it is once it has ended, or after *wait* seconds, however many."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + wait
        while True:
            left = max(0.0, deadline - clock())
            query = _present(wait=_seconds(left))
            run = await self._object("GET", _path("runs", run_id), query=query, seconds=min(left, MAX_WAIT))
            if run["status"] in ENDED or left <= MAX_WAIT:
                return run

    async def runs(self, query: RunQuery = RunQuery()) -> JsonObject:  # noqa: B008 - frozen
        """Runs, newest first, without input and output: ``{runs, cursor}``."""
        return await self._object("GET", path_of(query))

    async def check_runs(
        self, text: str, *, name: str, resources: Mapping[str, Json] | None, limit: int, map: Sequence[str]
    ) -> JsonObject:
        """Which open runs of other versions could go on with a candidate."""
        answer = await self._connection.request(
            "POST",
            "/v1/workflows/check" + _repeated("map", map),
            query={"limit": str(limit)},
            body=_package(text, name, resources),
            content_type=PACKAGE,
            problems_of=name,
            seconds=CHECK_SECONDS,
        )
        return answer.json()

    async def migrate(self, run_id: str, version: str, *, map: Sequence[str], dry: bool) -> JsonObject:
        """Have an open run go on with another version; ``answer`` says what came of it."""
        query = _present(version=version, dry_run="true" if dry else None)
        return await self._object(
            "POST", _path("runs", run_id, "migrate") + _repeated("map", map), query=query
        )

    async def history(self, run_id: str, execution: str | None = None) -> JsonObject:
        """All that Temporal recorded of a run: ``{id, execution, previous, next, events}``."""
        return await self._object(
            "GET", _path("runs", run_id, "history"), query=_present(execution=execution)
        )

    async def control(self, run_id: str, command: str, reason: str = "") -> JsonObject:
        """Do *command* (cancel, terminate, suspend, resume) to a run; the run as it is then."""
        return await self._object(
            "POST", _path("runs", run_id, command), query=_present(reason=reason or None)
        )

    async def retry(self, run_id: str, wish: JsonObject | None = None) -> JsonObject:
        """Let a run go on that has ended: *wish* may have ``state, data, context, input, version, new_keys``."""
        return await self._object("POST", _path("runs", run_id, "retry"), body=_dumps(wish or {}))

    async def skip(self, run_id: str, wish: JsonObject | None = None) -> JsonObject:
        """Leave out the state that failed, or before which a suspended run is held: ``state, output, context``."""
        return await self._object("POST", _path("runs", run_id, "skip"), body=_dumps(wish or {}))

    async def edit(self, run_id: str, wish: JsonObject) -> JsonObject:
        """Change a suspended run: ``state, data, context``."""
        return await self._object("POST", _path("runs", run_id, "edit"), body=_dumps(wish))

    async def standing(self, run_id: str) -> list[JsonObject]:
        """The states at which a run stands, or stood: ``{id, name, failed, data, context}``."""
        return _objects(await self._object("GET", _path("runs", run_id, "standing")), "states")

    async def batch(self, wanted: JsonObject, *, id: str | None = None) -> JsonObject:
        """Do something to many runs (``POST /v1/runs/batch``): its progress, or what it would be with ``dry_run``."""
        return await self._object("POST", "/v1/runs/batch", query=_present(id=id), body=_dumps(wanted))

    async def batch_progress(self, id: str, *, offset: int = 0, limit: int = 100) -> JsonObject:
        """How far a batch is: ``{status, total, done, refused, failed, more, results}``."""
        query = {"offset": str(offset), "limit": str(limit)}
        return await self._object("GET", _path("runs", "batch", id), query=query)

    async def cancel_batch(self, id: str) -> JsonObject:
        """Let a batch end; what it has done stays done."""
        return await self._object("POST", _path("runs", "batch", id, "cancel"))

    # --- events -------------------------------------------------------------------------------------------

    async def publish(self, channel: str, events: Sequence[Json]) -> list[Published]:
        """Store events durably, in order, all or nothing."""
        answer = await self._object(
            "POST", "/v1/events", query={"channel": channel}, body=_dumps(list(events)), content_type=BATCH
        )
        return [
            Published(item["id"], item["position"], item["duplicate"])
            for item in _objects(answer, "accepted")
        ]

    async def events(
        self,
        *,
        channel: str | None = None,
        type: str | None = None,
        source: str | None = None,
        subject: str | None = None,
        id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> JsonObject:
        """Stored events, newest first: ``{events, cursor}``. Received from *since* on and before *until*."""
        query = _present(
            channel=channel,
            type=type,
            source=source,
            subject=subject,
            id=id,
            cursor=cursor,
            limit=None if limit is None else str(limit),
        )
        if since is not None:
            query["from"] = rfc3339(since)
        if until is not None:
            query["to"] = rfc3339(until)
        return await self._object("GET", "/v1/events", query=query)

    async def trace(self, event_id: str, *, channel: str | None = None) -> list[JsonObject]:
        """What became of every event with that id, newest first: ``{event, state, recipients, …}``."""
        path = _path("events", event_id, "trace")
        return _objects(await self._object("GET", path, query=_present(channel=channel)), "traces")

    async def channels(self, *, limit: int | None = None) -> list[JsonObject]:
        """Every channel, with how far it goes."""
        return await self.every("channels", limit)

    async def channel(self, name: str) -> JsonObject:
        """A channel, with where it is kept, who hears it, and which sources feed it."""
        return await self._object("GET", _path("channels", name))

    async def redrive(self, position: str) -> None:
        """Deliver the dead letter at *position* of its channel again."""
        await self._connection.request("POST", _path("dead-letters", position, "redrive"))

    async def redrive_all(self, subscription: str | None = None) -> int:
        """Deliver those again that were not yet, or those of one subscription; how many."""
        path, whose = _path("dead-letters", "redrive"), _present(subscription=subscription)
        answer = await self._connection.request("POST", path, query=whose)
        return int(answer.json()["redriven"])  # type: ignore[arg-type]

    # --- for workers --------------------------------------------------------------------------------------

    async def listen(
        self, run_id: str, listen_id: str, spec: JsonObject, *, since: datetime, channel: str = "default"
    ) -> None:
        """Deliver to the run what matches *spec*, from *since* on; again is harmless."""
        whose: JsonObject = {"run_id": run_id, "listen_id": listen_id, "channel": channel}
        body: JsonObject = {**whose, "spec": spec, "since": since.isoformat()}
        await self._connection.request("PUT", "/v1/listeners", body=_dumps(body))

    async def unlisten(self, run_id: str, listen_id: str, *, used: int | None = None) -> None:
        """Deliver no more to this listener; events with ``seq >= used`` are free for others of the run."""
        query = _present(listen_id=listen_id, used=None if used is None else str(used))
        await self._connection.request("DELETE", _path("listeners", run_id), query=query)

    async def forget_run(self, run_id: str, *, keep: bool = False) -> None:
        """The run has ended; nothing of it needs to be remembered, but which events it took if *keep*."""
        query = _present(keep="true" if keep else None)
        await self._connection.request("DELETE", _path("listeners", run_id), query=query)

    async def repair_listeners(self) -> JsonObject:
        """Ask open runs what they listen for, and have the router know it: ``{runs, listeners, registered, …}``."""
        return await self._object("POST", "/v1/listeners/repair")

    async def ready(self) -> JsonObject:
        """Which parts of the system work; `Unavailable` unless all do."""
        return await self._object("GET", "/readyz")

    async def _object(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        seconds: float = 0.0,
    ) -> JsonObject:
        answer = await self._connection.request(
            method, path, query=query, body=body, content_type=content_type, seconds=seconds
        )
        return answer.json()


def _path(*parts: str) -> str:
    return "/v1/" + "/".join(quote(part, safe=":@+~") for part in parts)


def _repeated(name: str, values: Sequence[str]) -> str:
    return "?" + "&".join(f"{name}={quote(value, safe='')}" for value in values) if values else ""


def _present(**parameters: str | None) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value is not None}


def _boolean(value: bool | None) -> str | None:
    return None if value is None else str(value).lower()


def _seconds(wait: float) -> str | None:
    return f"{min(wait, MAX_WAIT):.3f}" if wait > 0 else None


def _package(text: str, name: str, resources: Mapping[str, Json] | None) -> bytes:
    return _dumps({"document": text, "name": name, "resources": dict(resources or {})})


def _dumps(value: Json) -> bytes:
    return orjson.dumps(value)


def _objects(answer: JsonObject, name: str) -> list[Any]:
    items = answer.get(name)
    return items if isinstance(items, list) else []
