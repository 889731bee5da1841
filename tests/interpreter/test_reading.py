"""Directives, loops, tries, functions and extensions do what a plain reading of the specification says.

Whatever the document: the reading is some hundred lines of recursion, made from the text (dsl.md §1.9 and decisions A8,
A16 to A26, A53, A54) and not from the interpreter; expressions are evaluated by the same code in both.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings

from tests.interpreter.generated import INPUT, documents
from tests.interpreter.test_generated import run
from workflow_engine import dsl, expressions
from workflow_engine.errors import Error


class Raised(Exception):
    def __init__(self, error: dict[str, Any]) -> None:
        self.error = error


class End(Exception):
    def __init__(self, output: Any) -> None:
        self.output = output


def evaluate(source: str, value: Any, **variables: Any) -> Any:
    inner = expressions.unwrap(source)
    return expressions.compile(inner or source, variables=tuple(variables)).first(value, variables)


class Reading:
    """One execution of *document*, by the book."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.context: Any = {}
        self.bare = False

    def outcome(self, data: Any) -> tuple[str, Any, tuple[str, int] | None]:
        """Its status, its output, and the type and status of its error."""
        try:
            return "completed", self.whole(data), None
        except Raised as raised:
            return "faulted", None, (raised.error["type"], raised.error["status"])

    def whole(self, data: Any) -> Any:
        try:
            output, _ = self.tasks(self.document["do"], data, {})
        except End as end:
            output = end.output
        return evaluate(self.document["output"]["as"], output, context=self.context)

    def tasks(self, tasks: list[Any], data: Any, variables: dict[str, Any]) -> tuple[Any, bool]:
        """The output of a list of tasks, and whether it was left by ``exit``."""
        names = [next(iter(entry)) for entry in tasks]
        at = 0
        while at < len(tasks):
            data, then = self.task(names[at], tasks[at][names[at]], data, variables)
            if then == "end":
                raise End(data)
            if then == "exit":
                return data, True
            at = at + 1 if then == "continue" else names.index(then)
        return data, False

    def task(self, name: str, task: dict[str, Any], data: Any, variables: dict[str, Any]) -> tuple[Any, str]:
        if "if" in task and evaluate(task["if"], data, **variables) in (None, False):
            return data, "continue"
        output, then = self.extended(name, task, data, variables)
        if "export" in task:
            self.context = evaluate(task["export"]["as"], output, context=self.context, **variables)
        return output, then

    def extended(
        self, name: str, task: dict[str, Any], data: Any, variables: dict[str, Any]
    ) -> tuple[Any, str]:
        listed = [next(iter(entry.values())) for entry in self.document["use"]["extensions"]]
        begun, about, exited, output, then = [], {"name": name, "output": None}, False, None, "continue"
        for extension in [] if self.bare else listed:
            if not extends(extension["extend"], task):
                continue
            known = {"task": about, "input": data, "context": self.context}
            if "when" in extension and evaluate(extension["when"], data, **known) in (None, False):
                continue
            begun.append(extension)
            output, exited = self.aside(extension.get("before", []), data, about)
            if exited:
                break
        if exited:
            then = task.get("then", "continue")
        else:
            output, then = self.body(task, data, variables)
        for extension in reversed(begun):
            self.aside(extension.get("after", []), output, {**about, "output": output})
        return output, then

    def aside(self, tasks: list[Any], data: Any, about: dict[str, Any]) -> tuple[Any, bool]:
        """The tasks of an extension, which nothing extends."""
        self.bare = True
        try:
            return self.tasks(tasks, data, {"task": about})
        finally:
            self.bare = False

    def body(self, task: dict[str, Any], data: Any, variables: dict[str, Any]) -> tuple[Any, str]:
        then = task.get("then", "continue")
        if "set" in task:
            return evaluate(task["set"], data, **variables), then
        if "wait" in task:
            return data, then
        if "raise" in task:
            raise Raised(task["raise"]["error"])
        if "switch" in task:
            for case in task["switch"]:
                [(_, found)] = case.items()
                if "when" not in found or evaluate(found["when"], data, **variables) not in (None, False):
                    return data, found["then"]
            return data, then
        if "call" in task:
            return self.task("step", self.document["use"]["functions"]["step"], data, {})[0], then
        if "for" in task:
            return self.loop(task, data, variables), then
        if "try" in task:
            return self.attempt(task, data, variables), then
        return self.tasks(task["do"], data, variables)[0], then

    def loop(self, task: dict[str, Any], data: Any, variables: dict[str, Any]) -> Any:
        for index, item in enumerate(evaluate(task["for"]["in"], data, **variables)):
            bound = {**variables, task["for"]["each"]: item, "index": index}
            if "while" in task and evaluate(task["while"], data, **bound) in (None, False):
                break
            data, left = self.tasks(task["do"], data, bound)
            if left:
                break
        return data

    def attempt(self, task: dict[str, Any], data: Any, variables: dict[str, Any]) -> Any:
        catch = task["catch"]
        left = catch["retry"]["limit"]["attempt"]["count"] if "retry" in catch else 0
        while True:
            try:
                return self.tasks(task["try"], data, variables)[0]
            except Raised as raised:
                wanted = catch.get("errors", {}).get("with", {})
                if any(raised.error[name] != value for name, value in wanted.items()):
                    raise
                if left > 0:
                    left -= 1
                    continue
                if "do" not in catch and "retry" in catch:
                    raise
                error = raised.error
            break
        return self.tasks(catch["do"], data, {**variables, "error": error})[0] if "do" in catch else data


def extends(extended: str, task: dict[str, Any]) -> bool:
    if extended == "composite":
        return "fork" in task or ("do" in task and "for" not in task)
    return extended == "all" or extended in task


@settings(max_examples=300, deadline=None)
@given(documents(forks=False))
def test_a17_to_a26_and_a54_a_run_does_what_the_specification_says(document: dict[str, Any]) -> None:
    reading = Reading(document)
    outcome, _ = asyncio.run(run(dsl.compile(dsl.parse(json.dumps(document))), []))
    assert (outcome.status, outcome.output, kind_of(outcome.error)) == reading.outcome(INPUT)


def kind_of(error: Error | None) -> tuple[str, int] | None:
    return None if error is None else (error.type, error.status)
