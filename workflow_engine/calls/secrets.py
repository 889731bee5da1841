"""Where the values of secrets come from: the environment, files.

A workflow names a secret; its value is looked up where a call is made or an expression is evaluated with it
(`calls.evaluations`), and nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from workflow_engine.errors import NotFound, Rejected
from workflow_engine.values import Json, JsonObject

ENVIRONMENT = "WFE_SECRET_"
ENTRY_POINTS = "workflow_engine.secrets"
"""The entry point group in which other distributions name theirs: scheme = ``module:opener``."""
MAX_SECRET = 64 * 1024
"""The largest secret, in bytes: what all the keys of a folder come to."""
_FILE = re.compile(r"[^/\\\x00]{1,255}")


class Secrets(Protocol):
    """Where the values of secrets are kept."""

    async def get(self, name: str) -> Json:
        """The value of secret *name*: an object, or text. `NotFound` when there is none that may be read.

        It is asked for each attempt of each call, so that a new value counts at once.
        """
        ...


class NoSecrets:
    """Knows no secret."""

    async def get(self, name: str) -> Json:
        raise NotFound("secret", name, "no place for secrets is configured")


NO_SECRETS = NoSecrets()


class GivenSecrets:
    """Those of a mapping: for tests of workflows."""

    def __init__(self, values: Mapping[str, Json]) -> None:
        self._values = values

    async def get(self, name: str) -> Json:
        if name not in self._values:
            raise NotFound("secret", name, "write it below `secrets`")
        return self._values[name]


class EnvironmentSecrets:
    """Environment variables: *prefix* and the name, as it is or in capitals with ``_`` for what is no letter or digit
    (``WFE_SECRET_MY_KEY`` for ``my-key``). A value that is a JSON object is one, anything else is text.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, prefix: str = ENVIRONMENT) -> None:
        self._environ = os.environ if environ is None else environ
        self._prefix = prefix

    async def get(self, name: str) -> Json:
        variable = self._prefix + re.sub(r"[^A-Z0-9]", "_", name.upper())
        for found in (self._prefix + name, variable):
            if found in self._environ:
                return _parsed(self._environ[found])
        raise NotFound("secret", name, f"the environment here has no {variable}")


class FileSecrets:
    """A folder as Kubernetes mounts secrets: a file for each secret, or a folder with a file for each of its keys.

    A file that is a JSON object is one, any other is text, without the line break at its end. Names that begin with a
    dot are not secrets.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def get(self, name: str) -> Json:
        if not _FILE.fullmatch(name) or name.startswith("."):
            raise NotFound("secret", name, "it is not the name of a file")
        try:
            return await asyncio.to_thread(self._read, self._folder / name)
        except OSError as error:
            raise NotFound(
                "secret", name, f"in {self._folder}: {error.strerror or 'cannot be read'}"
            ) from None
        except ValueError as error:
            raise NotFound("secret", name, f"in {self._folder}: {error}") from None

    def _read(self, path: Path) -> Json:
        if not path.is_dir():
            return _parsed(_text(path, MAX_SECRET))
        keys: JsonObject = {}
        left = MAX_SECRET
        for entry in sorted(path.iterdir()):
            if not entry.name.startswith(".") and entry.is_file():
                text = _text(entry, left)
                left -= len(text)
                keys[entry.name] = text
        return keys


def open_secrets(url: str, environ: Mapping[str, str] | None = None) -> Secrets:
    """The secrets at *url*: ``env:`` (or ``env:PREFIX_``), ``file:///run/secrets``, or a scheme that another
    distribution brings under `ENTRY_POINTS`: a function that takes the URL. `Rejected` for any other.
    """
    if url.startswith("env:"):
        return EnvironmentSecrets(environ, url.removeprefix("env:") or ENVIRONMENT)
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return FileSecrets(Path(unquote(parts.path)))
    others = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if parts.scheme in others:
        opened: Secrets = others[parts.scheme].load()(url)
        return opened
    known = "".join(f", or {name}:" for name in sorted(others))
    raise Rejected("invalid-setting", f"secrets {url!r}: use env: or file:///FOLDER{known}")


def _text(path: Path, limit: int) -> str:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it is larger than {MAX_SECRET} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")


def _parsed(text: str) -> Json:
    if text.lstrip().startswith("{"):
        try:
            value: Json = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return value
    return text
