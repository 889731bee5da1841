"""Where the text of a document is read from when a workflow is deployed: what was sent along, or the web."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from workflow_engine import expressions
from workflow_engine.calls.documents import MAX_DOCUMENT, fetch
from workflow_engine.calls.egress import Egress
from workflow_engine.calls.redaction import Redaction, texts
from workflow_engine.calls.secrets import NO_SECRETS, Secrets
from workflow_engine.errors import Fault, NotFound, Rejected
from workflow_engine.expressions import ExpressionError
from workflow_engine.interpreter.evaluation import SECRETS
from workflow_engine.values import Json, JsonObject

SECONDS = 30.0


class Sources:
    """Texts by their address. *texts* are at hand; *folder* is one of this machine from which all may read."""

    def __init__(
        self,
        egress: Egress,
        texts: Mapping[str, str] | None = None,
        secrets: Secrets = NO_SECRETS,
        folder: Path | None = None,
    ) -> None:
        self._egress = egress
        self._texts = texts or {}
        self._secrets = secrets
        self._folder = None if folder is None else folder.absolute()

    def through(self, egress: Egress, secrets: Secrets) -> Sources:
        """The same texts, and others by way of *egress* with *secrets*."""
        return Sources(egress, self._texts, secrets, self._folder)

    async def text(self, uri: str, kind: str, policy: Json = None) -> tuple[str, str]:
        """The final address and the text of the *kind* of document at *uri*.

        *policy* is evaluated with the secrets that it names, whose values are in neither the text nor an error.
        `Rejected` says why it cannot be had, `NotFound` that there is no such document, or no such secret.
        """
        if uri in self._texts:
            return uri, self._texts[uri]
        if urlsplit(uri).scheme not in ("http", "https"):
            return uri, await self._local(uri, kind)
        evaluated, redaction = await self._evaluated(policy)
        try:
            final, text = await fetch(uri, evaluated, self._egress, seconds=SECONDS, kind=kind)
        except Fault as raised:
            failed = raised if redaction is None else redaction.fault(raised)
        else:
            return (final, text) if redaction is None else (redaction.text(final), str(redaction.json(text)))
        detail = failed.error.detail or str(failed)
        if failed.error.status in (403, 404, 410):  # some servers say 403 for what is not there
            raise NotFound(kind, uri, detail)
        raise Rejected("unresolved", detail)

    async def _local(self, uri: str, kind: str) -> str:
        path = Path(unquote(urlsplit(uri).path))
        if self._folder is None or urlsplit(uri).netloc or self._folder not in path.parents:
            raise Rejected(
                "unresolved",
                f"the {kind} {uri!r} is a local file; `wfe deploy` sends it along with the workflow",
            )
        try:
            return await asyncio.to_thread(_read, path, self._folder)
        except OSError as error:
            raise NotFound(kind, uri, error.strerror or str(error)) from None
        except ValueError as error:
            raise Rejected("unresolved", f"the {kind} {uri}: {error}") from None

    async def _evaluated(self, policy: Json) -> tuple[Json, Redaction | None]:
        """*policy* with the values of its secrets, and what hides them."""
        if policy is None:
            return None, None
        named = [name for _, name in expressions.members(policy, SECRETS) if name is not None]
        if not named:
            return policy, None
        values: JsonObject = {name: await self._secrets.get(name) for name in dict.fromkeys(named)}
        redaction = Redaction(texts(values))
        try:
            template = expressions.template(policy, variables=SECRETS)
            evaluated = template.evaluate(None, dict.fromkeys(SECRETS, values))
        except (ExpressionError, expressions.EvaluationError) as error:
            problem = redaction.text(str(error))
        else:
            return evaluated, Redaction([*texts(values), *_made(policy, evaluated, values)])
        raise Rejected("unresolved", f"the authentication cannot be evaluated: {problem}")


def _made(template: Json, evaluated: Json, values: JsonObject) -> Iterator[str]:
    """The texts that expressions have made of secrets and that do not show them: a hash, an encoding."""
    if isinstance(template, str):
        shows = isinstance(evaluated, str) and any(text in evaluated for text in texts(values))
        if "$secret" in template and isinstance(evaluated, str) and not shows:
            yield evaluated
    elif isinstance(template, dict) and isinstance(evaluated, dict):
        for key, part in template.items():
            yield from _made(part, evaluated[key], values)
    elif isinstance(template, list) and isinstance(evaluated, list):
        for part, result in zip(template, evaluated, strict=True):
            yield from _made(part, result, values)


def _read(path: Path, folder: Path) -> str:
    if folder.resolve() not in path.resolve().parents:
        raise ValueError(f"it leads out of {folder}")
    with path.open("rb") as file:
        content = file.read(MAX_DOCUMENT + 1)
    if len(content) > MAX_DOCUMENT:
        raise ValueError(f"it has more than {MAX_DOCUMENT:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
