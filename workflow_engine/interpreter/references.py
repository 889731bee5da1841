"""What a run keeps in the place of secrets: texts that stand for values which it must never know.

An expression with secrets is evaluated where their values are (`Effects.evaluate`); what comes back has a *reference*
wherever a value was. A call that is given a reference gets the value in its place, there. Each run has a *nonce* that
nobody can guess, so that a text which only looks like a reference, from an input or an event, is that text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

from workflow_engine.values import Json, JsonObject

_SPECIAL = re.compile(r"[^a-zA-Z0-9_.-]")
_ESCAPE = re.compile(r"%([0-9a-f]{1,6});")
HIDDEN = "[redacted]"
"""What a reference is outside of its run."""


class Unresolvable(ValueError):
    """A text stands for something that was made of a secret and not kept."""


class References:
    """The references of one run."""

    def __init__(self, nonce: str) -> None:
        self.nonce = nonce
        self._any = re.compile(r"\{(secret|made-of):([^{}:]+):" + re.escape(nonce) + r"\}")

    def to(self, *path: str | int) -> str:
        """The reference to a secret, or to a member of it: its name, then keys and indices."""
        return "{secret:" + "/".join(_escaped(str(part)) for part in path) + ":" + self.nonce + "}"

    def made_of(self, names: Sequence[str]) -> str:
        """What stands for something that an expression made of secrets and that does not show their values."""
        listed = ",".join(map(_escaped, names))
        return "{made-of:" + listed + ":" + self.nonce + "}"

    def to_all(self, value: Json, *path: str | int) -> Json:
        """*value* of a secret with a reference in the place of each text and number."""
        if isinstance(value, dict):
            return {key: self.to_all(item, *path, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.to_all(item, *path, number) for number, item in enumerate(value)]
        return value if value is None or isinstance(value, bool) else self.to(*path)

    def names(self, value: Json) -> set[str]:
        """The secrets that *value* refers to."""
        found: set[str] = set()
        for text in _strings(value):
            for kind, path in self._any.findall(text):
                if kind == "secret":
                    found.add(_plain(path.split("/")[0]))
        return found

    def within(self, value: Json) -> bool:
        """Whether anything of this run's references is in *value*, whole or not."""
        return any(self.nonce in text for text in _strings(value))

    def hidden(self, value: Json) -> Json:
        """*value* as others may see it."""
        return _mapped(value, lambda text: self._any.sub(HIDDEN, text).replace(self.nonce, HIDDEN))

    def resolved(self, value: Json, secrets: JsonObject) -> Json:
        """*value* with the values of *secrets* in the place of references to them.

        A text that is one whole reference becomes the value in its own type.
        """
        return _mapped(value, lambda text: self._resolved(text, secrets))

    def _resolved(self, text: str, secrets: JsonObject) -> Json:
        if self.nonce not in text:
            return text
        whole = self._any.fullmatch(text)
        if whole is not None:
            return self._value(whole, secrets)
        return self._any.sub(lambda found: _text(self._value(found, secrets)), text)

    def _value(self, found: re.Match[str], secrets: JsonObject) -> Json:
        if found[1] != "secret":
            return secrets.get(found[0], found[0])
        value: Json = secrets
        for part in map(_plain, found[2].split("/")):
            if isinstance(value, dict) and part in value:
                value = value[part]
            elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                return found[0]
        return value

    def check(self, value: Json) -> None:
        """`Unresolvable` where *value*, which is resolved, still has something of a reference."""
        for text in _strings(value):
            if self.nonce in text:
                made = self._any.search(text)
                if made is not None and made[1] == "made-of":
                    names = ", ".join(map(_plain, made[2].split(",")))
                    raise Unresolvable(
                        f"it was made of {names} by an expression, and such a text is not kept"
                    )
                raise Unresolvable("an expression has changed what stands for a secret")

    def kept(self, real: Json, referring: Json, secrets: JsonObject, made: str) -> Json:
        """What a run may keep of *real*, the outcome with the values: *referring* is that with references instead.

        Where both say the same, once the references in it are resolved, that is *referring*. Anything else depends on
        a secret without showing it, and is *made*; but true, false and null are what they are.
        """
        if real is None or isinstance(real, bool):
            return real
        if isinstance(real, dict) and isinstance(referring, dict):
            keys = [self._resolved(key, secrets) for key in referring]
            if list(real) == keys:
                return {
                    key: self.kept(item, referring[key], secrets, made)
                    for key, item in zip(referring, real.values(), strict=True)
                }
        elif isinstance(real, list) and isinstance(referring, list) and len(real) == len(referring):
            return [self.kept(*pair, secrets, made) for pair in zip(real, referring, strict=True)]
        elif not isinstance(referring, dict | list | bool):
            resolved = self._resolved(referring, secrets) if isinstance(referring, str) else referring
            if not isinstance(resolved, bool) and resolved == real:
                return referring
        return made


def _escaped(part: str) -> str:
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):x};", part)


def _plain(part: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), part)


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)


def _mapped(value: Json, change: Callable[[str], Json]) -> Json:
    """*value* with each of its texts and keys changed; what has nothing to change is the same object."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        items = [_mapped(item, change) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if isinstance(value, dict):
        changed = {_text(change(key)): _mapped(item, change) for key, item in value.items()}
        same = all(new is old for new, old in zip(changed.values(), value.values(), strict=False))
        return value if same and changed.keys() == value.keys() else changed
    return value


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
