"""Keys, and what the codec makes of payloads with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload

from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.errors import Rejected
from workflow_engine.runtimes.temporal.converter import DATA_CONVERTER, is_bundle
from workflow_engine.runtimes.temporal.payloads import keys as keys_module
from workflow_engine.runtimes.temporal.payloads.encryption import KEY_ID, Encryption
from workflow_engine.runtimes.temporal.payloads.keys import KeyMissing, Keys, new_key, open_keys
from workflow_engine.runtimes.temporal.payloads.store import ValueLost
from workflow_engine.runtimes.temporal.payloads.travelling import Payloads

SAME = 1000
DOCUMENT = "document: {dsl: '1.0.3', namespace: n, name: x, version: '1.0.0'}\ndo: [{a: {set: {b: 1}}}]\n"


def ring(**texts: str) -> Keys:
    return Keys(lambda: texts, "here")


def payload(value: object) -> Payload:
    return DATA_CONVERTER.payload_converter.to_payloads([value])[0]


@pytest.mark.parametrize("value", [None, {"b": 1, "a": [1.5, "ü"]}, "x" * 100_000, b"\x00\xff", ""])
async def test_what_is_encrypted_is_decrypted(value: object) -> None:
    codec = Encryption(ring(k1=new_key()), SAME)
    [sealed] = await codec.encode([payload(value)])
    assert sealed.metadata[KEY_ID] == b"k1"
    assert await codec.decode([sealed]) == [payload(value)]


async def test_nothing_of_a_value_shows() -> None:
    codec = Encryption(ring(k1=new_key()), SAME)
    for value in ({"name": "countess"}, {"name": "countess" * 1000}):
        [sealed] = await codec.encode([payload(value)])
        assert b"countess" not in sealed.SerializeToString()
        assert b"json" not in sealed.SerializeToString()


async def test_a_small_value_is_never_encrypted_the_same_and_a_large_one_always() -> None:
    codec = Encryption(ring(k1=new_key()), SAME)
    small, large = payload("x" * 10), payload("x" * 2000)
    assert await codec.encode([small]) != await codec.encode([small])
    assert await codec.encode([large]) == await codec.encode([large])
    assert await codec.encode([large]) != await codec.encode([payload("y" * 2000)])
    other = Encryption(ring(k1=new_key()), SAME)
    assert await codec.encode([large]) != await other.encode([large])


async def test_each_bit_is_authenticated() -> None:
    codec = Encryption(ring(k1=new_key()), SAME)
    [sealed] = await codec.encode([payload({"amount": 1})])
    for place in (0, 20, 40, len(sealed.data) - 1):
        damaged = Payload()
        damaged.CopyFrom(sealed)
        data = bytearray(sealed.data)
        data[place] ^= 1
        damaged.data = bytes(data)
        with pytest.raises(ValueLost, match="cannot be decrypted"):
            await codec.decode([damaged])
    with pytest.raises(ValueLost, match="cannot be decrypted"):
        await codec.decode([Payload(metadata=sealed.metadata, data=b"short")])


async def test_a_payload_from_before_there_were_keys_is_read() -> None:
    codec = Encryption(ring(k1=new_key()), SAME)
    assert await codec.decode([payload({"a": 1})]) == [payload({"a": 1})]


async def test_another_key_of_the_same_name_is_told_apart() -> None:
    [sealed] = await Encryption(ring(k1=new_key()), SAME).encode([payload(1)])
    with pytest.raises(ValueLost, match="another key called 'k1'"):
        await Encryption(ring(k1=new_key()), SAME).decode([sealed])


async def test_the_digest_of_a_bundle_stays_readable() -> None:
    bundle = Bundle.of(dsl.parse(DOCUMENT), {})
    codec = Encryption(ring(k1=new_key()), SAME)
    [sealed] = await codec.encode([payload(bundle)])
    assert is_bundle(sealed)
    assert sealed.metadata["digest"].decode() == bundle.digest
    assert b"document" not in sealed.data
    [opened] = await codec.decode([sealed])
    assert DATA_CONVERTER.payload_converter.from_payloads([opened]) == [bundle]


async def test_keys_are_rotated_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "AGAIN", 0.0)
    (tmp_path / "k1").write_text(new_key() + "\n")
    writer, reader = (Encryption(open_keys(tmp_path.as_uri(), None), SAME) for _ in range(2))
    [old] = await writer.encode([payload("old")])
    (tmp_path / "k2").write_text(os.urandom(32).hex())
    (tmp_path / "current").write_text("k2\n")
    [new] = await writer.encode([payload("new")])
    assert [sealed.metadata[KEY_ID] for sealed in (old, new)] == [b"k1", b"k2"]
    assert await reader.decode([old, new]) == [payload("old"), payload("new")]


async def test_a_key_that_is_taken_away_is_missed_by_name(tmp_path: Path) -> None:
    (tmp_path / "k2").write_text(new_key())
    [sealed] = await Encryption(ring(k1=new_key()), SAME).encode([payload(1)])
    with pytest.raises(KeyMissing, match=r"the key 'k1', which is not at .*; there are k2"):
        await Encryption(open_keys(tmp_path.as_uri(), None), SAME).decode([sealed])


async def test_how_far_an_activity_had_come_is_refused_only_to_who_uses_it() -> None:
    """The SDK reads it before the activity begins, and takes one for failed for good where it cannot."""
    [sealed] = await Encryption(ring(k1=new_key()), SAME).encode([payload(1)])
    heartbeat = await Payloads().converter().decode([sealed])
    for use in (list, len, bool, lambda given: given[0]):
        with pytest.raises(KeyMissing, match="the key 'k1', and this process has no keys"):
            use(heartbeat)
    with pytest.raises(KeyMissing):
        await Payloads().converter().decode([sealed], [int])


def test_keys_are_read_from_the_environment() -> None:
    environ = {
        "WFE_PAYLOAD_KEY_k1": new_key(),
        "WFE_PAYLOAD_KEY_k2": new_key(),
        "WFE_PAYLOAD_KEY": "k1",
        "X": "y",
    }
    keys = open_keys("env:", "k2", environ)
    assert keys.current().id == "k2"
    assert keys.key("k1").id == "k1"
    assert open_keys("env:", None, {**environ, "WFE_PAYLOAD_KEY_CURRENT": "k1"}).current().id == "k1"


def test_a_key_is_not_shown() -> None:
    text = new_key()
    assert text not in repr(ring(k1=text).current())


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({}, "no key"),
        ({"k1": "c2hvcnQ="}, "'k1' .* is not 32 bytes"),
        ({"k1": "not base64 at all!"}, "'k1' .* is not 32 bytes"),
        ({"k1": new_key(), "k2": new_key()}, r"several keys .*\(k1, k2\)"),
        ({"k1": new_key(), "current": "k9"}, "the current key 'k9'"),
        ({"k 1": new_key()}, "cannot be the id"),
    ],
)
def test_keys_that_cannot_be_used_are_refused(texts: dict[str, str], message: str) -> None:
    with pytest.raises(Rejected, match=message) as raised:
        open_keys("env:", None, {f"WFE_PAYLOAD_KEY_{id}": text for id, text in texts.items()})
    assert "base64 at all" not in str(raised.value)


def test_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    for place in ("vault:x", (tmp_path / "gone").as_uri()):
        with pytest.raises(Rejected, match="WFE_PAYLOAD_KEYS"):
            open_keys(place, None)
