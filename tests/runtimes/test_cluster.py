"""A Temporal that somebody else has set up: behind TLS, and in which nothing is prepared for us."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from tests.standins.certificates import ca_file
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.errors import Unavailable
from workflow_engine.runtimes.temporal.attributes import see_to
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.server import ServerOptions, dev_server, ready_unless

pytestmark = pytest.mark.temporal

GREET = """\
document: {dsl: '1.0.0', namespace: tests, name: greet, version: '1.0.0'}
do: [{greeting: {set: {text: hello}}}]
"""


@contextlib.asynccontextmanager
async def behind_tls(address: str, context: ssl.SSLContext) -> AsyncIterator[str]:
    """The address at which the server at *address* is reached with TLS, and not without."""
    host, _, port = address.partition(":")
    open_: set[asyncio.StreamWriter] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in open_:
            writer.close()


async def test_a_worker_waits_for_a_server_with_the_credentials_that_it_connects_with(
    temporal_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    ca.issue_cert("localhost").configure_cert(context)
    profiles = tmp_path / "temporal.toml"
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(profiles))
    told: list[str] = []
    with ca_file(ca) as trusted:
        profiles.write_text(f'[profile.prod.tls]\nserver_ca_cert_path = "{trusted}"\n')
        async with behind_tls(temporal_address, context) as address:
            with pytest.raises(Unavailable, match=f"no Temporal server answered at {address}"):
                await ready_unless(asyncio.Event(), address, namespace="default", seconds=1, tell=told.append)
            assert len(told) >= 1
            stop = asyncio.Event()
            assert await ready_unless(stop, address, namespace="default", profile="prod", seconds=20)
            client = await connect(address, "default", profile="prod")
            assert await client.service_client.check_health()


async def test_search_attributes_are_made_known_where_nobody_has_and_till_then_it_is_said_who_can(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bundle = Bundle.of(dsl.parse(GREET), {})
    options = ServerOptions(headless=True, log_level="error", search_attributes={})
    async with dev_server(options) as server:
        client = await connect(server.address, "default")
        runtime = TemporalRuntime(client, "wfe")
        with pytest.raises(
            Unavailable, match="search-attribute create --namespace default --name WfeDefinition"
        ):
            await runtime.start(Start("g-1", bundle.graph().name, bundle, {}))
        caplog.set_level("INFO", "wfe")
        await see_to(client)
        assert "WfeDefinition, WfeNamespace, WfeVersion, WfeCorrelation" in caplog.text
        caplog.clear()
        await see_to(client)
        assert caplog.text == ""
        async with asyncio.timeout(20):
            while True:  # the server looks again what it knows in a moment
                with contextlib.suppress(Unavailable):
                    assert await runtime.start(Start(f"g-{uuid.uuid4()}", bundle.graph().name, bundle, {}))
                    break
                await asyncio.sleep(0.1)
