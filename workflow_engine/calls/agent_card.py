"""Agent cards of A2A (0.2, 0.3 and 1.0): where an agent is, which protocol it speaks, and how it wants to be asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from multidict import CIMultiDict
from yarl import URL

from workflow_engine.calls.content import parse_json
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.documents import fetch
from workflow_engine.calls.http import HEADER_NAME, shown
from workflow_engine.calls.url import add_query, bounded, parse_url, query_piece, shown_uri
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject

WELL_KNOWN = "/.well-known/agent-card.json"
JSON_RPC = "JSONRPC"

_VERSION = re.compile(r"\d{1,4}(\.\d{1,4}){0,3}")
_TOKENS = frozenset({"bearer", "oauth2", "oidc"})
_FITS = {
    "http basic": frozenset({"basic"}),
    "http digest": frozenset({"digest"}),
    "http bearer": _TOKENS,
    "oauth2": _TOKENS,
    "openIdConnect": _TOKENS,
    "apiKey": frozenset({"bearer"}),
}
"""Which authentication policies of the DSL satisfy which kinds of schemes; an API key is the token of a bearer."""
_NESTED = {
    "apiKeySecurityScheme": "apiKey",
    "httpAuthSecurityScheme": "http",
    "oauth2SecurityScheme": "oauth2",
    "openIdConnectSecurityScheme": "openIdConnect",
    "mtlsSecurityScheme": "mutualTLS",
}


@dataclass(frozen=True, slots=True)
class Interface:
    """One way to an agent: where, over what, in which version of the protocol, and as whose tenant."""

    url: str
    transport: str
    version: str
    tenant: str = ""

    @property
    def modern(self) -> bool:
        """Whether it is of A2A 1.0 or later, whose methods have other names."""
        return not self.version.startswith("0.")


@dataclass(frozen=True, slots=True)
class AgentCard:
    """A card as it was read; *name* is for people."""

    data: JsonObject
    name: str

    def interface(self, *, modern: bool) -> Interface:
        """How to call the agent by JSON-RPC, in the version that is preferred if it has that; else a fault."""
        found = list(self._interfaces())
        spoken = [each for each in found if each.transport == JSON_RPC]
        if not spoken:
            others = ", ".join(dict.fromkeys(each.transport for each in found)) or "nothing"
            raise fault(
                "configuration",
                f"{self.name} is called by {bounded(others, 100)}; `call: a2a` speaks {JSON_RPC} alone",
            )
        chosen = next((each for each in spoken if each.modern is modern), spoken[0])
        if not _VERSION.fullmatch(chosen.version):
            raise fault("configuration", f"{self.name} speaks version {shown(chosen.version)}, which is none")
        return chosen

    def _interfaces(self) -> Iterator[Interface]:
        """The interfaces in the order of the agent's preference; those of 1.0 and those of before."""
        listed = self.data.get("supportedInterfaces")
        for item in listed if isinstance(listed, list) else []:
            if isinstance(item, dict) and isinstance(item.get("url"), str):
                yield Interface(
                    str(item["url"]),
                    str(item.get("protocolBinding") or JSON_RPC),
                    str(item.get("protocolVersion") or "1.0"),
                    str(item.get("tenant") or ""),
                )
        version = str(self.data.get("protocolVersion") or "0.3.0")
        if not version.startswith("0."):
            return
        if isinstance(self.data.get("url"), str):
            transport = str(self.data.get("preferredTransport") or JSON_RPC)
            yield Interface(str(self.data["url"]), transport, version)
        more = self.data.get("additionalInterfaces")
        for item in more if isinstance(more, list) else []:
            if isinstance(item, dict) and isinstance(item.get("url"), str):
                yield Interface(str(item["url"]), str(item.get("transport")), version)

    def scheme(self, policy: Json) -> JsonObject | None:
        """The security scheme that *policy* satisfies; None where the agent asks for none.

        An authentication fault when the agent wants something else than *policy*.
        """
        required = list(self._requirements())
        if not required:
            return None
        given = next(iter(policy)) if isinstance(policy, dict) and policy else None
        for names in required:
            schemes = [self._scheme(name) for name in names]
            if not schemes:
                return None
            if len(schemes) == 1 and given in _FITS.get(_kind(schemes[0]), ()):
                return schemes[0]
        wanted = " or ".join(" and ".join(_kind(self._scheme(name)) for name in names) for names in required)
        has = "no authentication" if given is None else f"authentication {given}"
        raise fault(
            "authentication", f"{self.name} wants {bounded(wanted, 200)}, and its endpoint has {has} here"
        )

    def _requirements(self) -> Iterator[list[str]]:
        """The alternatives, each the names of the schemes that must all be satisfied."""
        for item in self._list("security") or self._list("securityRequirements"):
            if isinstance(item, dict):
                schemes = item.get("schemes")
                yield [*(schemes if isinstance(schemes, dict) else item)]

    def _list(self, name: str) -> list[Json]:
        value = self.data.get(name)
        return value if isinstance(value, list) else []

    def _scheme(self, name: str) -> JsonObject:
        """A scheme in the form that it had before 1.0, with its ``type``."""
        schemes = self.data.get("securitySchemes")
        scheme = schemes.get(name) if isinstance(schemes, dict) else None
        if not isinstance(scheme, dict):
            return {"type": f"scheme {name!r}"}
        if "type" in scheme:
            return scheme
        for nested, type in _NESTED.items():
            inner = scheme.get(nested)
            if isinstance(inner, dict):
                return {**inner, "in": inner.get("in", inner.get("location")), "type": type}
        return {"type": f"scheme {name!r}"}


async def read(uri: str, policy: Json, context: CallContext) -> AgentCard:
    """The card at *uri*, or at its well-known place where *uri* is that of a host alone.

    A card describes a service as it is now, so it is fetched by the call that needs it, and remembered for a minute.
    """
    try:
        url = parse_url(uri)
    except ValueError as error:
        raise fault("configuration", f"the agent card cannot be fetched: {error}") from None
    if url.raw_path in ("", "/") and not url.raw_query_string:
        url = url.with_path(WELL_KNOWN)
    uri = str(url)
    remembered = context.egress.texts.get(uri) if policy is None else None
    found = remembered or await fetch(uri, policy, context.egress, seconds=context.timeout, kind="agent card")
    what = f"the agent card {shown_uri(uri)}"
    try:
        data = parse_json(found[1])
    except ValueError as error:
        raise fault("configuration", f"{what} is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise fault("configuration", f"{what} is no object, but {shown(data)}")
    if policy is None:
        context.egress.texts.put(uri, found)
    name = data.get("name")
    return AgentCard(data, f"agent {bounded(name, 100)!r}" if isinstance(name, str) and name else what)


def api_key(scheme: JsonObject, policy: Json, url: URL, headers: CIMultiDict[str]) -> URL:
    """Put the token of the bearer *policy* where *scheme* wants its API key; the URL to call."""
    details = policy.get("bearer") if isinstance(policy, dict) else None
    token = details.get("token") if isinstance(details, dict) else details
    name, where = scheme.get("name"), scheme.get("in")
    if not isinstance(token, str) or not isinstance(name, str) or not HEADER_NAME.fullmatch(name):
        detail = f"the API key that the agent wants has no name that can be used: {shown(name)}"
        raise fault("configuration", detail)
    headers.popall("Authorization", None)
    match where:
        case "header":
            headers[name] = token
        case "cookie":
            headers["Cookie"] = f"{quote(name)}={quote(token)}"
        case "query":
            return add_query(url, [query_piece(name, token)])
        case _:
            raise fault("configuration", f"the agent wants an API key in {shown(where)}, where none can be")
    return url


def _kind(scheme: JsonObject) -> str:
    type = str(scheme.get("type"))
    return f"http {str(scheme.get('scheme')).lower()}" if type == "http" else type
