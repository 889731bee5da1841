"""What goes wrong: retries of actions, and ``onErrors`` of states, as ``try`` tasks."""

from __future__ import annotations

from workflow_engine.dsl.migration import jq
from workflow_engine.dsl.migration.writing import Writer, do, task
from workflow_engine.dsl.v0_8.definitions import objects
from workflow_engine.graph.model import ErrorMatch
from workflow_engine.values import Json, JsonObject

FOR_EVER = 1_000_000
"""How often is tried again what 0.8 tries for ever: 1.0 has no word for it."""
TIMEOUT = "https://serverlessworkflow.io/spec/1.0.0/errors/timeout"


def matches(writer: Writer, names: list[str]) -> str | None:
    """Whether ``.`` is one of the errors *names*; None where every error is."""
    tests = []
    for name in names:
        definition, _ = writer.lowering.errors.get(name, ({}, ""))
        if name == "*" or name not in writer.lowering.errors:
            return None
        code = definition.get("code")
        tests.append(jq.is_error(ErrorMatch(name, None if code is None else str(code))))
    return " or ".join(tests)


def references(body: JsonObject) -> list[str]:
    """The errors that an entry of ``onErrors`` is for."""
    names = body.get("errorRefs")
    return [str(name) for name in names] if isinstance(names, list) else [str(body.get("errorRef"))]


def retry(writer: Writer, body: JsonObject, at: str, name: str, act: JsonObject) -> JsonObject:
    """*act* tried again as the action *body* says, or as it is."""
    automatic = writer.lowering.data.get("autoRetries") is True
    reference = body.get("retryRef")
    asynchronous = _asynchronous(body)
    if asynchronous or (reference is None and not automatic):
        return act
    if reference is None:
        definition: JsonObject = {"delay": "PT1S", "multiplier": 2, "maxAttempts": "unlimited"}
        place = at
    else:
        definition, place = writer.lowering.retries[str(reference)]
    policy = _policy(writer, definition, place)
    if policy is None:
        return act
    wanted: str | None = None
    if not automatic:
        listed = body.get("retryableErrors")
        names = [str(error) for error in listed] if isinstance(listed, list) else []
        names = names or list(writer.lowering.errors)
        wanted = matches(writer, names) if names else "false"
    never = body.get("nonRetryableErrors")
    excluded = matches(writer, [str(error) for error in never]) if isinstance(never, list) and never else ""
    catch: JsonObject = {"as": "error"}
    if wanted is not None:
        catch["when"] = jq.slot(f"$error | {wanted}")
    if excluded != "":
        catch["exceptWhen"] = jq.slot("true" if excluded is None else f"$error | {excluded}")
    catch["retry"] = policy
    writer.mapped("retries -> `try` with `catch.retry`")
    return {"try": do([(name, act)]), "catch": catch}


def _asynchronous(body: JsonObject) -> bool:
    reference = body.get("functionRef")
    return isinstance(reference, dict) and reference.get("invoke") == "async"


def _policy(writer: Writer, given: JsonObject, at: str) -> JsonObject | None:
    most = given.get("maxAttempts")
    count: Json = FOR_EVER
    if most is not None and str(most).strip() != "unlimited":
        try:
            count = int(float(str(most)))
        except ValueError:
            writer.differs(
                f"{at}/maxAttempts", "the number of attempts is no expression in 1.0; it is 10 now"
            )
            count = 10
    if count == 0:
        return None
    policy: JsonObject = {}
    if given.get("delay") is not None:
        policy["delay"] = writer.duration(given["delay"], f"{at}/delay")
    factor, step = given.get("multiplier"), given.get("increment")
    longest: JsonObject = {}
    if given.get("maxDelay") is not None:
        longest = {"maxDelay": writer.duration(given["maxDelay"], f"{at}/maxDelay")}
    if factor is not None and float(str(factor)) >= 1:
        policy["backoff"] = {"exponential": {"multiplier": float(str(factor)), **longest}}
        if step is not None:
            writer.differs(at, "1.0 grows a delay by a sum or by a factor: `increment` is left out")
    elif step is not None:
        policy["backoff"] = {"linear": {"increment": writer.duration(step, f"{at}/increment"), **longest}}
    elif longest:
        policy["backoff"] = {"exponential": {"multiplier": 1, **longest}}
    if factor is not None and float(str(factor)) < 1:
        writer.differs(f"{at}/multiplier", "a delay of 1.0 does not get shorter: `multiplier` is left out")
    if given.get("jitter") is not None:
        writer.differs(
            f"{at}/jitter", "`jitter` of 0.8 also shortens the delay, in 1.0 it only adds; it is left out"
        )
    return {**policy, "limit": {"attempt": {"count": count}}}


def rescued(
    writer: Writer, body: JsonObject, name: str, inner: JsonObject
) -> tuple[JsonObject, list[str | None]]:
    """*inner* in a ``try`` for ``onErrors`` of *body*; and the test of each entry, on an error.

    Where one thing is to be done, the ``catch`` has no ``then`` yet; where there are several, its output is
    ``{data, error}``.
    """
    tests = [matches(writer, references(item)) for item in objects(body.get("onErrors"))]
    catch: JsonObject = {"as": "error"}
    if None not in tests:
        catch["when"] = jq.slot("$error | " + " or ".join(str(test) for test in tests))
    if len(tests) > 1:
        catch["do"] = do([("keep the error", {"set": {"data": "${ . }", "error": "${ $error }"}})])
    entered = inner.get("input")
    rest = {key: value for key, value in inner.items() if key not in ("input", "then")}
    writer.mapped("`onErrors` -> `try` and `catch` with `then`")
    return task(input=entered, try_=do([(name, rest)]), catch=catch), tests
