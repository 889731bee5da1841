"""The codec: payloads encrypted by AES-256-GCM, under a key whose id stands beside each of them.

Each payload has a key of its own, derived from the one it is told of and 28 bytes: 16 of salt and the nonce. For a
small payload they are random. For a large one they are a keyed digest of its content: the same value gives the same
bytes, so that the store has it once however often it is passed on, and tells who reads the store no more than
that two claims are of one value. Whatever is not encrypted is left as it is when it is decoded: histories from before
there were keys go on.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Sequence
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from workflow_engine.runtimes.temporal.converter import DIGEST
from workflow_engine.runtimes.temporal.payloads.keys import Key, Keys
from workflow_engine.runtimes.temporal.payloads.references import is_reference
from workflow_engine.runtimes.temporal.payloads.store import ValueLost

ENCODING = b"binary/wfe-encrypted"
KEY_ID = "encryption-key-id"
_SALT, _NONCE = 16, 12
_HEAD = _SALT + _NONCE
_ELSEWHERE = 64 * 1024
"""From so many bytes on another thread encrypts and decrypts: others go on meanwhile."""


class Encryption(PayloadCodec):
    """Encrypts by the current key, decrypts by any. *same* is from how many bytes on the same value gives the same."""

    def __init__(self, keys: Keys, same: int) -> None:
        self._keys, self._same = keys, same

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        key = self._keys.current()
        return [await self._encrypted(payload, key) for payload in payloads]

    async def _encrypted(self, payload: Payload, key: Key) -> Payload:
        if is_reference(payload):  # it says where something is that is encrypted
            return payload
        if payload.ByteSize() < _ELSEWHERE:
            return encrypted(payload, key, self._same)
        return await asyncio.to_thread(encrypted, payload, key, self._same)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [await self._decrypted(payload) for payload in payloads]

    async def _decrypted(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        key = self._keys.key(payload.metadata[KEY_ID].decode(errors="replace"))
        if len(payload.data) < _ELSEWHERE:
            return decrypted(payload, key)
        return await asyncio.to_thread(decrypted, payload, key)


def encrypted(payload: Payload, key: Key, same: int) -> Payload:
    """*payload* in another that says nothing of it, but which bundle it is if it is one."""
    plain = payload.SerializeToString(deterministic=True)
    if len(plain) >= same:
        head = hmac.digest(_derived(key, b"same"), plain, "sha256")[:_HEAD]
    else:
        head = secrets.token_bytes(_HEAD)
    metadata = {"encoding": ENCODING, KEY_ID: key.id.encode()}
    if DIGEST in payload.metadata:
        metadata[DIGEST] = payload.metadata[DIGEST]
    sealed = _cipher(key, head).encrypt(head[_SALT:], plain, _bound(key))
    return Payload(metadata=metadata, data=head + sealed)


def decrypted(payload: Payload, key: Key) -> Payload:
    """What `encrypted` made *payload* of; `ValueLost` when it was not this key, or the bytes are damaged."""
    head, sealed = payload.data[:_HEAD], payload.data[_HEAD:]
    try:
        plain = _cipher(key, head).decrypt(head[_SALT:], sealed, _bound(key))
    except (InvalidTag, ValueError):
        raise ValueLost(
            f"a payload cannot be decrypted: it is damaged, or was encrypted with another key called {key.id!r}"
        ) from None
    return Payload.FromString(plain)


def _cipher(key: Key, head: bytes) -> AESGCM:
    return AESGCM(_derived(key, b"payload" + head[:_SALT]))


def _derived(key: Key, purpose: bytes) -> bytes:
    return hmac.digest(key.secret, b"wfe/1/" + purpose, sha256)


def _bound(key: Key) -> bytes:
    """What is authenticated beside the content."""
    return ENCODING + b"/" + key.id.encode()
