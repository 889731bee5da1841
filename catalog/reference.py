"""How a workflow names an operation of the catalog, in one line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from catalog.errors import InvalidReference, InvalidSpec, Problem

_FORMS = "file://<title>.yaml#<operation>, catalog://<service>[@version]#<operation> or <service>#<operation>"
NAME = re.compile(r"[^\x00-\x1f\x7f/@#?%\\]{1,200}")
"""What names and versions are made of, so that each fits into a reference."""

_LENGTH = 1000
_FILE = re.compile(r"(?:.*/)?([^/]+)\.(?:yaml|yml|json)", re.IGNORECASE)
_NAMED = re.compile(r"([^/@]+)(?:@([^/]+))?")


@dataclass(frozen=True, slots=True)
class Reference:
    """*service* is a name in the catalog; *by_title* it may also be the title of a document, as in Apache
    EventMesh, where ``file://orderapp.yaml#sendOrder`` is ``sendOrder`` of the document titled ``orderapp``.
    """

    service: str
    operation: str
    version: str | None = None
    by_title: bool = False

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read one of the three forms; parts are percent-decoded. Raises `InvalidReference`.

        Of a file only the last part of its path counts; ``.yml`` and ``.json`` are understood too.
        """
        if len(text) > _LENGTH:
            raise InvalidReference(f"a reference has at most {_LENGTH} characters; write {_FORMS}")
        path, mark, operation = text.partition("#")
        operation = unquote(operation)
        if not mark or not operation:
            raise InvalidReference(f"{text!r} names no operation; write {_FORMS}")
        scheme, mark, rest = path.partition("://")
        if not mark:
            scheme, rest = ("file" if _FILE.fullmatch(path) else "catalog"), path
        if scheme == "file" and (match := _FILE.fullmatch(rest)):
            return cls(unquote(match[1]), operation, by_title=True)
        if scheme == "catalog" and (match := _NAMED.fullmatch(rest)):
            return cls(unquote(match[1]), operation, unquote(match[2]) if match[2] else None)
        raise InvalidReference(f"{text!r} is not a reference to an operation; write {_FORMS}")


def check_name(name: str) -> None:
    """Raise `InvalidSpec` if a document cannot be registered as *name*."""
    if not NAME.fullmatch(name) or name.strip(" .") != name:
        text = (
            f"{name!r} cannot be the name of a document: 1 to 200 characters, none of / @ # ? % \\ "
            "or control characters, no space or dot at either end"
        )
        raise InvalidSpec([Problem("invalid-name", text)])
