"""Fetch a document that describes an API, within bounds."""

from __future__ import annotations

from multidict import CIMultiDict

from workflow_engine.calls.egress import Egress
from workflow_engine.calls.exchange import Request, deadline, send
from workflow_engine.calls.http import target
from workflow_engine.calls.url import bounded, shown_uri
from workflow_engine.errors import fault
from workflow_engine.values import Json

MAX_DOCUMENT = 4 * 1024 * 1024
"""The largest document that is read, in bytes."""


async def fetch(uri: str, policy: Json, egress: Egress, *, seconds: float, kind: str) -> tuple[str, str]:
    """Fetch the document at *uri* with the authentication *policy*: its final address, and its text.

    *kind* is what errors call it. A `Fault` when it cannot be had: configuration for an address that is not
    on the web or a text that is not UTF-8, communication for what the network or the server says.
    """
    if not uri.startswith(("http://", "https://")):
        raise fault(
            "configuration", f"the {kind} {bounded(uri, 200)} is neither in the bundle nor on the web"
        )
    what = f"the {kind} {shown_uri(uri)}"
    async with deadline(seconds, what):
        url, credentials = await target(uri, policy, egress)
        headers = CIMultiDict(credentials.headers)
        headers["Accept"] = "application/json, application/yaml, */*;q=0.8"
        request = Request("GET", url, headers, credentials=credentials)
        response = await send(request, egress, redirect=True, limit=MAX_DOCUMENT)
    if response.status != 200:
        raise fault("communication", f"{what}: the server answered {response.status}", status=response.status)
    try:
        return str(response.request.url), response.body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise fault("configuration", f"{what} is not UTF-8") from None
