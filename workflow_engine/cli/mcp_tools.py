"""The tools of ``wfe mcp``: what each is called, takes and does."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_engine import dsl
from workflow_engine.engine.names import narrowed
from workflow_engine.engine.runtime import RunQuery
from workflow_engine.errors import Conflict, InvalidDocument, NotFound, Rejected, Unavailable
from workflow_engine.graph.embedding import embedded
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi

WAIT = 45.0
"""How long a tool waits for a run, in seconds, before it says that the run goes on: less than assistants wait."""
MAX_NAME = 64
MAX_DESCRIPTION = 1000
"""How many characters a workflow says of itself: more would push what else an assistant knows aside."""
MAX_TEXT = 200_000
"""How many characters of a result an assistant gets: it has room for no more."""
_ARGUMENT = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_TEXT: JsonObject = {"type": "string"}
_COMMANDS = ("suspend", "resume", "cancel", "terminate", "retry")

Do = Callable[[Any], Awaitable[Json]]


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: *takes* are the schemas of its arguments by name, those that are *needed* first. *acts*: it starts or
    changes something; *server*: it needs the API.
    """

    name: str
    description: str
    do: Do
    takes: JsonObject
    needed: tuple[str, ...] = ()
    acts: bool = False
    server: bool = True

    def to_json(self) -> JsonObject:
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": {
                "type": "object",
                "properties": self.takes,
                "required": [*self.needed],
                "additionalProperties": False,
            },
            "annotations": {"readOnlyHint": not self.acts, "openWorldHint": self.acts},
        }


class Tools:
    """All tools: those that are always there, and one for each workflow that is deployed when they are asked for."""

    def __init__(self, api: HttpApi, *, acts: bool, deploys: bool) -> None:
        self._api, self._acts = api, acts
        self._tools = {tool.name: tool for tool in self._all() if (acts or not tool.acts)}
        if not deploys:
            self._tools.pop("deploy_workflow", None)

    async def listed(self) -> list[JsonObject]:
        """Every tool, as the protocol describes them; without a server those that need none, and with a token that it
        does not take, those that are always there, which tell so.
        """
        found: list[JsonObject] = []
        try:
            for name, workflow in (await self._workflows()).items():
                if self._acts:
                    found.append(_described(name, await self._text(workflow))[0])
        except Unavailable:
            return [tool.to_json() for tool in self._tools.values() if not tool.server]
        except Rejected:
            found = []
        return [*found, *(tool.to_json() for tool in self._tools.values())]

    async def call(self, name: str, arguments: JsonObject) -> JsonObject:
        """The result of a tool; what goes wrong in it is told to the assistant, which may do better.

        `LookupError` when there is no such tool.
        """
        try:
            tool = self._tools.get(name)
            if tool is not None:
                _check(tool, arguments)
                return _content(await tool.do(arguments))
            workflow = (await self._workflows()).get(name) if self._acts else None
            if workflow is not None:
                return _of_run(await self._run(await self._text(workflow), arguments))
        except InvalidDocument as error:
            return _content({"problems": [problem.to_json() for problem in error.problems]}, error=True)
        except (Rejected, NotFound, Conflict, Unavailable) as error:
            return _content({"error": str(error)}, error=True)
        raise LookupError(f"there is no tool {name[:100]!r}")

    async def _workflows(self) -> dict[str, JsonObject]:
        """Those that are deployed, by the names of their tools."""
        found: dict[str, JsonObject] = {}
        for each in await self._api.workflows():
            name, number = tool_name(str(each["namespace"]), str(each["name"])), 1
            unique = name
            while unique in found:
                number += 1
                unique = f"{name[: MAX_NAME - 4]}_{number}"
            found[unique] = each
        return found

    async def _text(self, workflow: JsonObject) -> JsonObject:
        return await self._api.workflow(str(workflow["namespace"]), str(workflow["name"]))

    async def _run(self, workflow: JsonObject, arguments: JsonObject) -> JsonObject:
        _, wrapped = _described("", workflow)
        input: Json = arguments.get("input") if wrapped else arguments
        return await self._api.start(
            str(workflow["namespace"]), str(workflow["name"]), str(workflow["version"]), input, wait=WAIT
        )

    def _all(self) -> Iterator[Tool]:
        api = self._api
        run: JsonObject = {"id": {**_TEXT, "description": "id of a run"}}
        document: JsonObject = {
            "workflow": {**_TEXT, "description": "the document, YAML or JSON, DSL 1.0 or 0.8"}
        }

        async def workflows(given: Any) -> Json:
            limit, cursor = given.get("limit", 100), given.get("cursor")
            return await api.page("workflows", limit=limit, cursor=cursor, namespace=given.get("namespace"))

        async def source(given: Any) -> Json:
            return await api.workflow(given["namespace"], given["name"], given.get("version", "latest"))

        async def list_runs(given: Any) -> Json:
            namespace, name, version = narrowed(given.get("namespace"), given.get("name"), None)
            status, limit, cursor = given.get("status"), given.get("limit", 20), given.get("cursor")
            return await api.runs(RunQuery(namespace, name, version, status, limit, cursor))

        async def show(given: Any) -> Json:
            return await api.run(given["id"], wait=min(float(given.get("wait", 0)), WAIT))

        async def control(given: Any) -> Json:
            if given["command"] == "retry":
                return await api.retry(given["id"])
            return await api.control(given["id"], given["command"], given.get("reason", ""))

        async def publish(given: Any) -> Json:
            accepted = await api.publish(given.get("channel", "default"), [given["event"]])
            return [each.to_json() for each in accepted]

        async def trace(given: Any) -> Json:
            return [*await api.trace(given["id"])]

        async def deploy(given: Any) -> Json:
            return await api.deploy(given["workflow"])

        pages: JsonObject = {
            "limit": {"type": "integer", "minimum": 1, "maximum": 100},
            "cursor": {**_TEXT, "description": "of the page before, for the next one"},
        }
        about = "Every workflow that is deployed, with its latest version; a page, and the cursor of the next one."
        yield Tool("list_workflows", about, workflows, {"namespace": _TEXT, **pages})
        names: JsonObject = {"namespace": _TEXT, "name": _TEXT, "version": _TEXT}
        yield Tool("show_workflow", "The text of a deployed workflow.", source, names, ("namespace", "name"))
        listing: JsonObject = {
            "name": {
                **_TEXT,
                "description": "of the workflow: name, namespace/name or namespace/name:version",
            },
            "namespace": _TEXT,
            "status": {
                "enum": ["pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed"]
            },
            **pages,
        }
        about = "Runs, newest first; a page, and the cursor of the next one."
        yield Tool("list_runs", about, list_runs, listing)
        wait: JsonObject = {
            "wait": {"type": "number", "description": f"seconds to wait for its end, {WAIT:g} at most"}
        }
        about = "Where a run is: its states, what it waits for, its output or error."
        yield Tool("show_run", about, show, {**run, **wait}, ("id",))
        commands: JsonObject = {**run, "command": {"enum": [*_COMMANDS]}, "reason": _TEXT}
        about = "Suspend, resume, cancel or terminate a run; or retry one that faulted, from where it failed."
        yield Tool("control_run", about, control, commands, ("id", "command"), acts=True)
        events: JsonObject = {
            "event": {
                "type": "object",
                "description": "a CloudEvent 1.0: specversion, id, source, type, data",
            },
            "channel": _TEXT,
        }
        yield Tool(
            "publish_event",
            "Publish an event, which may start or feed runs.",
            publish,
            events,
            ("event",),
            acts=True,
        )
        traced: JsonObject = {"id": {**_TEXT, "description": "id of an event"}}
        yield Tool("trace_event", "What became of an event.", trace, traced, ("id",))
        yield Tool("deploy_workflow", "Deploy a document.", deploy, document, ("workflow",), acts=True)
        about = (
            "Everything wrong or doubtful about a document, with line and column. Nothing is deployed or run."
        )
        yield Tool("validate_workflow", about, _validate, document, ("workflow",), server=False)
        code: JsonObject = {"code": {**_TEXT, "description": "of a problem"}}
        yield Tool(
            "explain_problem", "What the code of a problem means.", _explain, code, ("code",), server=False
        )
        yield Tool(
            "draw_workflow",
            "A document as a Mermaid flow chart.",
            _draw,
            document,
            ("workflow",),
            server=False,
        )
        scenarios: JsonObject = {
            **document,
            "scenarios": {
                "type": "array",
                "items": {"type": "object"},
                "description": "[{name, input, events: [{event, after}], calls: {state: {output | error | never, "
                "takes}}, expect: {output, error, status, states, visits, avoids, calls, events, holds, within, "
                "notBefore}}]",
            },
        }
        about = (
            "Run scenarios of a document on a virtual clock, with answers in the place of calls; nothing is called. "
            "Documents that it refers to are fetched from the public web alone."
        )
        yield Tool("test_workflow", about, _test, scenarios, ("workflow", "scenarios"), server=False)


def _check(tool: Tool, arguments: JsonObject) -> None:
    for name in tool.needed:
        if name not in arguments:
            raise Rejected("argument-missing", f"{name} is required")
    for name, value in arguments.items():
        schema = tool.takes.get(name)
        if not isinstance(schema, dict):
            raise Rejected("argument-unknown", f"{name} is none of {', '.join(tool.takes)}")
        if "enum" in schema and value not in schema["enum"]:  # type: ignore[operator]
            raise Rejected("argument-invalid", f"{name} is none of {', '.join(map(str, schema['enum']))}")  # type: ignore[arg-type]
        expected = {"string": str, "object": dict, "array": list, "integer": int, "number": int | float}
        kind = expected.get(str(schema.get("type")))
        if kind is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise Rejected("argument-invalid", f"{name} must be of type {schema['type']}")


def tool_name(namespace: str, name: str) -> str:
    """What the tool is called that runs a workflow. It is the same whatever else is deployed, for whoever allows an
    assistant to use it means that workflow: names that have other signs, or too many, end in a digest.
    """
    whole = f"run_{namespace}_{name}"
    made = re.sub("[^a-zA-Z0-9_-]+", "-", whole)
    if made == whole and len(made) <= MAX_NAME:
        return made
    digest = hashlib.sha256(f"{namespace}/{name}".encode()).hexdigest()[:8]
    return f"{made[: MAX_NAME - 9]}-{digest}"


def _described(name: str, workflow: JsonObject) -> tuple[JsonObject, bool]:
    """The tool *name* that runs *workflow*, with its title, its summary and the schema of its input; and whether the
    input is one argument, ``input``, for the schema is none that models take for all arguments.
    """
    document, schema = _document(str(workflow["text"])), None
    with suppress(KeyError, TypeError):
        schema = document.data["input"]["schema"]["document"] if document else None  # type: ignore[index,call-overload]
    about: Any = (document.data.get("document") if document and document.dialect == "1.0" else None) or {}
    if document and document.dialect == "0.8":
        about = {"title": document.data.get("name"), "summary": document.data.get("description")}
        given = document.data.get("dataInputSchema")
        schema = given.get("schema", given) if isinstance(given, dict) else None
    words = [" ".join(str(about[part]).split()) for part in ("title", "summary") if about.get(part)]
    told = ". ".join(words) or f"Run the workflow {workflow['namespace']}/{workflow['name']}"
    if len(told) > MAX_DESCRIPTION:
        told = f"{told[: MAX_DESCRIPTION - 1]}…"
    if not isinstance(schema, dict):
        schema = {"type": "object"}
    wrapped = not _of_arguments(schema)
    if wrapped:
        properties: JsonObject = {"input": embedded(schema, "#/properties/input")}
        schema = {"type": "object", "properties": properties, "required": ["input"]}
    tool: JsonObject = {
        "name": name,
        "description": told.rstrip(".") + ".",
        "inputSchema": schema,
        "annotations": {"readOnlyHint": False, "openWorldHint": True},
    }
    return tool, wrapped


def _of_arguments(schema: JsonObject) -> bool:
    """Whether *schema* may be that of all arguments of a tool: with another, providers of models refuse all tools."""
    properties = schema.get("properties", {})
    return (
        schema.get("type") == "object"
        and not {"allOf", "anyOf", "oneOf"} & schema.keys()
        and isinstance(properties, dict)
        and all(map(_ARGUMENT.fullmatch, properties))
    )


def _document(text: str) -> dsl.Document | None:
    try:
        return dsl.parse(text)
    except InvalidDocument:  # deployed by another version of the engine
        return None


def _content(value: Json, *, error: bool = False) -> JsonObject:
    """*value* as the protocol has results: as text, and where it is an object as data too."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
    if len(text) > MAX_TEXT:
        shown = f"{text[:MAX_TEXT]}…\n({len(text):,} characters, of which this is the beginning)"
        return {"content": [{"type": "text", "text": shown}], "isError": error}
    result: JsonObject = {"content": [{"type": "text", "text": text}], "isError": error}
    return {**result, "structuredContent": value} if isinstance(value, dict) else result


def _of_run(run: JsonObject) -> JsonObject:
    told: JsonObject = {
        name: run[name] for name in ("id", "status", "output", "error") if run.get(name) is not None
    }
    if run["status"] not in ("completed", "faulted", "cancelled"):
        told["states"] = run.get("states")
        told["note"] = "the run goes on; follow it with show_run"
    return _content(told, error=run["status"] == "faulted")


async def _validate(given: Any) -> Json:
    try:
        problems = dsl.check(dsl.parse(given["workflow"]))
    except InvalidDocument as error:
        problems = [*error.problems]
    return {
        "valid": not any(problem.severity == "error" for problem in problems),
        "problems": [problem.to_json() for problem in problems],
    }


async def _explain(given: Any) -> Json:
    from workflow_engine.dsl.codes import EXPLANATIONS

    if given["code"] not in EXPLANATIONS:
        raise NotFound("problem code", given["code"])
    return EXPLANATIONS[given["code"]]


async def _draw(given: Any) -> Json:
    from workflow_engine.graph.render import mermaid

    return mermaid(dsl.compile(dsl.parse(given["workflow"])))


async def _test(given: Any) -> Json:
    """What ``wfe test`` says of the scenarios, by way of files.

    Who wrote the document may be anybody whose words the assistant has read: it gets at no file of this machine, nor at
    what only this machine can reach.
    """
    from workflow_engine.cli.scenarios import read_scenarios
    from workflow_engine.cli.test import Coverage, try_file
    from workflow_engine.settings import Settings

    with tempfile.TemporaryDirectory(prefix="wfe-mcp-") as folder:
        (Path(folder) / "workflow.yaml").write_text(given["workflow"], encoding="utf-8")
        file = Path(folder) / "workflow.test.json"
        content = {"workflow": "workflow.yaml", "scenarios": given["scenarios"]}
        file.write_text(json.dumps(content), encoding="utf-8")
        coverages: dict[str, Coverage] = {}
        chosen = replace(Settings.from_env(os.environ), allow_private=False, allow_link_local=False)
        tried = await try_file(read_scenarios(str(file)), chosen, coverages, alone=True)
    return {
        "scenarios": [
            {"scenario": each.name, "passed": not each.failures, "failures": [*each.failures]}
            for each in tried
        ],
        "coverage": [{"never": {**each.missed}} for each in coverages.values()],
    }
