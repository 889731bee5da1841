"""Large values on their way: what is stored is what it was before they were held, and what was stored then is read."""

from __future__ import annotations

import asyncio
import base64
import uuid
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload

from tests.payloads.test_encryption import payload, ring
from tests.payloads.test_runs import stored, text
from tests.running import temporal_runner
from tests.standins.internet import Internet
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.runtimes.temporal import held
from workflow_engine.runtimes.temporal.held import HELD, Held, NotHeld, is_token, whole
from workflow_engine.runtimes.temporal.payloads import wire
from workflow_engine.runtimes.temporal.payloads.driver import ClaimCheck
from workflow_engine.runtimes.temporal.payloads.encryption import decrypted, encrypted, sealed
from workflow_engine.runtimes.temporal.payloads.keys import Keys, new_key
from workflow_engine.runtimes.temporal.payloads.opening import open_store
from workflow_engine.runtimes.temporal.payloads.store import Store, ValueLost
from workflow_engine.runtimes.temporal.payloads.travelling import Payloads

VALUE = {"b": ["ü", 1.5, None], "a": text(300_000)}


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await open_store((tmp_path / "store").as_uri())


@given(st.dictionaries(st.text(max_size=300), st.binary(max_size=300), max_size=4), st.binary(min_size=1))
def test_what_the_library_writes_is_read_and_what_is_written_is_the_same(
    metadata: dict[str, bytes], data: bytes
) -> None:
    written = Payload(metadata=metadata, data=data).SerializeToString(deterministic=True)
    assert wire.head(metadata, len(data)) + data == written
    found, content = wire.opened(written)
    assert (found, bytes(content)) == (metadata, data)


@given(st.binary())
def test_whatever_bytes_are_read_they_are_a_payload_or_unusual(data: bytes) -> None:
    try:
        metadata, content = wire.opened(data)
    except (wire.Unusual, UnicodeDecodeError):
        return
    assert Payload.FromString(data) == Payload(metadata=metadata, data=bytes(content))


@pytest.mark.parametrize("keys", [None, ring(k1=new_key())], ids=["plain", "encrypted"])
async def test_what_is_stored_is_what_it_was_before_values_were_held(
    keys: Keys | None, store: Store, tmp_path: Path
) -> None:
    """So that older and newer workers read each other's, and a value is stored once whoever stores it."""
    converter = Payloads(store, keys, threshold=1000).converter()
    [token] = converter.payload_converter.to_payloads([VALUE])
    assert is_token(token)
    [claim] = await converter.encode([VALUE])
    [file] = stored(tmp_path / "store")
    before = payload(VALUE) if keys is None else encrypted(payload(VALUE), keys.current(), 1000)
    assert file.read_bytes() == before.SerializeToString(deterministic=True)
    await ClaimCheck(store, "default").put(before)
    assert len(stored(tmp_path / "store")) == 1
    assert await converter.decode([claim]) == [VALUE]


async def test_a_value_that_is_damaged_in_the_store_is_not_read(store: Store, tmp_path: Path) -> None:
    converter = Payloads(store, ring(k1=new_key())).converter()
    [claim] = await converter.encode([VALUE])
    [file] = stored(tmp_path / "store")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    fresh = Payloads(store, ring(k1=new_key())).converter()
    with pytest.raises(ValueLost, match="damaged"):
        await fresh.decode([claim])


async def test_a_large_value_with_another_key_of_the_same_name_is_told(store: Store) -> None:
    [claim] = await Payloads(store, ring(k1=new_key())).converter().encode([VALUE])
    with pytest.raises(ValueLost, match="another key called 'k1'"):
        await Payloads(store, ring(k1=new_key())).converter().decode([claim])


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100_000])
def test_what_is_sealed_in_pieces_is_opened_whole(size: int) -> None:
    key = ring(k1=new_key()).current()
    plain = Payload(metadata={"encoding": b"json/plain"}, data=b"x" * size)
    pieces = [plain.SerializeToString()[:3], plain.SerializeToString()[3:]]
    made = b"".join(sealed(pieces, key, 10))
    assert decrypted(Payload.FromString(made), key) == plain


async def test_a_token_that_is_wanted_again_is_read_again(store: Store) -> None:
    payloads = Payloads(store, None, threshold=1000)
    [claim] = await payloads.converter().encode([VALUE])
    converter = payloads.converter()
    [token] = await converter._external_retrieve_payload_sequence([claim])
    assert orjson.loads(HELD.take(token)) == VALUE

    assert orjson.loads(HELD.take(token)) == VALUE  # also where a loop is running, as in a workflow
    assert orjson.loads(await asyncio.to_thread(HELD.take, token)) == VALUE
    assert whole(payload(1)) == payload(1)


def test_what_nobody_takes_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Held()
    token = table.hold(b"value")
    monkeypatch.setattr(held, "LONGEST", -1.0)
    other = table.hold(b"other")
    assert table.take(other) == b"other"
    with pytest.raises(NotHeld):
        table.take(token)


def test_what_there_is_no_room_for_is_made_when_it_is_wanted() -> None:
    table = Held(room=10)
    made: list[int] = []

    def make(number: int) -> bytes:
        made.append(number)
        return bytes([number]) * 6

    tokens = [table.hold(bytes([number]) * 6, make=lambda number=number: make(number)) for number in range(3)]  # type: ignore[misc]
    assert [table.size(token) for token in tokens] == [6, 6, 6]
    assert [table.take(token) for token in tokens] == [bytes([number]) * 6 for number in range(3)]
    assert made == [1, 2]
    assert table.take(table.hold(b"fits again", make=lambda: b"")) == b"fits again"


DOCUMENT = """
document: {dsl: '1.0.3', namespace: tests, name: shown, version: '1.0.0'}
do: [{give: {set: {given: '${ .text }'}}}]
"""


@pytest.mark.temporal
async def test_a_history_has_large_values_whole(
    temporal_address: str, internet: Internet, tmp_path: Path
) -> None:
    payloads = Payloads(await open_store((tmp_path / "store").as_uri()))
    async with temporal_runner(temporal_address, internet, payloads=payloads) as runner:
        bundle, id = Bundle.of(dsl.parse(DOCUMENT), {}), f"shown-{uuid.uuid4()}"
        await runner.runtime.start(Start(id, bundle.graph().name, bundle, {"text": text(300_000)}))
        await runner.runtime.wait(id, 30)
        history = await runner.runtime.history(id, None)
    started = history["events"][0]["workflowExecutionStartedEventAttributes"]
    assert orjson.loads(base64.b64decode(started["input"]["payloads"][0]["data"])) == {"text": text(300_000)}
