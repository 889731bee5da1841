"""``call: http``: one HTTP request made of evaluated arguments."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping
from dataclasses import replace

from multidict import CIMultiDict
from yarl import URL

from workflow_engine.calls.authentication import authenticate
from workflow_engine.calls.content import encode, kind, scalars
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.credentials import NOBODY, Credentials
from workflow_engine.calls.egress import Egress
from workflow_engine.calls.exchange import OUTPUTS, Request, deadline, exchange
from workflow_engine.calls.uri_template import address
from workflow_engine.calls.url import add_query, parse_url, query_piece, shown_uri
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject

_ARGUMENTS = frozenset({"method", "endpoint", "headers", "query", "body", "output", "redirect"})
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FRAMING = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


async def call(arguments: JsonObject, context: CallContext) -> Json:
    """Perform ``call: http`` with the evaluated ``with`` of the task (specification 1.0, HTTP call).

    ``$uri_variables`` in *arguments* is what the endpoint's URI template is expanded with; it is absent
    where the endpoint came from an expression, which gives a URI and not a template. ``$function`` is the name of the
    function of DSL 0.8 whose service has the endpoint, a path; with ``$any_status`` an error status is an answer like
    any other. A null body is no body. Header names of the output are in lower case, and credentials in it are hidden.
    """
    unknown = sorted(name for name in arguments if name not in _ARGUMENTS and not name.startswith("$"))
    if unknown:
        raise fault("configuration", f"call http has no argument {unknown[0]!r}")
    method = arguments.get("method")
    if not isinstance(method, str) or not HEADER_NAME.fullmatch(method):
        raise fault("configuration", f"method must be the name of an HTTP method, not {shown(method)}")
    output, redirect = answer_options(arguments)
    uri, policy = endpoint(arguments.get("endpoint"))
    if "$function" in arguments and uri.startswith("/"):
        uri = context.egress.service(str(arguments["$function"])).rstrip("/") + uri
    uri = address(uri, arguments)
    started = time.monotonic()
    if policy is None:
        url, credentials = await target(uri, policy, context.egress)
    else:
        async with deadline(context.timeout, f"authentication to call {shown_uri(uri)}"):
            url, credentials = await target(uri, policy, context.egress)
    headers = merge_headers(credentials.headers, arguments.get("headers"), context.egress)
    url = add_query(url, _query(arguments.get("query")))
    body: bytes | None = None
    if arguments.get("body") is not None:
        body, content_type = encode(arguments["body"], headers.get("Content-Type", ""))
        headers["Content-Type"] = content_type
    request = Request(method.upper(), url, headers, body, credentials)
    if credentials.renew is not None:  # a token may have taken a part of the time
        left = max(context.timeout - (time.monotonic() - started), 0.001)
        context = replace(context, timeout=left)
    lenient = arguments.get("$any_status") is True
    return await exchange(request, context, output=output, redirect=redirect, any_status=lenient)


def answer_options(arguments: JsonObject) -> tuple[str, bool]:
    """The arguments ``output`` and ``redirect``, which HTTP and OpenAPI calls share."""
    output = arguments.get("output", "content")
    if not isinstance(output, str) or output not in OUTPUTS:
        raise fault("configuration", f"output must be one of {', '.join(OUTPUTS)}, not {shown(output)}")
    redirect = arguments.get("redirect", False)
    if not isinstance(redirect, bool):
        raise fault("configuration", f"redirect must be true or false, not {shown(redirect)}")
    return output, redirect


def endpoint(value: Json) -> tuple[str, Json]:
    """The URI (or template) and the authentication policy of an endpoint in either of its forms."""
    if isinstance(value, dict):
        uri, policy = value.get("uri"), value.get("authentication")
    else:
        uri, policy = value, None
    if not isinstance(uri, str) or not uri.strip():
        raise fault("configuration", f"the endpoint's URI must be a string, not {shown(uri)}")
    return uri.strip(), policy


async def target(uri: str, policy: Json, egress: Egress) -> tuple[URL, Credentials]:
    """The URL that may be called, and the credentials for it.

    User information in the URI (``https://user:password@host``) is basic authentication, unless *policy*
    says otherwise; it is taken out of the URL.
    """
    try:
        url = parse_url(uri)
    except ValueError as error:
        raise fault("configuration", f"the endpoint cannot be called: {error}") from None
    credentials = NOBODY
    if url.user or url.password:
        userinfo = f"{url.user or ''}:{url.password or ''}".encode()
        credentials = Credentials({"Authorization": f"Basic {base64.b64encode(userinfo).decode()}"})
        url = url.with_user(None)
    url = egress.admit(url)
    if policy is not None:
        credentials = await authenticate(policy, egress, url)
    return url, credentials


def merge_headers(given: Mapping[str, str], value: Json, egress: Egress) -> CIMultiDict[str]:
    """The author's headers and those *given* by authentication, which win over the author's.

    Scalars are stringified, an array repeats the header, null leaves it out (decision A51). Headers that
    frame the message belong to the engine.
    """
    headers: CIMultiDict[str] = CIMultiDict()
    for name, item in members(value, "headers").items():
        if not HEADER_NAME.fullmatch(name):
            raise fault("validation", f"{shown(name)} is not the name of an HTTP header")
        if name.lower() in _FRAMING:
            raise fault("configuration", f"header {name} is set by the engine; leave it out")
        for text in scalars(item, f"header {name}"):
            if _CONTROL.search(text):
                raise fault("validation", f"header {name} has a control character in its value")
            headers.add(name, text.strip())
    if "Host" in headers:
        egress.policy.check_host(headers["Host"].rpartition(":")[0] or headers["Host"])
    headers.update(given)
    return headers


def _query(value: Json) -> list[str]:
    """Query parameters: scalars stringified, arrays repeated, null left out (decision A51)."""
    return [
        query_piece(name, text)
        for name, item in members(value, "query").items()
        for text in scalars(item, f"query parameter {name!r}")
    ]


def members(value: Json, what: str) -> JsonObject:
    """*value* as an object, empty for null; a configuration fault names *what* is none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise fault("configuration", f"{what} must be an object, not {kind(value)}")
    return value


def shown(value: Json) -> str:
    """A wrong argument for a message: a string as it is, as far as it is short, else what kind it is."""
    return repr(value[:100]) if isinstance(value, str) else kind(value)
