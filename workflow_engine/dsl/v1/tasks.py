"""One function for each task keyword of DSL 1.0; `LOWERINGS` is the whole language on one screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_engine.dsl import bounds
from workflow_engine.dsl.v1 import calls, events, lints, runs
from workflow_engine.dsl.v1.scope import Task
from workflow_engine.graph.model import (
    Action,
    Assign,
    Case,
    Catch,
    ForEach,
    GoTo,
    Parallel,
    Raise,
    Region,
    Retry,
    Sequence,
    Sleep,
    Switch,
    Try,
)
from workflow_engine.values import Json, JsonObject, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

DEFAULT_RETRIES = 10
"""How often a retry policy without a limit tries again; the specification sets no bound (dsl.md §7)."""


def do(lowering: WorkflowLowering, task: Task) -> Action:
    return Sequence(lowering.region(task.body["do"], task.at("do"), task.scope))


def set_(lowering: WorkflowLowering, task: Task) -> Action:
    return Assign(lowering.template(task.body["set"], task.variables, task.at("set")))


def for_(lowering: WorkflowLowering, task: Task) -> Action:
    each = lowering.reserved(str(task.part("for", "each") or "item"), task.at("for", "each"))
    index = lowering.reserved(str(task.part("for", "at") or "index"), task.at("for", "at"), beside=each)
    items = task.part("for", "in")
    lints.loop(lowering, items, task.at("for", "in"))
    metadata = task.object("metadata")
    apart = metadata.get("mode") == "parallel"
    if "parallelism" in metadata and not apart:
        message = (
            "`for` does one iteration after the other, each on the output of the one before; with `mode: parallel` "
            "beside it they are done side by side, and give a list"
        )
        lowering.warning("ignored-property", message, task.at("metadata", "parallelism"))
    if apart and "while" in task.body:
        message = "`while` asks before each iteration about the one before: that needs iterations one after the other"
        lowering.problem("conflicting-properties", message, task.at("while"))
    inner = task.scope.bind(each, index)
    condition = lowering.optional_expression(
        task.part("while"), task.variables | {each, index}, task.at("while")
    )
    return ForEach(
        items=lowering.slot(items, task.variables, task.at("for", "in")),
        item=each,
        index=index,
        body=lowering.region(task.body["do"], task.at("do"), inner, loop=not apart, name=each),
        condition=condition,
        parallelism=lowering.parallelism(metadata, task.at("metadata")) if apart else None,
        apart=apart,
    )


def fork(lowering: WorkflowLowering, task: Task) -> Action:
    branches: list[Region] = []
    names: set[str] = set()
    listed = task.part("fork", "branches")
    for number, item in enumerate(listed if isinstance(listed, list) else []):
        assert isinstance(item, dict)
        for name, body in item.items():
            assert isinstance(body, dict)
            # A branch is a scope of its own: its task has no siblings to go to (decision A19).
            id = task.at("fork", "branches", number, name)
            if name in names:
                lowering.problem("duplicate-task", f"two branches are called {name!r}; rename one", id)
            names.add(name)
            scope = replace(task.scope, siblings={name: id}, loop=False)
            state = lowering.state(Task(name, body, id, scope))
            branches.append(Region(task.at("fork", "branches", number), GoTo(id), {id: state}, name))
    return Parallel(
        tuple(branches),
        race=task.part("fork", "compete") is True,
        parallelism=lowering.parallelism(task.body.get("metadata"), task.at("metadata")),
    )


def switch(lowering: WorkflowLowering, task: Task) -> Action:
    cases: list[Case] = []
    names: set[str] = set()
    defaults = 0
    listed = task.body["switch"]
    for number, item in enumerate(listed if isinstance(listed, list) else []):
        assert isinstance(item, dict)
        for name, body in item.items():
            assert isinstance(body, dict)
            at = task.at("switch", number, name)
            when = body.get("when")
            condition = None if when is None else lowering.expression(when, task.variables, at + "/when")
            if name in names:
                lowering.problem("duplicate-case", f"two cases are called {name!r}; rename one", at)
            names.add(name)
            defaults += condition is None
            if condition is None and defaults > 1:
                message = f"{name!r} is a second case without `when`; a switch has one default (decision A20)"
                lowering.problem("two-defaults", message, at)
            then = lowering.transition(body.get("then"), at + "/then", task)
            cases.append(Case(name, condition, then))
    # The default is tried last, wherever it stands in the list.
    return Switch(tuple(sorted(cases, key=lambda case: case.when is None)))


def raise_(lowering: WorkflowLowering, task: Task) -> Action:
    error, at = task.part("raise", "error"), task.at("raise", "error")
    if isinstance(error, str):
        known = lowering.used("errors")
        if error not in known:
            lowering.unknown("unknown-error", "error", error, known, at)
            return Raise(lowering.template(None, (), at))
        at = "/use/errors" + pointer(error)
        error = known[error]
    else:
        bounds.check_status(lowering, error, at)
    return Raise(lowering.template(error, task.variables, at))


def wait(lowering: WorkflowLowering, task: Task) -> Action:
    return Sleep(lowering.timing(task.body["wait"], task.variables, task.at("wait")))


def try_(lowering: WorkflowLowering, task: Task) -> Action:
    body = lowering.region(task.body["try"], task.at("try"), task.scope)
    catch = task.object("catch")
    variable = lowering.reserved(str(catch.get("as") or "error"), task.at("catch", "as"))
    inner = task.scope.bind(variable)
    variables = task.variables | {variable}
    errors = catch.get("errors")
    wanted = errors.get("with") if isinstance(errors, dict) else None
    handler = catch.get("do")
    then = catch.get("then")

    with_at = task.at("catch", "errors", "with")
    status = wanted.get("status") if isinstance(wanted, dict) else None
    if isinstance(status, int | float) and not 100 <= status <= 999:
        message = f"no error has the status {status}: it is one of HTTP, which has three digits"
        lowering.nonsense("invalid-bounds", message, f"{with_at}/status")
    when = lowering.optional_expression(catch.get("when"), variables, task.at("catch", "when"))
    except_when = lowering.optional_expression(
        catch.get("exceptWhen"), variables, task.at("catch", "exceptWhen")
    )
    return Try(
        body,
        Catch(
            with_=None if wanted is None else lowering.template(wanted, variables, with_at),
            variable=variable,
            when=when,
            except_when=except_when,
            retry=_retry(lowering, task, catch.get("retry"), variables),
            body=None
            if handler is None
            else lowering.region(handler, task.at("catch", "do"), inner, name="catch"),
            then=None if then is None else lowering.transition(then, task.at("catch", "then"), task),
        ),
    )


def _retry(lowering: WorkflowLowering, task: Task, policy: Json, variables: frozenset[str]) -> Retry | None:
    """A retry policy, inline or by its name in ``use.retries`` (dsl.md §1.11)."""
    at = task.at("catch", "retry")
    if isinstance(policy, str):
        known = lowering.used("retries")
        if policy not in known:
            lowering.unknown("unknown-retry", "retry policy", policy, known, at)
            return None
        at = "/use/retries" + pointer(policy)
        policy = known[policy]
    elif isinstance(policy, dict):
        bounds.check_retry(lowering, policy, at)
    if not isinstance(policy, dict):
        return None
    backoff = policy.get("backoff")
    kind, shape = next(iter(backoff.items())) if isinstance(backoff, dict) and backoff else ("constant", None)
    extra: JsonObject = shape if isinstance(shape, dict) else {}
    limit = policy.get("limit")
    limits: JsonObject = limit if isinstance(limit, dict) else {}
    attempt = limits.get("attempt")
    attempts: JsonObject = attempt if isinstance(attempt, dict) else {}
    count = attempts.get("count")
    if count is None and "duration" not in limits:
        message = f"the policy has no limit; it stops after {DEFAULT_RETRIES} retries"
        lowering.warning("unbounded-retry", message, at)
        count = DEFAULT_RETRIES
    jitter = policy.get("jitter")
    factor = extra.get("multiplier", 2.0)

    edges = None
    if isinstance(jitter, dict):
        edges = (
            lowering.timing(jitter.get("from"), variables, at + "/jitter/from"),
            lowering.timing(jitter.get("to"), variables, at + "/jitter/to"),
        )
    grows = f"{at}/backoff/{kind}"
    return Retry(
        when=lowering.optional_expression(policy.get("when"), variables, f"{at}/when"),
        except_when=lowering.optional_expression(policy.get("exceptWhen"), variables, f"{at}/exceptWhen"),
        delay=lowering.optional_timing(policy.get("delay"), variables, f"{at}/delay"),
        backoff=kind,
        factor=float(factor) if isinstance(factor, int | float) else 2.0,
        increment=lowering.optional_timing(extra.get("increment"), variables, f"{grows}/increment"),
        max_delay=lowering.optional_timing(extra.get("maxDelay"), variables, f"{grows}/maxDelay"),
        jitter=edges,
        limit=int(count) if isinstance(count, int | float) else None,  # 2.0 is a whole number too
        attempt_timeout=lowering.optional_timing(
            attempts.get("duration"), variables, f"{at}/limit/attempt/duration"
        ),
        budget=lowering.optional_timing(limits.get("duration"), variables, f"{at}/limit/duration"),
    )


LOWERINGS: dict[str, Callable[[WorkflowLowering, Task], Action]] = {
    "call": calls.call,
    "do": do,
    "emit": events.emit,
    "for": for_,
    "fork": fork,
    "listen": events.listen,
    "raise": raise_,
    "run": runs.run,
    "set": set_,
    "switch": switch,
    "try": try_,
    "wait": wait,
}


_KEYWORDS = ("for", "try", "listen", *LOWERINGS)


def keyword(body: JsonObject) -> str:
    """What kind of task *body* is; a ``for`` has a ``do`` beside it, so it is looked for first."""
    for word in _KEYWORDS:
        if word in body:
            return word
    raise AssertionError("the schema lets no task without a keyword through")


def action(lowering: WorkflowLowering, task: Task) -> Action:
    """What *task* does, by its keyword."""
    return LOWERINGS[keyword(task.body)](lowering, task)
