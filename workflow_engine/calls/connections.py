"""Connections of client libraries go where the policy lets them, whatever they are told by a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from workflow_engine.calls.egress import Egress
from workflow_engine.errors import Fault

_egress: ContextVar[Egress | None] = ContextVar("egress", default=None)


@contextmanager
def guarded(egress: Egress) -> Iterator[None]:
    """Inside of the block, and in every task begun there, TCP connections of asyncio follow the rules of *egress*.

    The libraries for brokers take a host and a port, and learn of further ones from the broker itself (Kafka's
    metadata, the servers of a NATS cluster); none of them takes a connection that is made for it. So the event loop
    makes connections through the policy, for those who are inside of such a block and for nobody else. TLS is verified
    for the host that was asked for.
    """
    loop = asyncio.get_running_loop()
    if not hasattr(loop, "_connects_within_policy"):
        connect = loop.create_connection

        async def create_connection(
            protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
        ) -> Any:
            rules = _egress.get()
            if rules is None or host is None:
                return await connect(protocol_factory, host, port, **options)
            if options.get("ssl"):
                options.setdefault("server_hostname", host)
            failed: OSError | None = None
            try:
                addresses = await rules.addresses(host, port)
            except Fault as refused:
                raise OSError(None, str(refused)) from None
            for address, number in addresses:
                try:
                    return await connect(protocol_factory, address, number, **options)
                except OSError as error:
                    failed = error
            raise failed or OSError(None, f"{host} has no address")

        loop.create_connection = create_connection  # type: ignore[method-assign]
        loop._connects_within_policy = True  # type: ignore[attr-defined]
    token = _egress.set(egress)
    try:
        yield
    finally:
        _egress.reset(token)
