"""JSON-RPC 2.0: what is asked, and what its answers mean here (decision A59)."""

from __future__ import annotations

from collections.abc import Callable

from workflow_engine.calls.content import json_text, parse_json
from workflow_engine.calls.url import bounded
from workflow_engine.errors import Fault, fault
from workflow_engine.values import Json, JsonObject

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602

_STATUS = {PARSE_ERROR: 400, INVALID_REQUEST: 400, METHOD_NOT_FOUND: 404, INVALID_PARAMS: 400}
_SHOWN = 500


def request(id: str | int, method: str, params: JsonObject | None = None) -> JsonObject:
    message: JsonObject = {"jsonrpc": "2.0", "id": id, "method": method}
    return message if params is None else {**message, "params": params}


def notification(method: str, params: JsonObject | None = None) -> JsonObject:
    message: JsonObject = {"jsonrpc": "2.0", "method": method}
    return message if params is None else {**message, "params": params}


def messages(text: bytes, what: str, redact: Callable[[str], str] = str) -> list[JsonObject]:
    """The messages that *text* has, one or a batch; what is no JSON-RPC is a communication fault."""
    try:
        parsed = parse_json(text)
    except ValueError as error:
        excerpt = bounded(" ".join(redact(text[:2000].decode("utf-8", errors="replace")).split()), 200)
        raise fault("communication", f"{what}: the answer is not JSON ({error}): {excerpt!r}") from None
    listed = parsed if isinstance(parsed, list) else [parsed]
    found = [item for item in listed if isinstance(item, dict) and item.get("jsonrpc") == "2.0"]
    if not found or len(found) != len(listed):
        raise fault("communication", f"{what}: the answer is no message of JSON-RPC 2.0")
    return found


def is_request(message: JsonObject) -> bool:
    """Whether *message* asks for an answer."""
    return "method" in message and message.get("id") is not None


def answers(message: JsonObject, id: str | int) -> bool:
    """Whether *message* is the answer to request *id*: an error without an id can be to nothing else."""
    if "method" in message or not ("result" in message or "error" in message):
        return False
    return message.get("id") == id or (message.get("id") is None and "error" in message)


def result_of(
    message: JsonObject, what: str, status: dict[int, int] | None = None, redact: Callable[[str], str] = str
) -> Json:
    """The result that *message* has; an error in it is a runtime fault.

    *status* has the HTTP statuses that describe the error codes of a protocol; the others are 500.
    """
    if "error" not in message:
        return message["result"]
    raise _error(message["error"], what, {**_STATUS, **(status or {})}, redact)


def _error(error: Json, what: str, status: dict[int, int], redact: Callable[[str], str]) -> Fault:
    if not isinstance(error, dict):
        return fault("communication", f"{what}: the answer is no message of JSON-RPC 2.0")
    code, text, data = error.get("code"), error.get("message"), error.get("data")
    detail = f"{what}: error {code if isinstance(code, int) else '?'}: {text}"
    if data is not None:
        detail += f": {data if isinstance(data, str) else json_text(data)}"
    found = status.get(code, 500) if isinstance(code, int) else 500
    return fault("runtime", bounded(" ".join(redact(detail).split()), _SHOWN), status=found)
