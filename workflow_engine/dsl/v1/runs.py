"""Lower ``run``: a shell command, a script, a container, or another workflow."""

from __future__ import annotations

import json
import keyword
import re
from typing import TYPE_CHECKING

from workflow_engine.dsl import bounds
from workflow_engine.dsl.needs import script_key
from workflow_engine.dsl.v1 import secrets
from workflow_engine.dsl.v1.endpoints import authenticate, expand
from workflow_engine.dsl.v1.scope import Task
from workflow_engine.expressions import unwrap
from workflow_engine.graph.model import Action, Operation, SubFlow
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

SCRIPT_LANGUAGES = ("js", "javascript", "python")
"""What a script may be written in (decision A64)."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def run(lowering: WorkflowLowering, task: Task) -> Action:
    """One of four things to run; the schema has seen to it that there is exactly one."""
    settings = task.object("run")
    if "workflow" in settings:
        return _workflow(lowering, task)
    if "script" in settings:
        return _script(lowering, task)
    if "shell" in settings:
        return _process(lowering, task, "shell", dict(task.object("run", "shell")))
    return _container(lowering, task)


def _process(
    lowering: WorkflowLowering, task: Task, kind: str, given: JsonObject, resources: tuple[str, ...] = ()
) -> Operation:
    """A process with the arguments *given*; how it is to be returned is one of them, where that is said."""
    settings = task.object("run")
    if "return" in settings:
        given["return"] = settings["return"]
    for name in task.object("run", kind, "environment"):
        if not name or "=" in name or "\0" in name:
            message = f"{name[:100]!r} cannot be the name of an environment variable"
            lowering.problem("invalid-value", message, task.at("run", kind, "environment", name))
    wait = settings.get("await") is not False
    return secrets.operation(lowering, task, kind, given, resources, path=("run", kind), wait=wait)


def _script(lowering: WorkflowLowering, task: Task) -> Operation:
    given = dict(task.object("run", "script"))
    language = given.get("language")
    if language not in SCRIPT_LANGUAGES:
        at = task.at("run", "script", "language")
        lowering.unknown("unknown-script-language", "script language", str(language), SCRIPT_LANGUAGES, at)
    for name in task.object("run", "script", "arguments"):
        if not _VARIABLE.fullmatch(name) or (language == "python" and keyword.iskeyword(name)):
            message = f"{name[:100]!r} cannot be the name of a variable of the script"
            lowering.problem("invalid-value", message, task.at("run", "script", "arguments", name))
    code = given.get("code")
    if isinstance(code, str):
        given["code"] = _literal(code)
    source = given.get("source")
    if not isinstance(source, dict):
        return _process(lowering, task, "script", given)
    path = ("run", "script", "source", "endpoint")
    endpoint: Json = source.get("endpoint")
    address, at = endpoint, task.at(*path)
    if isinstance(endpoint, dict):
        endpoint = dict(endpoint)
        authenticate(lowering, task, endpoint, path)
        address, at = endpoint.get("uri"), at + "/uri"
    given["source"] = {"endpoint": endpoint}
    expand(lowering, given, address, at)
    key = script_key(given)
    return _process(lowering, task, "script", given, () if key is None else (key,))


def _container(lowering: WorkflowLowering, task: Task) -> Operation:
    given = task.object("run", "container")
    after = task.part("run", "container", "lifetime", "after")
    lowering.optional_timing(after, task.variables, task.at("run", "container", "lifetime", "after"))
    ports = given.get("ports")
    for host, inside in (ports if isinstance(ports, dict) else {}).items():
        place = task.at("run", "container", "ports", host)
        if not bounds.is_port_of_host(host):
            message = f"{host[:50]!r} is no port of the host, such as 8080 or 127.0.0.1:8080"
            lowering.nonsense("invalid-bounds", message, place)
        elif "${" not in str(inside) and not bounds.is_port_of_container(str(inside)):
            message = f"{str(inside)[:50]!r} is no port of a container, such as 80 or 80/udp"
            lowering.nonsense("invalid-bounds", message, place)
    return _process(lowering, task, "container", dict(given))


def _literal(code: str) -> str:
    """The text of a script as a template that yields it: ``${name}`` in JavaScript is JavaScript. Only code that is one
    expression as a whole is evaluated.
    """
    if "${" not in code or unwrap(code) is not None:
        return code
    return f"${{ {json.dumps(code)} }}"


def _workflow(lowering: WorkflowLowering, task: Task) -> SubFlow:
    settings, flow = task.object("run"), task.object("run", "workflow")
    if "return" in settings:
        message = "`return` is for processes; what a workflow gives back is its output"
        lowering.problem("misplaced-property", message, task.at("run", "return"))
    version = flow.get("version")
    return SubFlow(
        namespace=str(flow.get("namespace", "")),
        name=str(flow.get("name", "")),
        version=None if version in {None, "latest"} else str(version),
        input=lowering.template(flow.get("input", {}), task.variables, task.at("run", "workflow", "input")),
        wait=settings.get("await") is not False,
    )
