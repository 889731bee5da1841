"""The router's target that sends events over HTTP: CloudEvents as they are, or any JSON made of them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import quote

import aiohttp
import orjson
from multidict import CIMultiDict
from yarl import URL

from workflow_engine.calls.authentication import SCHEMES, authenticate, names_a_secret, with_secret
from workflow_engine.calls.credentials import NOBODY
from workflow_engine.calls.egress import Egress
from workflow_engine.calls.exchange import Request, Response, excerpt, opened, read_answer
from workflow_engine.calls.handshake import ORIGIN, Handshakes, check_handshake, permission_of
from workflow_engine.calls.http import merge_headers
from workflow_engine.calls.reach import UNLIMITED, Reaches
from workflow_engine.calls.retry_after import seconds_until
from workflow_engine.calls.secrets import Secrets
from workflow_engine.calls.url import bounded, parse_url, shown_url
from workflow_engine.errors import Fault, NotFound, Rejected
from workflow_engine.events.http import BATCHED, STRUCTURED, body_of, parse
from workflow_engine.events.subscriptions import check_channel
from workflow_engine.events.targets import Delivered, Delivery, Drop, Gone, Retry
from workflow_engine.events.transforms import NotTransformed, check_template, filled
from workflow_engine.values import Json, JsonObject, pointer

MODES = ("structured", "binary")
MAX_ANSWER = 1024 * 1024
"""The largest answer that is read, in bytes."""
_SKIPPED = 64 * 1024
"""So much of a body that nobody wants is read, for the connection to be used again."""
_MEMBERS = ("kind", "url", "mode", "headers", "body", "authentication", "signing", "replies", "handshake")
_LATER = frozenset({404, 408, 409, 425, 429})
"""Statuses that may be others later, besides those of 500 and more (Knative's data plane, Azure Event Grid)."""
_BUSY = frozenset({429, 503})
"""Statuses whose ``Retry-After`` is for all requests (webhooks of CloudEvents, section 2.2)."""
_QUOTED = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
"""What stays as it is in a header (HTTP binding of CloudEvents, 3.1.3.2)."""

Publish = Callable[[str, Sequence[JsonObject]], Awaitable[object]]


class WebhookTarget:
    """``{"kind": "webhook", "url": …}``: one request for each delivery, and its status says what became of it.

    * ``mode``: ``structured``, or ``binary`` with the attributes as ``ce-`` headers. Several events are a batch.
    * ``body``: a template that makes other JSON of the event, which is ``.``: for services that know no CloudEvents.
    * ``headers``: further ones. ``authentication``: ``{scheme: {use: secret}}``, as calls have it.
    * ``signing: {secret: name}``: signed as Standard Webhooks says, with a secret whose value the subscription has not.
    * ``replies``: a channel for events in the answer.
    * ``handshake``: the target is asked first whether it may be sent to, and how fast (`handshake`).

    200 to 299 is delivered; 404, 408, 409, 425, 429, 500 and above, and what the network does, is tried again, when
    ``Retry-After`` says it, and with 429 and 503 nothing of the subscription is sent before; 410 disables the
    subscription; all else is a dead letter. Redirects are not followed.
    """

    def __init__(
        self,
        egress: Egress,
        secrets: Secrets,
        *,
        reach: Reaches = UNLIMITED,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._egress, self._secrets, self._reach, self._clock = egress, secrets, reach, clock
        self.handshakes = Handshakes(clock)
        self.publish: Publish | None = None
        """Where replies go: the router, which there is after its targets."""

    def check(self, target: JsonObject, *path: str | int) -> None:
        """Raise `Rejected` for what cannot be sent to, whatever the events are."""
        for name in target:
            if name not in _MEMBERS:
                raise _invalid(f"expected one of {', '.join(_MEMBERS)}", *path, name)
        if target.get("mode", MODES[0]) not in MODES:
            raise _invalid(f"expected one of {', '.join(MODES)}", *path, "mode")
        try:
            self._url(target, self._egress)
            merge_headers({}, target.get("headers"), self._egress)
        except Fault as refused:
            place = "headers" if "header" in str(refused.error.detail) else "url"
            raise _invalid(refused.error.detail or "", *path, place) from None
        if "body" in target:
            if "mode" in target:
                raise _invalid("a body of one's own is not a CloudEvent: it has no mode", *path, "mode")
            check_template(target["body"], *path, "body")
        policy = target.get("authentication")
        if policy is not None and not names_a_secret(policy):
            message = f'expected {{scheme: {{"use": secret}}}}, the scheme one of {", ".join(SCHEMES)}'
            raise _invalid(message, *path, "authentication")
        signing = target.get("signing")
        if signing is not None and not (
            isinstance(signing, dict) and set(signing) == {"secret"} and isinstance(signing["secret"], str)
        ):
            raise _invalid('expected {"secret": name}', *path, "signing")
        if "handshake" in target:
            check_handshake(target["handshake"], *path, "handshake")
        if "replies" in target:
            check_channel(str(target["replies"]), *path, "replies")

    def _url(self, target: JsonObject, egress: Egress) -> URL:
        try:
            url = parse_url(str(target.get("url", "")))
        except ValueError as error:
            raise Rejected(
                "target-invalid", f"the URL cannot be called: {error}", pointer="/target/url"
            ) from None
        if url.user or url.password:
            message = "no user information: name a secret in `authentication`"
            raise Rejected("target-invalid", message, pointer="/target/url")
        return egress.admit(url)

    def permission(self, target: JsonObject) -> str | None:
        """As `PermittedTarget`: that of its handshake."""
        if not isinstance(handshake := target.get("handshake"), dict):
            return None
        try:
            return permission_of(handshake, self._url(target, self._egress))
        except (Fault, Rejected):  # it may not be called any more
            return None

    async def deliver(self, delivery: Delivery) -> Delivered:
        try:
            self._reach.check_target(delivery.channel, delivery.target)
            egress = self._reach.of_channel(delivery.channel).egress(self._egress)
            request = await self._request(delivery, egress)
            pause = 0.0
            if isinstance(handshake := delivery.target.get("handshake"), dict):
                pause = await self.handshakes.turn(handshake, request.url, egress)
                request.headers[ORIGIN] = str(handshake["origin"])
            response = await self._sent(request, egress, whole="replies" in delivery.target)
        except NotTransformed as error:
            raise Drop(str(error), code="not-transformed") from None
        except NotFound as error:
            raise Retry(str(error), code="no-secret") from None
        except Rejected as error:
            raise Drop(str(error), code="invalid") from None
        except Fault as failed:
            detail = failed.error.detail or ""
            if failed.error.type.endswith(("/communication", "/authentication")):
                raise Retry(detail, code="no-answer") from None
            raise Drop(detail, code="refused") from None
        return replace(await self._outcome(delivery, response), after=pause)

    async def _sent(self, request: Request, egress: Egress, *, whole: bool) -> Response:
        """The answer. Where it says that the delivery is made, only *whole* makes its body of account: one that is too
        large or broken is no reason to send it again.
        """
        async with opened(request, egress, redirect=False) as (answer, asked):
            body = b""
            if whole or answer.status >= HTTPStatus.MULTIPLE_CHOICES:
                body = await read_answer(answer, f"POST {shown_url(asked.url)}", MAX_ANSWER)
            else:
                with contextlib.suppress(aiohttp.ClientError):
                    await answer.content.read(_SKIPPED)
            sent = CIMultiDict(answer.request_info.headers)
            return Response(answer.status, answer.headers, body, replace(asked, headers=sent))

    async def _request(self, delivery: Delivery, egress: Egress) -> Request:
        target = delivery.target
        secrets = self._reach.of_channel(delivery.channel).keeping(self._secrets)
        url = self._url(target, egress)
        if "body" in target:
            body, framing = await asyncio.to_thread(_message, target, delivery.events)
        else:
            body, framing = _message(target, delivery.events)
        credentials = NOBODY
        if target.get("authentication") is not None:
            credentials = await authenticate(
                await with_secret(target["authentication"], secrets), egress, url
            )
        headers: CIMultiDict[str] = merge_headers(credentials.headers, target.get("headers"), egress)
        headers.update(framing)
        headers["Idempotency-Key"] = delivery.identity
        headers["Router-Delivery-Id"], headers["Router-Attempt"] = delivery.identity, str(delivery.attempt)
        if isinstance(signing := target.get("signing"), dict):
            headers.update(await self._signature(secrets, str(signing["secret"]), delivery.identity, body))
        return Request("POST", url, headers, body, credentials)

    async def _signature(self, secrets: Secrets, secret: str, id: str, body: bytes) -> dict[str, str]:
        """The headers of Standard Webhooks: HMAC-SHA256 over the id, the time and the body."""
        value = await secrets.get(secret)
        text = (
            value if isinstance(value, str) else str(value.get("key", "")) if isinstance(value, dict) else ""
        )
        if not text:
            raise Rejected("no-key", f"the secret {secret!r} is no text, and has no `key`")
        key = text.encode()
        if text.startswith("whsec_"):
            try:
                key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
            except ValueError:
                raise Rejected(
                    "no-key", f"the secret {secret!r} begins with whsec_ and is no Base64"
                ) from None
        moment = str(int(self._clock()))
        digest = hmac.new(key, f"{id}.{moment}.".encode() + body, hashlib.sha256).digest()
        return {
            "Webhook-Id": id,
            "Webhook-Timestamp": moment,
            "Webhook-Signature": f"v1,{base64.b64encode(digest).decode()}",
        }

    async def _outcome(self, delivery: Delivery, response: Response) -> Delivered:
        status = response.status
        code = str(status)
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return Delivered(code, reference=await self._reply(delivery, response))
        said = excerpt(response, str)
        if status < HTTPStatus.BAD_REQUEST:
            to = bounded(response.headers.get("Location", "nowhere"), 200)
            said = f"it leads to {to}; redirects are not followed"
        if status == HTTPStatus.GONE:
            raise Gone(said or "410 Gone")
        if status in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            after = seconds_until(response.headers.get("Retry-After", ""), self._clock())
            raise Retry(said, after=after, code=code, whole=status in _BUSY)
        raise Drop(said, code=code)

    async def _reply(self, delivery: Delivery, response: Response) -> str:
        """Publish the events of an answer, if they are wanted; their ids, so that a trace leads on."""
        channel = delivery.target.get("replies")
        if channel is None or self.publish is None or not response.body:
            return ""
        try:
            events = await asyncio.to_thread(parse, response.headers, response.body, max_bytes=MAX_ANSWER)
        except Rejected as refused:
            if refused.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
                return ""  # an answer for people
            raise Drop(f"the answer is no CloudEvent: {refused}", code="bad-reply") from None
        await self.publish(str(channel), events)
        return ", ".join(str(event["id"]) for event in events)


def _message(target: JsonObject, events: Sequence[JsonObject]) -> tuple[bytes, dict[str, str]]:
    """The body of a request for *events*, and the headers that say what it is."""
    if "body" in target:
        return orjson.dumps(filled(target["body"], events[-1])), {"Content-Type": "application/json"}
    if len(events) > 1:
        return orjson.dumps(events), {"Content-Type": BATCHED}
    [event] = events
    if target.get("mode") != "binary":
        return orjson.dumps(event), {"Content-Type": STRUCTURED}
    headers = {
        f"ce-{name}": quote(_text(value), safe=_QUOTED)
        for name, value in event.items()
        if name not in ("data", "data_base64", "datacontenttype")
    }
    body, media_type = body_of(event)
    return body, headers if media_type is None else {**headers, "Content-Type": media_type}


def _text(value: Json) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _invalid(message: str, *path: str | int) -> Rejected:
    return Rejected("target-invalid", message, pointer=pointer(*path))
