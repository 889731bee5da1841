"""How workflows are named in a text: ``NAME``, ``NAMESPACE/NAME``, ``NAMESPACE/NAME:VERSION``."""

from __future__ import annotations

from typing import NamedTuple

from workflow_engine.errors import Rejected

FORMS = "NAMESPACE/NAME[:VERSION], or NAME alone"


class Named(NamedTuple):
    """What a text names; None is any namespace or version."""

    namespace: str | None
    name: str
    version: str | None


def named(text: str) -> Named:
    """Read such a text. The version may stand behind a slash too, as the engine itself writes it.

    The first slash ends the namespace; of the rest, what is behind the last colon, or else the last slash, is the
    version. A text without a slash is a name, whatever else is in it (`id` of DSL 0.8 may have anything). `Rejected`
    where a part is missing.
    """
    namespace, slash, rest = text.partition("/")
    if not slash:
        parts = Named(None, text, None)
    else:
        mark = ":" if ":" in rest else "/"
        name, found, version = rest.rpartition(mark)
        parts = Named(namespace, name, version) if found else Named(namespace, rest, None)
    if not all(part for part in parts if part is not None) or "/" in parts.name:
        raise Rejected("workflow-name", f"{text!r} names no workflow; write {FORMS}")
    return parts


def narrowed(namespace: str | None, text: str | None, version: str | None) -> tuple[str | None, ...]:
    """Namespace, name and version of a filter that has them apart, and may have all of them in its *text* too.

    With a *namespace* of its own, *text* is the name as it is, which may have a slash, unless it begins with that
    namespace. `Rejected` where two versions are named.
    """
    if text is None or (namespace is not None and not text.startswith(f"{namespace}/")):
        return namespace, text, version
    found = named(text)
    if version is not None and found.version not in (None, version):
        raise Rejected("invalid-query", f"{text!r} is of version {found.version}, and {version} is asked for")
    return found.namespace, found.name, found.version or version
