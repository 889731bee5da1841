"""``call: a2a``: one request to an agent of the Agent2Agent protocol, by JSON-RPC."""

from __future__ import annotations

import time
import uuid
from contextlib import aclosing
from dataclasses import replace

from multidict import CIMultiDict

from workflow_engine.calls import agent_card, json_rpc
from workflow_engine.calls.agent_card import JSON_RPC, Interface
from workflow_engine.calls.content import JSON, MediaType, encode
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.event_stream import MEDIA_TYPE, server_events
from workflow_engine.calls.exchange import Request, deadline, header_safe, opened, read_answer, refusal
from workflow_engine.calls.http import endpoint, members, merge_headers, shown, target
from workflow_engine.calls.uri_template import address
from workflow_engine.calls.url import parse_url, shown_url
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject

MODERN_NAMES = {
    "message/send": "SendMessage",
    "message/stream": "SendStreamingMessage",
    "tasks/get": "GetTask",
    "tasks/list": "ListTasks",
    "tasks/cancel": "CancelTask",
    "tasks/resubscribe": "SubscribeToTask",
    "tasks/pushNotificationConfig/set": "CreateTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/get": "GetTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/list": "ListTaskPushNotificationConfigs",
    "tasks/pushNotificationConfig/delete": "DeleteTaskPushNotificationConfig",
    "agent/getAuthenticatedExtendedCard": "GetExtendedAgentCard",
}
"""What the methods of the DSL, which are those of A2A 0.3, are called in A2A 1.0."""
STREAMS = frozenset({"message/stream", "tasks/resubscribe"})
MESSAGES = frozenset({"message/send", "message/stream"})
MAX_RESULTS = 10_000

_ARGUMENTS = frozenset({"method", "agentCard", "server", "parameters"})
_STATUS = {-32001: 404, -32002: 409, -32005: 415, -32007: 404}
_ID = 1


async def call(arguments: JsonObject, context: CallContext) -> Json:
    """Perform ``call: a2a`` with the evaluated ``with`` of the task (specification 1.0.2, A2A call).

    The output is the JSON-RPC result, of the methods that stream the list of all results. A JSON-RPC error is a runtime
    fault, what the network or HTTP does a communication fault (decision A59). A message without an id has one that is
    made of the idempotency key, so that the agent knows a second attempt.
    """
    started = time.monotonic()
    unknown = sorted(name for name in arguments if name not in _ARGUMENTS and not name.startswith("$"))
    if unknown:
        raise fault("configuration", f"call a2a has no argument {unknown[0]!r}")
    method = arguments.get("method")
    if not isinstance(method, str) or method not in MODERN_NAMES:
        known = ", ".join(MODERN_NAMES)
        raise fault("configuration", f"method must be one of {known}, not {shown(method)}")
    given = arguments.get("parameters")
    parameters = members(given, "parameters")
    async with deadline(context.timeout, f"a2a {method}"):
        request, interface = await _request(method, arguments, context)
        parameters = _completed(method, parameters, interface, context)
        message = json_rpc.request(
            _ID,
            MODERN_NAMES[method] if interface.modern else method,
            None if given is None and not parameters else parameters,
        )
        body, _ = encode(message, JSON)
        request.headers["Content-Type"] = JSON
        request.headers["Idempotency-Key"] = header_safe(context.idempotency_key)
        if interface.modern:
            request.headers["A2A-Version"] = interface.version
        left = max(context.timeout - (time.monotonic() - started), 0.001)
        return await _asked(method, replace(request, body=body), replace(context, timeout=left))


async def _request(method: str, arguments: JsonObject, context: CallContext) -> tuple[Request, Interface]:
    """Whom to ask, without what; the card says it, or else the author."""
    by_card = "agentCard" in arguments
    described = (
        members(arguments.get("agentCard"), "agentCard").get("endpoint")
        if by_card
        else arguments.get("server")
    )
    uri, policy = endpoint(described)
    uri = address(uri, arguments)
    if not by_card:
        url, credentials = await target(uri, policy, context.egress)
        headers = merge_headers(credentials.headers, None, context.egress)
        return Request("POST", url, headers, credentials=credentials), Interface(uri, JSON_RPC, "0.3")
    card = await agent_card.read(uri, policy, context)
    interface = card.interface(modern=method == "tasks/list")
    scheme = card.scheme(policy)
    if scheme is None:
        policy = None
    elif _origin(uri) != _origin(interface.url):
        raise fault(
            "authentication",
            f"{card.name} is at {_origin(interface.url)}, its card at {_origin(uri)}; credentials for the one "
            "are not sent to the other. Name the agent by `server`, with its authentication",
        )
    url, credentials = await target(interface.url, policy, context.egress)
    headers = merge_headers(credentials.headers, None, context.egress)
    if scheme is not None and scheme.get("type") == "apiKey":
        url = agent_card.api_key(scheme, policy, url, headers)
    return Request("POST", url, headers, credentials=credentials), interface


def _origin(uri: str) -> str:
    try:
        return str(parse_url(uri).origin())
    except ValueError as error:
        raise fault("configuration", f"the agent cannot be called: {error}") from None


def _completed(method: str, parameters: JsonObject, interface: Interface, context: CallContext) -> JsonObject:
    """*parameters* with what the specification has runtimes add, and what the protocol needs to know a message."""
    if interface.tenant:
        parameters = {"tenant": interface.tenant, **parameters}
    if method not in MESSAGES:
        return parameters
    message = members(parameters.get("message"), "the message")
    added: JsonObject = {"messageId": str(uuid.uuid5(uuid.NAMESPACE_URL, context.idempotency_key))}
    added["role"] = "ROLE_USER" if interface.modern else "user"
    if not interface.modern:
        added["kind"] = "message"
    return {**parameters, "message": {**added, **message}}


async def _asked(method: str, request: Request, context: CallContext) -> Json:
    what = f"a2a {method}"
    shown_request = f"POST {shown_url(request.url)}"
    headers = CIMultiDict(request.headers)
    headers["Accept"] = f"{JSON}, {MEDIA_TYPE}" if method in STREAMS else JSON
    limit = context.egress.max_response
    request = replace(request, headers=headers)
    async with opened(request, context.egress, redirect=True, leave=False) as (answer, asked):
        if not 200 <= answer.status <= 299:
            raise await refusal(answer, asked, context.redact)
        if MediaType.parse(answer.headers.get("Content-Type", "")).name != MEDIA_TYPE:
            body = await read_answer(answer, shown_request, limit)
            results = [_result(body, what, shown_request, context)]
            return results if method in STREAMS else results[0]
        if method not in STREAMS:
            raise fault("communication", f"{shown_request}: the answer to {method} is an event stream")
        results = []
        async with aclosing(server_events(answer.content, shown_request, limit, in_all=limit)) as events:
            async for event in events:
                if not event.data.strip():
                    continue
                results.append(_result(event.data, what, shown_request, context))
                if len(results) > MAX_RESULTS:
                    raise fault("communication", f"{what}: there are more than {MAX_RESULTS} results")
                if _last(results[-1]):
                    break
        return results


def _result(body: bytes, what: str, shown_request: str, context: CallContext) -> Json:
    [message, *more] = json_rpc.messages(body, shown_request, context.redact)
    if more or "method" in message or message.get("id") not in (_ID, None):
        raise fault("communication", f"{shown_request}: the answer is not the one to this request")
    if "error" not in message:  # the official SDK leaves out a result that is null
        return message.get("result")
    return json_rpc.result_of(message, what, _STATUS, context.redact)


def _last(result: Json) -> bool:
    """Whether an agent says that nothing comes after *result*, even if it does not end the stream."""
    return isinstance(result, dict) and result.get("kind") == "status-update" and result.get("final") is True
