"""A real gRPC server, made at run time of proto text by the compiler that deployments use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import trustme

from workflow_engine.calls.grpc_messages import Method, method_of
from workflow_engine.calls.proto import describe_method

PROTO = """
syntax = "proto3";
package GreeterApi;

import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

service Greeter {
  rpc SayHello (HelloRequest) returns (HelloReply);
  rpc Echo (Everything) returns (Everything);
  rpc Count (CountRequest) returns (stream HelloReply);
  rpc Collect (stream HelloRequest) returns (HelloReply);
  rpc Chat (stream HelloRequest) returns (stream HelloReply);
  rpc Fail (FailRequest) returns (HelloReply);
}

message HelloRequest { string name = 1; }
message HelloReply { string message = 1; map<string, string> metadata = 2; }
message CountRequest { int32 up_to = 1; int32 size = 2; int32 pause_ms = 3; }
message FailRequest { int32 code = 1; string message = 2; int32 pause_ms = 3; }

message Everything {
  enum Color { NONE = 0; RED = 1; }
  string display_name = 1;
  int64 big = 2;
  uint32 small = 3;
  double ratio = 4;
  bool flag = 5;
  bytes data = 6;
  Color color = 7;
  repeated Everything children = 8;
  map<string, int64> counts = 9;
  optional int32 maybe = 10;
  oneof choice { string text = 11; int32 number = 12; }
  google.protobuf.Timestamp at = 13;
  google.protobuf.Duration lasts = 14;
  google.protobuf.Struct free = 15;
  google.protobuf.Int64Value boxed = 16;
  google.protobuf.Any anything = 17;
  google.protobuf.FieldMask mask = 18;
  map<string, Everything> named = 19;
  repeated Everything.Nothing nothings = 20;
  message Nothing {}
}
"""
ADDRESS = "file://app/greet.proto"


_PINNED: dict[str, dict[str, Any]] = {}


async def pinned(method: str) -> dict[str, Any]:
    """What a deployment pins for *method*; compiled once."""

    async def read(address: str) -> str | None:
        return PROTO if address == ADDRESS else None

    if method not in _PINNED:
        _PINNED[method] = dict(await describe_method(ADDRESS, "GreeterApi.Greeter", method, read))
    return _PINNED[method]


async def resources(method: str) -> dict[str, Any]:
    """The resources of a workflow whose one call is *method*, by key."""
    return {f"{ADDRESS}#GreeterApi.Greeter#{method}": await pinned(method)}


@dataclass
class Greeter:
    """Where it listens, and the metadata and messages of each call so far."""

    port: int = 0
    calls: list[tuple[str, dict[str, str], list[Any]]] = field(default_factory=list)
    token: str | None = None
    called: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def last(self) -> tuple[str, dict[str, str], list[Any]]:
        return self.calls[-1]

    async def handle(self, method: Method, request: Any, context: Any) -> AsyncIterator[Any]:
        """Every answer of the service; what a method that gives one message takes is the first."""
        metadata = {name: str(value) for name, value in context.invocation_metadata()}
        if self.token is not None and metadata.get("authorization") != f"Bearer {self.token}":
            self.calls.append((method.name, metadata, []))
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        messages = [item async for item in request] if method.takes_stream else [request]
        self.calls.append((method.name, metadata, messages))
        self.called.set()
        reply: Any = method.gives
        try:
            match method.name:
                case "SayHello":
                    yield reply(message=f"Hello, {messages[0].name}!", metadata=metadata)
                case "Echo":
                    yield messages[0]
                case "Count":
                    for number in range(messages[0].up_to):
                        await _sleep(messages[0].pause_ms)
                        yield reply(message=f"{number}{'x' * messages[0].size}")
                case "Collect":
                    yield reply(message=",".join(item.name for item in messages))
                case "Chat":
                    for item in messages:
                        yield reply(message=f"Hello, {item.name}!")
                case "Fail":
                    await _sleep(messages[0].pause_ms)
                    code = next(code for code in grpc.StatusCode if code.value[0] == messages[0].code)
                    await context.abort(code, messages[0].message)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def _sleep(milliseconds: int) -> None:
    if milliseconds:
        await asyncio.sleep(milliseconds / 1000)


@asynccontextmanager
async def greeter(
    *,
    port: int = 0,
    tls: trustme.CA | None = None,
    names: tuple[str, ...] = ("localhost",),
    compression: Any = None,
) -> AsyncIterator[Greeter]:
    """Serve on 127.0.0.1 on *port*, or a free one; with *tls*, with a certificate for *names*."""
    serving = Greeter()
    handlers = {}
    for name in ("SayHello", "Echo", "Count", "Collect", "Chat", "Fail"):
        method = method_of(await pinned(name))
        handlers[name] = _handler(serving, method)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)], compression=compression)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("GreeterApi.Greeter", handlers),))
    if tls is None:
        serving.port = server.add_insecure_port(f"127.0.0.1:{port}")
    else:
        certificate = tls.issue_cert(*names)
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        credentials = grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])
        serving.port = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    try:
        yield serving
    finally:
        await server.stop(None)


def _handler(serving: Greeter, method: Method) -> Any:
    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in serving.handle(method, request, context):
            yield answer

    async def single(request: Any, context: Any) -> Any:
        async for answer in serving.handle(method, request, context):
            return answer
        raise AssertionError("no answer")

    made = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[method.takes_stream, method.gives_stream]
    return made(
        stream if method.gives_stream else single,
        request_deserializer=method.takes.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
