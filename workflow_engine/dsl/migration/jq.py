"""The jq that keeps the meaning of DSL 0.8 in a 1.0 document: merging, filters, which error, which event."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from workflow_engine import expressions
from workflow_engine.graph.model import ErrorMatch
from workflow_engine.values import Json

MERGE = """def merge($a; $b):
  if ($a | type) == "object" and ($b | type) == "object" then
    reduce ($b | keys_unsorted[]) as $k ($a; .[$k] = if has($k) then merge(.[$k]; $b[$k]) else $b[$k] end)
  elif ($a | type) == "array" then
    reduce (if ($b | type) == "array" then $b[] else $b end) as $v ($a; if any(.[]; . == $v) then . else . + [$v] end)
  else $b end;
"""
"""What DSL 0.8 does where it merges: `workflow_engine.values.deep_merge`."""

ADD = """def add_result($r; $name):
  if $r == null then .
  elif type == "object" and ($r | type) != "object" then merge(.; {($name): $r})
  else merge(.; $r) end;
"""
"""A result merged into the root of the state data: what is no object gets a name, null is nothing."""

CHANGES = """def changes($a; $b):
  if ($a | type) == "object" and ($b | type) == "object" then
    reduce ($b | keys_unsorted[]) as $k ({};
      if ($a | has($k) | not) then .[$k] = $b[$k]
      elif $a[$k] == $b[$k] then .
      else .[$k] = changes($a[$k]; $b[$k]) end)
  else $b end;
"""
"""What a branch changed in the state data that it began with."""

_SPECIAL = re.compile(r"([\\.^$*+?{}\[\]|()])")


def slot(source: str) -> str:
    """*source* as a slot of a document."""
    text = source.strip()
    return "${ " + text + ("\n}" if "#" in text or "\n" in text else " }")


def literal(value: Json) -> str:
    """*value* in jq."""
    return json.dumps(value, ensure_ascii=False)


def one(source: str, variables: frozenset[str]) -> str:
    """*source* so that it can stand in a larger expression: its outputs are one value there too.

    No output is null, several are an array, as they are where the expression stands alone (decision A3).
    """
    closed = f"({source}\n)" if "#" in source else f"({source.strip()})"
    if expressions.compile(source, variables=variables).single:
        return source.strip() if re.fullmatch(r"\s*\.[\w.]*\s*", source) else closed
    return f"([{closed}] | if length > 1 then . else .[0] end)"


def path(parts: tuple[str | int, ...]) -> str:
    """The path *parts* in jq."""
    text = ""
    for part in parts:
        plain = isinstance(part, str) and re.fullmatch(r"[A-Za-z_]\w*", part)
        text += f".{part}" if plain else f"[{literal(part)}]"
    return text if text.startswith(".") else "." + text


def kept(selected: str, wrap: str | None) -> str:
    """A filter of state data: what selects nothing keeps the data; *wrap* names what is no object (B1, B7)."""
    named = f' elif ($s | type) != "object" then {{{literal(wrap)}: $s}}' if wrap else ""
    return f"{selected} as $s | if $s == null then .{named} else $s end"


def is_error(wanted: ErrorMatch) -> str:
    """Whether ``.``, an error, is *wanted*, by its code or its name (decision B15)."""
    tests = []
    if wanted.code is not None:
        code = wanted.code.removeprefix("HTTP:")
        if code.isdecimal():
            tests.append(f".status == {int(code)}")
        else:
            tests.append(f"(.type == {literal(code)} or .title == {literal(code)})")
            tests.append(f"(.type | test({literal(_tail(code))}))")
    name = wanted.name
    tests.append(f'(.title // "" | ascii_downcase) == {literal(name.lower())}')
    tests.append(f'(.type | test({literal(_tail(name))}; "i"))')
    if name.casefold() == "timeouterror":
        tests.append('(.type | endswith("/timeout"))')
    return " or ".join(tests)


def _tail(name: str) -> str:
    return "(^|[/#:])" + _SPECIAL.sub(r"\\\1", name) + "/*$"


def is_event(definition: dict[str, Json]) -> str:
    """Whether ``.``, an event, is one of those that *definition* means."""
    tests = [f".type == {literal(definition.get('type'))}"]
    source = definition.get("source")
    if isinstance(source, str) and source:
        tests.append(
            f"(.source | test({literal(mqtt(source))}))" if _wild(source) else f".source == {literal(source)}"
        )
    return " and ".join(tests)


def _wild(source: str) -> bool:
    return any(part in {"+", "#"} for part in source.split("/"))


def attribute(source: str) -> str:
    """The filter of the attribute ``source``: text that is equal, or an expression for wildcards of MQTT (B21)."""
    if _wild(source):
        return slot(f"test({literal(mqtt(source))})")
    return plain(source)


def plain(text: str) -> str:
    """*text* as the filter of an attribute that it must be equal to, though it may look like a pattern (A40)."""
    return slot(f". == {literal(text)}") if re.search(r"[\\^$*+?{}\[\]|()]", text) else text


def mqtt(source: str) -> str:
    """The regular expression for a topic filter of MQTT."""
    known = {"+": "[^/]+", "#": ".*"}
    parts = [known.get(part, _SPECIAL.sub(r"\\\1", part)) for part in source.split("/")]
    return "^" + "/".join(parts) + "$"


@dataclass(frozen=True, slots=True)
class Merging:
    """How a result is merged into state data: at *path*, or at the root, where what is no object is called *name*.

    That is what decisions B2 and B5 say.
    """

    path: tuple[str | int, ...]
    name: str

    @property
    def defines(self) -> str:
        """The functions that its program needs."""
        return MERGE if self.path else MERGE + ADD

    def program(self, result: str) -> str:
        """On state data, with the value of the variable *result* merged into it."""
        if not self.path:
            return f"add_result({result}; {literal(self.name)})"
        return f"{path(self.path)} |= merge(.; {result})"
