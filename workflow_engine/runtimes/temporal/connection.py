"""Connect to Temporal: the embedded dev server, a cluster, or Temporal Cloud."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode

from workflow_engine.errors import NotFound, Unavailable
from workflow_engine.runtimes.temporal.attributes import advice
from workflow_engine.runtimes.temporal.inside import check
from workflow_engine.runtimes.temporal.payloads.travelling import Payloads

NEVER_OR_NO_MORE = (
    "it was never started, or Temporal does not keep it any more: it ended longer ago than the retention of its "
    "namespace, or the server has lost its data"
)
_CAUSE = re.compile(r'message: "([^"]+)"')


async def connect(
    address: str,
    namespace: str,
    *,
    profile: str | None = None,
    lazy: bool = False,
    payloads: Payloads | None = None,
) -> Client:
    """Connect to the server at *address* (``host:port``).

    TLS and API keys come from the variables and the configuration file that every Temporal client reads
    (``TEMPORAL_TLS``, ``TEMPORAL_API_KEY``, …); the file is read only when *profile* names a part of it.
    *lazy* puts the connection off until it is used. *payloads* says how values travel. Raises `Unavailable`.
    """
    try:
        return await open_client(address, namespace, profile=profile, lazy=lazy, payloads=payloads)
    except RuntimeError as error:
        raise Unavailable(f"Temporal does not answer at {address}: {why(error)}") from None


async def open_client(
    address: str,
    namespace: str,
    *,
    profile: str | None = None,
    lazy: bool = False,
    payloads: Payloads | None = None,
) -> Client:
    """As `connect`, but with the error of the SDK."""
    check()
    options: dict[str, Any] = dict(
        ClientConfig.load_client_connect_config(profile, disable_file=profile is None)
    )
    if profile is None or address:
        options["target_host"] = address or options.get("target_host")
    options["namespace"] = namespace
    return await Client.connect(
        **options,
        data_converter=(payloads or Payloads()).converter(),
        lazy=lazy,
        grpc_compression=GrpcCompression.NONE,
    )


_NAMESPACE = re.compile(r"Namespace (\S+) is not found")
_ATTRIBUTE = re.compile(r"Namespace (\S+) has no mapping defined for search attribute (\S+)")


_PLAIN = {
    "tcp connect error": "no connection to its address can be made",
    "shard status unknown": "it cannot write (shard status unknown); its log says why, such as a full disk",
}
"""What some causes mean, in words."""


def why(error: BaseException) -> str:
    """What *error* says of the cause: the innermost message of the library's own nested ones."""
    found = _CAUSE.findall(str(error))
    text = found[-1] if found else str(error)
    return _PLAIN.get(text, text)


@contextlib.contextmanager
def translated(run_id: str | None = None, *, address: str = "") -> Iterator[None]:
    """Turn the SDK's errors about *run_id* into the engine's own."""
    try:
        yield
    except RPCError as error:
        if missing := _NAMESPACE.match(str(error)):
            raise Unavailable(f"Temporal has no namespace {missing[1]}; create it, or name another") from None
        if unknown := _ATTRIBUTE.match(str(error)):
            what = f"Temporal does not know the search attribute {unknown[2]} yet; {advice(unknown[1])}"
            raise Unavailable(what) from None
        if error.status == RPCStatusCode.NOT_FOUND and run_id is not None:
            raise NotFound("run", run_id, NEVER_OR_NO_MORE) from None
        # A connection that breaks while an answer is awaited has no status of its own.
        broken = error.status == RPCStatusCode.UNKNOWN and "transport error" in str(error)
        if broken or error.status in {
            RPCStatusCode.UNAVAILABLE,
            RPCStatusCode.DEADLINE_EXCEEDED,
            RPCStatusCode.CANCELLED,
            RPCStatusCode.RESOURCE_EXHAUSTED,
        }:
            raise Unavailable(
                f"Temporal does not answer{f' at {address}' if address else ''}: {why(error)}"
            ) from None
        raise
    except RuntimeError as error:
        if "connect" in str(error).lower():
            raise Unavailable(
                f"Temporal does not answer{f' at {address}' if address else ''}: {why(error)}"
            ) from None
        raise
