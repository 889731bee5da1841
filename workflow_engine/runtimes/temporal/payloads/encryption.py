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
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from workflow_engine.runtimes.temporal.converter import DIGEST, KEY_ID, SEALED
from workflow_engine.runtimes.temporal.held import Content, is_token
from workflow_engine.runtimes.temporal.payloads import wire
from workflow_engine.runtimes.temporal.payloads.keys import Key, Keys
from workflow_engine.runtimes.temporal.payloads.references import is_reference
from workflow_engine.runtimes.temporal.payloads.store import ValueLost

ENCODING = SEALED.encode()
_SALT, _NONCE, _TAG = 16, 12, 16
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
        if is_reference(payload) or is_token(payload):  # what it stands for is encrypted where it is stored
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

    def sealed(self, pieces: Sequence[Content]) -> list[Content]:
        """What `encrypted` makes of the payload that is written in *pieces*, written in pieces, by the current key."""
        return sealed(pieces, self._keys.current(), self._same)

    def unsealed(self, metadata: dict[str, bytes], data: memoryview) -> Content:
        """The payload, as it is written, that `encrypted` made one with this *metadata* and *data* of."""
        return unsealed(data, self._keys.key(metadata.get(KEY_ID, b"").decode(errors="replace")))


def sealed(pieces: Sequence[Content], key: Key, same: int) -> list[Content]:
    """Likewise by *key*. Nothing is copied: the pieces are read twice, and what comes of them is made in its place."""
    size = sum(len(piece) for piece in pieces)
    head = secrets.token_bytes(_HEAD)
    if size >= same:
        mac = hmac.new(_derived(key, b"same"), digestmod="sha256")
        for piece in pieces:
            mac.update(piece)
        head = mac.digest()[:_HEAD]
    encryptor = _ciphering(key, head).encryptor()
    encryptor.authenticate_additional_data(_bound(key))
    made = bytearray(size)
    view = memoryview(made)
    at = 0
    for piece in pieces:
        at += encryptor.update_into(piece, view[at : at + len(piece)])
    encryptor.finalize()
    metadata = {"encoding": ENCODING, KEY_ID: key.id.encode()}
    return [wire.head(metadata, _HEAD + size + _TAG) + head, made, encryptor.tag]


def unsealed(data: memoryview, key: Key) -> Content:
    """The payload, as it is written, whose `sealed` one has this *data*; `ValueLost` as of `decrypted`."""
    head, tag = bytes(data[:_HEAD]), bytes(data[-_TAG:])
    made = bytearray(max(0, len(data) - _HEAD - _TAG))
    try:
        decryptor = _ciphering(key, head).decryptor()
        decryptor.authenticate_additional_data(_bound(key))
        decryptor.update_into(data[_HEAD : _HEAD + len(made)], made)
        decryptor.finalize_with_tag(tag)
    except (InvalidTag, ValueError):
        raise _unreadable(key) from None
    return made


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
        raise _unreadable(key) from None
    return Payload.FromString(plain)


def _unreadable(key: Key) -> ValueLost:
    return ValueLost(
        f"a payload cannot be decrypted: it is damaged, or was encrypted with another key called {key.id!r}"
    )


def _ciphering(key: Key, head: bytes) -> Cipher[GCM]:
    return Cipher(AES(_derived(key, b"payload" + head[:_SALT])), GCM(head[_SALT:]))


def _cipher(key: Key, head: bytes) -> AESGCM:
    return AESGCM(_derived(key, b"payload" + head[:_SALT]))


def _derived(key: Key, purpose: bytes) -> bytes:
    return hmac.digest(key.secret, b"wfe/1/" + purpose, sha256)


def _bound(key: Key) -> bytes:
    """What is authenticated beside the content."""
    return ENCODING + b"/" + key.id.encode()
