"""URLs as their author wrote them: what is percent-encoded stays so, what must be becomes so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

from yarl import URL

REDACTED = "[redacted]"
_SECRET_NAME = re.compile(
    r"token|secret|passw|api-?_?key|signature|credential|^auth|^sig$|^key$", re.IGNORECASE
)
_PARTS = re.compile(r"[^:/?#]+://[^/?#]*(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?")
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LEGAL = "%/:?[]@!$&'()*+,;=~"


@lru_cache(maxsize=256)
def parse_url(text: str) -> URL:
    """The absolute URL *text*, without its fragment; `ValueError` where it is none.

    ``%2F`` is not ``/`` and ``%40`` is sent as it is; characters that RFC 3986 does not allow, such as
    spaces, braces and letters beyond ASCII, are percent-encoded; the host becomes what DNS understands.
    """
    url = URL(text)
    parts = _PARTS.match(text)
    if parts is None or not url.raw_host:
        raise ValueError(f"{text[:200]!r} is not an absolute URL")
    return URL.build(
        scheme=url.scheme,
        authority=url.raw_authority,
        path=_encoded(parts["path"]) or "/",
        query_string=_encoded(parts["query"] or ""),
        encoded=True,
    )


def add_query(url: URL, pieces: Sequence[str]) -> URL:
    """*url* with *pieces*, each an encoded ``name=value``, after the query it has."""
    if not pieces:
        return url
    query = "&".join([url.raw_query_string, *pieces] if url.raw_query_string else pieces)
    return URL.build(
        scheme=url.scheme, authority=url.raw_authority, path=url.raw_path, query_string=query, encoded=True
    )


def query_piece(name: str, value: str) -> str:
    """One ``name=value`` of a query, percent-encoded."""
    return f"{quote(name, safe='')}={quote(value, safe='')}"


@lru_cache(maxsize=256)
def shown_url(url: URL) -> str:
    """*url* for people: without user information and fragment, secrets in its query hidden, bounded."""
    bare = url.with_user(None).with_fragment(None) if url.absolute else url
    if any(is_secret(name) for name in bare.query):
        pairs = [(name, REDACTED if is_secret(name) else value) for name, value in bare.query.items()]
        bare = bare.with_query(pairs)
    return bounded(str(bare), 500)


def shown_uri(text: str) -> str:
    """Like `shown_url`, of a URI that may be wrong."""
    try:
        return shown_url(parse_url(text))
    except ValueError:
        return "an address that is no URL"


def is_secret(name: str) -> bool:
    """Whether a header or parameter of this *name* is likely to hold a credential."""
    return _SECRET_NAME.search(name) is not None


def bounded(text: str, length: int) -> str:
    """*text* cut to *length* characters; an ellipsis says that something is missing."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _encoded(part: str) -> str:
    return quote(_BARE_PERCENT.sub("%25", part), safe=_LEGAL)
