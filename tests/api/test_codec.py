"""The API as Temporal's codec server, over a real codec and store."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from temporalio.converter import DataConverter

from tests.api.server import Api, api
from workflow_engine import dsl
from workflow_engine.api import answers, gate
from workflow_engine.calls import flow
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.runtimes.temporal.payloads.keys import new_key
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
from workflow_engine.runtimes.temporal.payloads.remote import RemoteCodec

UI = "http://localhost:8233"
JSON = {"Content-Type": "application/json"}
ASKS = {
    "Origin": UI,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "x-namespace",
}


@pytest.fixture
async def converter(tmp_path: Path) -> AsyncIterator[DataConverter]:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "k1").write_text(new_key())
    async with open_payloads(
        store=(tmp_path / "store").as_uri(), keys=keys.as_uri(), threshold=1000
    ) as payloads:
        yield payloads.converter()


@pytest.fixture
async def coded(converter: DataConverter) -> AsyncIterator[Api]:
    async with api(codec=RemoteCodec(converter), codec_origins=(UI,)) as server:
        yield server


async def sent(converter: DataConverter, *values: Any) -> dict[str, Any]:
    return {"payloads": [MessageToDict(payload) for payload in await converter.encode(values)]}


def data(answer: Any) -> list[bytes]:
    return [base64.b64decode(payload["data"]) for payload in answer.json["payloads"]]


async def test_encrypted_and_large_values_are_decoded(
    coded: Api, converter: DataConverter, tmp_path: Path
) -> None:
    values = await sent(converter, {"small": 1}, {"large": "x" * 5000})
    assert (
        "ExternalStorageReference"
        in base64.b64decode(values["payloads"][1]["metadata"]["messageType"]).decode()
    )
    answer = await coded.post(
        "/v1/codec/decode", json=values, headers={"X-Namespace": "default", "Origin": UI}
    )
    assert answer.status == 200
    assert data(answer) == [b'{"small":1}', b'{"large":"' + b"x" * 5000 + b'"}']
    assert answer.headers["Access-Control-Allow-Origin"] == UI


async def test_a_compressed_document_is_decoded_to_what_is_in_it(
    coded: Api, converter: DataConverter
) -> None:
    tasks = ", ".join(f"{{step{number}: {{set: {{x: {number}}}}}}}" for number in range(200))
    text = f"document: {{dsl: '1.0.3', namespace: a, name: b, version: '1.0.0'}}\ndo: [{tasks}]\n"
    bundle = Bundle.of(dsl.parse(text), {})
    assert not bundle.readable
    answer = await coded.post("/v1/codec/decode", json=await sent(converter, bundle))
    (shown,) = data(answer)
    assert json.loads(shown)["document"]["do"][199] == {"step199": {"set": {"x": 199}}}
    (payload,) = answer.json["payloads"]
    assert base64.b64decode(payload["metadata"]["encoding"]) == b"json/plain"
    assert base64.b64decode(payload["metadata"]["digest"]).decode() == bundle.digest
    for damage in (bundle.data[:-8], b"anything else"):
        damaged = await sent(converter, Bundle(bundle.digest, damage))
        (told,) = data(await coded.post("/v1/codec/decode", json=damaged))
        assert told.startswith(b'{"unreadable":')


async def test_what_is_encoded_is_decoded(coded: Api, converter: DataConverter) -> None:
    plain = {
        "payloads": [{"metadata": {"encoding": base64.b64encode(b"json/plain").decode()}, "data": "e30="}]
    }
    encoded = await coded.post("/v1/codec/encode", json=plain)
    assert data(encoded) != [b"{}"]
    assert (await coded.post("/v1/codec/decode", json=encoded.json)).json == plain


async def test_a_value_that_is_lost_says_so_in_its_place(
    coded: Api, converter: DataConverter, tmp_path: Path
) -> None:
    values = await sent(converter, {"small": 1}, "x" * 5000)
    store = tmp_path / "store"
    for path in store.rglob("*"):
        if path.is_file() and len(path.name) == 64:
            path.unlink()
    async with (
        open_payloads(store=store.as_uri(), keys=(tmp_path / "keys").as_uri(), threshold=1000) as payloads,
        api(codec=RemoteCodec(payloads.converter())) as fresh,
    ):
        small, large = data(await fresh.post("/v1/codec/decode", json=values))
    assert small == b'{"small":1}'
    assert large.startswith(b'{"unreadable":')
    assert b"has no object" in large


async def test_only_pages_that_were_chosen_may_read_what_is_decoded(coded: Api) -> None:
    allowed = await coded.call("OPTIONS", "/v1/codec/decode", headers=ASKS)
    assert allowed.status == 204
    assert allowed.headers["Access-Control-Allow-Origin"] == UI
    assert "X-Namespace" in allowed.headers["Access-Control-Allow-Headers"]
    other = await coded.call("OPTIONS", "/v1/codec/decode", headers={**ASKS, "Origin": "http://localhost:1"})
    assert "Access-Control-Allow-Origin" not in other.headers
    evil = await coded.post(
        "/v1/codec/decode", json={"payloads": []}, headers={"Origin": "http://evil.example"}
    )
    assert evil.status == 403


async def test_an_open_api_decodes_for_those_alone_who_have_the_token(converter: DataConverter) -> None:
    values = await sent(converter, {"small": 1})
    async with api(
        codec=RemoteCodec(converter), codec_origins=(UI,), token="s3cret", loopback_only=False
    ) as server:
        assert (await server.post("/v1/codec/decode", json=values, headers={"Origin": UI})).status == 401
        asked = await server.call("OPTIONS", "/v1/codec/decode", headers=ASKS)
        assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (204, UI)
        bearer = {"Origin": UI, "Authorization": "Bearer s3cret"}
        assert data(await server.post("/v1/codec/decode", json=values, headers=bearer)) == [b'{"small":1}']
        assert (await server.call("OPTIONS", "/v1/runs", headers=ASKS)).status == 401


@pytest.mark.parametrize(
    "body",
    [{}, {"payloads": {}}, {"payloads": [1]}, {"payloads": [{"data": 5}]}, []],
)
async def test_what_is_no_payload_is_refused(coded: Api, body: Any) -> None:
    assert (await coded.post("/v1/codec/decode", json=body)).status == 400


def text(size: int) -> io.BytesIO:
    return io.BytesIO(b'{"text":"' + b"x" * size + b'"}')


async def test_an_input_is_as_large_as_the_server_takes() -> None:
    document = (
        "document: {dsl: '1.0.3', namespace: t, name: l, version: '1.0.0'}\n"
        "do: [{a: {set: {n: '${ .text | length }'}}}]\n"
    )
    async with api(largest_input=3_000_000) as server:
        assert (await server.post("/v1/workflows", data=document.encode())).status == 201
        path = "/v1/workflows/t/l/1.0.0/runs?wait=20"
        taken = await server.post(path, data=text(2_900_000), headers=JSON)
        assert (taken.status, taken.json["output"]) == (200, {"n": 2_900_000})
        refused = await server.post(path, data=text(3_000_001), headers=JSON)
        assert (refused.status, refused.json["type"]) == (413, "urn:wfe:problem:too-large")


@pytest.mark.parametrize("end", ["hangs up", "reads nothing for too long"])
async def test_large_values_wait_for_those_that_are_on_their_way_to_others(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that does not read what it has asked for holds its value; small requests are answered meanwhile."""
    monkeypatch.setattr(gate, "AT_ONCE", 1_000_000)
    monkeypatch.setattr(flow, "PATIENCE", 0.3)
    monkeypatch.setattr(answers, "STALLED", 3.0)
    async with open_payloads(store=(tmp_path / "store").as_uri(), largest=100_000_000) as payloads:
        converter = payloads.converter()
        values = await sent(converter, {"large": "x" * 20_000_000})
        async with api(codec=RemoteCodec(converter), codec_origins=(UI,)) as server:
            address, port = server.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(address, int(port), limit=1000)
            body = json.dumps(values).encode()
            head = f"POST /v1/codec/decode HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await reader.readline()
            refused = await server.post("/v1/codec/decode", json=values)
            assert b"too many large values are being read" in data(refused)[0]
            small = await server.post("/v1/codec/decode", json=await sent(converter, {"small": 1}))
            assert data(small) == [b'{"small":1}']
            if end == "hangs up":
                writer.close()
            monkeypatch.setattr(flow, "PATIENCE", 20.0)
            [found] = data(await server.post("/v1/codec/decode", json=values))
            assert len(found) > 20_000_000
            writer.close()
