"""The world outside: one caller for each kind of call, free of Temporal.

A caller takes the evaluated arguments of a call and a `CallContext`, and gives the call's output or raises
a `Fault`. `CALLERS` is the table of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from workflow_engine.calls import (
    a2a,
    asyncapi,
    container,
    custom,
    graphql,
    grpc,
    http,
    mcp,
    odata,
    openapi,
    script,
    shell,
    sysout,
)
from workflow_engine.calls.context import CallContext, Caller, Publisher
from workflow_engine.calls.egress import Egress

__all__ = ["CALLERS", "CallContext", "Caller", "Egress", "Publisher"]

CALLERS: Mapping[str, Caller] = MappingProxyType(
    {
        "http": http.call,
        "openapi": openapi.call,
        "grpc": grpc.call,
        "asyncapi": asyncapi.call,
        "asyncapi.receive": asyncapi.receive,
        "mcp": mcp.call,
        "a2a": a2a.call,
        "container": container.call,
        "script": script.call,
        "shell": shell.call,
        "graphql": graphql.call,
        "odata": odata.call,
        "custom": custom.call,
        "sysout": sysout.call,
    }
)
