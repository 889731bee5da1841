"""Evaluate what uses secrets, where their values may be known, and hide them in all that comes of it.

What a run keeps is the text of an expression and what it is evaluated with, so that neither its history nor its output
has the value of a secret. What it gets back has references in their place (`interpreter.references`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from secrets import token_hex
from typing import Any

from yarl import URL

from workflow_engine import expressions
from workflow_engine.calls.authentication import authenticate
from workflow_engine.calls.context import CallContext, Caller, Publisher
from workflow_engine.calls.egress import Egress
from workflow_engine.calls.redaction import Redaction, texts
from workflow_engine.calls.secrets import Secrets
from workflow_engine.errors import Fault, NotFound, fault
from workflow_engine.expressions import Expression, Template
from workflow_engine.interpreter.evaluation import SECRETS, pure, test
from workflow_engine.interpreter.references import References, Unresolvable
from workflow_engine.values import Json, JsonObject

_ANY = URL("https://authorization.invalid")
"""What a policy is applied to where only its credentials are wanted: they are the same for every address."""


class _Hiding:
    """Knows the texts that must be hidden; they grow while credentials and arguments are made."""

    def __init__(self) -> None:
        self._known: list[str] = []
        self.redaction = Redaction(())

    def add(self, found: Iterable[str]) -> None:
        self._known += found
        self.redaction = Redaction(self._known)


async def call_with_secrets(
    caller: Caller, arguments: JsonObject, deferred: JsonObject, context: CallContext, secrets: Secrets
) -> Json:
    """Make a call whose *arguments* have secrets in them; `interpreter.effects.Call` says what *deferred* has.

    What the call gives back and what it publishes has their values hidden. A secret that cannot be had is an
    authorization fault (403).
    """

    async def work(hiding: _Hiding) -> Json:
        data = await _Data.of(deferred, secrets, hiding)
        if "variables" in deferred:
            if "policy" in deferred:
                await data.authorize(deferred["policy"], deferred["input"], context.egress, hiding)
            template = expressions.template(arguments, variables=frozenset(data.real))
            template = replace(template, at=str(deferred.get("at", "")))
            given = data.outcome(template, partial(pure, template), deferred["input"])
            hiding.add(_made(arguments, given, deferred["input"], data))
        else:
            given = data.resolved(arguments)
        assert isinstance(given, dict)
        data.check(given)
        events = None if context.events is None else _Redacting(context.events, hiding.redaction)
        around = replace(context, redact=hiding.redaction.text, events=events)
        return hiding.redaction.json(await caller(given, around))

    return await _hidden(work)


async def evaluate_with_secrets(evaluation: JsonObject, secrets: Secrets, egress: Egress) -> Json:
    """What *evaluation* (`interpreter.effects.Evaluation`, as JSON) yields, with references instead of values."""

    async def work(hiding: _Hiding) -> Json:
        data = await _Data.of(evaluation, secrets, hiding)
        policy = evaluation["authorization"]
        if isinstance(policy, dict):
            around = await _Data.of({**evaluation, **policy}, secrets, hiding)
            await around.authorize(policy["policy"], policy["input"], egress, hiding)
            data.take(around)
        source, input = evaluation["source"], evaluation["input"]
        what: Expression | Template
        if evaluation["expression"]:
            what = expressions.compile(str(source), variables=frozenset(data.real))
        else:
            what = expressions.template(source, variables=frozenset(data.real))
        what = replace(what, at=str(evaluation.get("at", "")))
        if evaluation["how"] != "value":
            assert isinstance(what, Expression)
            return data.outcome(what, partial(test, what, strict=evaluation["how"] == "strict"), input)
        return data.kept(what, data.outcome(what, partial(pure, what), input), input)

    return await _hidden(work)


async def _hidden(work: Callable[[_Hiding], Awaitable[Json]]) -> Json:
    """Do *work*. A fault of it has no value in it; an exception that is none keeps its type, and its text alone."""
    hiding = _Hiding()
    try:
        return await work(hiding)
    except Fault as raised:
        failed: Exception = hiding.redaction.fault(raised)
    except Exception as bug:  # noqa: BLE001 - whatever it is, its text may have a value in it
        failed = RuntimeError(f"{type(bug).__name__}: {hiding.redaction.text(str(bug))}")
    raise failed  # outside of the handlers, so that it does not lead to what it was made of


class _Data:
    """The variables of one evaluation twice: *real*, with values, and *referring*, with references instead."""

    def __init__(self, nonce: Json, values: JsonObject, variables: Json) -> None:
        self.names = list(values)
        self.values = values
        self.references = References(nonce if isinstance(nonce, str) else token_hex(16))
        real = self.resolved(variables)
        assert isinstance(real, dict)
        assert isinstance(variables, dict)
        named = {name: self.references.to_all(value, name) for name, value in values.items()}
        self.real: JsonObject = {**real, **dict.fromkeys(SECRETS, values), "authorization": None}
        self.referring: JsonObject = {**variables, **dict.fromkeys(SECRETS, named), "authorization": None}

    @classmethod
    async def of(cls, given: JsonObject, secrets: Secrets, hiding: _Hiding) -> _Data:
        names = given["secrets"]
        assert isinstance(names, Sequence)
        values = {str(name): await _value(secrets, str(name)) for name in names}
        hiding.add(texts(values))
        return cls(given.get("nonce"), values, given.get("variables", {}))

    def resolved(self, value: Json) -> Json:
        return self.references.resolved(value, self.values)

    def check(self, arguments: Json) -> None:
        """An expression fault where a call would be sent what only stands for something."""
        try:
            self.references.check(arguments)
        except Unresolvable as error:
            message = (
                f"an argument of the call has no value: {error}; write the expression into the arguments"
            )
            raise fault("expression", message) from None

    async def authorize(self, policy: Json, input: Json, egress: Egress, hiding: _Hiding) -> None:
        """Make `$authorization` what *policy*, a template over *input*, gives."""
        template = expressions.template(policy, variables=frozenset(self.real))
        credentials = await _authorization(pure(template, self.resolved(input), self.real), egress)
        hiding.add(texts(credentials["parameter"]))
        self.real["authorization"] = credentials
        made = self.references.made_of(["$authorization"])
        self.values[made] = credentials["parameter"]  # so that what shows it is recognised
        parameter = None if credentials["parameter"] is None else made
        self.referring["authorization"] = {**credentials, "parameter": parameter}

    def take(self, other: _Data) -> None:
        """Know the `$authorization` that *other* knows."""
        self.values |= other.values
        self.real["authorization"] = other.real["authorization"]
        self.referring["authorization"] = other.referring["authorization"]

    def outcome(
        self, what: Expression | Template, evaluate: Callable[[Json, JsonObject], Json], input: Json
    ) -> Json:
        """What *evaluate* gives with the values. Why it fails is told only as far as it shows no part of them."""
        try:
            return evaluate(self.resolved(input), self.real)
        except Fault as raised:
            try:
                evaluate(input, self.referring)
            except Fault as referring:
                shown = referring.error.detail
                if self.resolved(shown) == raised.error.detail:
                    raise fault("expression", str(self.references.hidden(shown))) from None
        where = f", at {what.at}" if what.at else ""
        raise fault(
            "expression", f"an expression fails on the value of a secret, so that it is not told why{where}"
        )

    def kept(self, what: Expression | Template, outcome: Json, input: Json) -> Json:
        """What the run may keep of *outcome*, which *what* yields with the values."""
        try:
            referring = pure(what, input, self.referring)
        except Fault:
            referring = None
        return self.references.kept(outcome, referring, self.values, self.made)

    @property
    def made(self) -> str:
        """What is kept of a text that was made of a secret and does not show it."""
        return self.references.made_of(self.names or ["$authorization"])


async def _value(secrets: Secrets, name: str) -> Json:
    try:
        return await secrets.get(name)
    except NotFound as missing:
        raise fault("authorization", f"the secret cannot be had: {missing}") from None


async def _authorization(policy: Json, egress: Egress) -> JsonObject:
    """The credentials of *policy* as the specification shows them; those of digest depend on what the server asks."""
    if isinstance(policy, dict) and "digest" in policy:
        return {"scheme": "Digest", "parameter": None}
    credentials = await authenticate(policy, egress, _ANY)
    scheme, _, parameter = credentials.headers["Authorization"].partition(" ")
    return {"scheme": scheme, "parameter": parameter}


def _made(template: Json, evaluated: Json, input: Json, data: _Data) -> Iterator[str]:
    """The texts that expressions have made of secrets and that do not show them: a hash, an encoding."""
    if isinstance(template, str):
        if "${" in template:
            leaf = expressions.template(template, variables=frozenset(data.real))
            yield from _lost(evaluated, data.kept(leaf, evaluated, input), data.made)
    elif isinstance(template, dict) and isinstance(evaluated, dict):
        for key, part in template.items():
            yield from _made(part, evaluated[key], input, data)
    elif isinstance(template, list) and isinstance(evaluated, list):
        for part, result in zip(template, evaluated, strict=True):
            yield from _made(part, result, input, data)


def _lost(value: Json, kept: Json, made: str) -> Iterator[str]:
    """The texts of *value* that *kept* has *made* in the place of."""
    if kept == made:
        yield from texts(value)
    elif isinstance(value, dict) and isinstance(kept, dict):
        for item, other in zip(value.values(), kept.values(), strict=True):
            yield from _lost(item, other, made)
    elif isinstance(value, list) and isinstance(kept, list):
        for item, other in zip(value, kept, strict=True):
            yield from _lost(item, other, made)


@dataclass(frozen=True, slots=True)
class _Redacting:
    """Publishes events without the values of secrets: what is published is kept, and read by others."""

    events: Publisher
    redaction: Redaction

    async def publish(self, channel: str, events: list[JsonObject]) -> Any:
        hidden: list[JsonObject] = []
        for event in events:
            found = self.redaction.json(event)
            assert isinstance(found, dict)
            hidden.append(found)
        return await self.events.publish(channel, hidden)
