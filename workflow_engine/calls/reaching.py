"""What a workflow would use and may not (`calls.reach`), as far as that can be seen when it is deployed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from workflow_engine.calls.reach import Reach, Reaches, host_in
from workflow_engine.calls.resolution import Resolution
from workflow_engine.dsl.document import Document
from workflow_engine.errors import Problem
from workflow_engine.graph.model import Operation, StateGraph, states_of
from workflow_engine.values import Json, JsonObject

_WAYS = (("endpoint",), ("service",), ("server",), ("agentCard",), ("transport", "http"))
"""Where the arguments of a call may say whom it calls."""


@dataclass(frozen=True, slots=True)
class Reaching:
    """Holds workflows to *reaches*: what they use is refused, or found by *resolution* within their bounds."""

    reaches: Reaches
    resolution: Resolution

    def refused(self, document: Document, graph: StateGraph) -> list[Problem]:
        """A problem for each secret that *document* declares, and each host that a state calls, which are not for its
        namespace. Hosts that are computed, or that a description names which a call fetches, are told when they are
        called.
        """
        reach = self.reaches.of_namespace(graph.name.namespace)
        return [*_secrets(document, graph, reach), *_hosts(document, graph, reach)]

    def processes(self, namespace: str) -> Collection[str] | None:
        """The kinds of processes that its workflows may start; None for all that the server starts."""
        return self.reaches.of_namespace(namespace).processes

    def queues(self, namespace: str) -> Collection[str] | None:
        """The task queues whose activities they may call."""
        return self.reaches.of_namespace(namespace).queues

    def resolving(self, namespace: str) -> Resolution:
        """What finds external things for them."""
        return self.resolution.within(self.reaches.of_namespace(namespace))


def bounds_of(reaches: Reaches, resolution: Resolution) -> Reaching | None:
    """What holds workflows to *reaches* when they are deployed; None where those limit nothing."""
    return None if reaches.rules is None else Reaching(reaches, resolution)


def _secrets(document: Document, graph: StateGraph, reach: Reach) -> Iterator[Problem]:
    if reach.secrets is None:
        return
    named: dict[str, str] = {}
    use = document.data.get("use")
    for holder, place in ((use, "/use"), (document.data, "")):
        listed = holder.get("secrets") if isinstance(holder, dict) else None
        for number, name in enumerate(listed if isinstance(listed, list) else []):
            named.setdefault(str(name), f"{place}/secrets/{number}")
    for state in states_of(graph):
        if isinstance(state.action, Operation):
            for name in state.action.secrets:
                named.setdefault(name, state.id)
    for name, place in named.items():
        if why := reach.secret(name):
            yield document.problem("secret-not-allowed", f"the secret {name!r}: {why}", place)


def _hosts(document: Document, graph: StateGraph, reach: Reach) -> Iterator[Problem]:
    if reach.hosts is None:
        return
    for state in states_of(graph):
        if isinstance(state.action, Operation):
            pinned = [graph.resources.get(key) for key in state.action.resources]
            hosts = [*_called(state.action.arguments.source), *_described(pinned)]
            for host in dict.fromkeys(hosts):
                if why := reach.host(host):
                    yield document.problem("host-not-allowed", why, state.id)


def _called(given: Json) -> Iterator[str]:
    """The hosts in the arguments of a call, and those that give tokens for it, which are known."""
    for way in _WAYS:
        holder: Json = given
        for name in way:
            holder = holder.get(name) if isinstance(holder, dict) else None
        yield from _of_endpoint(holder)


def _of_endpoint(found: Json) -> Iterator[str]:
    if isinstance(found, str):
        host = host_in(found)
        if host is not None:
            yield host
    elif isinstance(found, dict):
        named = found.get("host")
        if isinstance(named, str) and not set("{$") & set(named):
            yield named
        yield from _of_endpoint(found.get("uri"))
        yield from _of_endpoint(found.get("endpoint"))
        policy = found.get("authentication")
        for properties in (policy if isinstance(policy, dict) else {}).values():
            if isinstance(properties, dict):
                yield from _of_endpoint(properties.get("authority"))


def _described(pinned: list[Json]) -> Iterator[str]:
    """The host of the only server that an OpenAPI document names."""
    for resource in pinned:
        content = resource.get("content") if isinstance(resource, dict) and "base" in resource else None
        if isinstance(content, str) and content.count('"servers":') == 1:
            description: JsonObject = json.loads(content)
            servers = description.get("servers")
            if isinstance(servers, list) and len(servers) == 1 and isinstance(servers[0], dict):
                host = host_in(str(servers[0].get("url")))
                if host is not None:
                    yield host
