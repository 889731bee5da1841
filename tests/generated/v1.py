"""DSL 1.0 documents with calls, events, sub-flows and timeouts, each task of which leaves its name in the trace.

Whatever happens, the data has a number ``n`` and a list ``trace``. What a listener waits for is there (`events`), or
its time runs out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from workflow_engine.values import JsonObject

Pick = Callable[..., Any]
"""Chooses one of its arguments: by Hypothesis, or by a `random.Random`."""

INPUT: dict[str, Any] = {"n": 1, "trace": []}
HEADER = {"dsl": "1.0.3", "namespace": "test", "name": "generated", "version": "1.0.0"}
SUB_FLOW = """
document: {dsl: '1.0.3', namespace: test, name: sub, version: '1.0.0'}
do:
  - a: {wait: {milliseconds: 11}}
  - r: {if: .n % 5 == 0, raise: {error: {type: 'https://e.example/a', status: 503}}}
  - b: {set: '${ {n: ((.n * 3) % 97), trace: (.trace + ["sub"])} }'}
"""
_NUMBER = '(if type == "object" then (.data // .).n // 1 else 1 end)'
_EXTENDED = (
    "all",
    "set",
    "switch",
    "composite",
    "for",
    "try",
    "call",
    "emit",
    "listen",
    "run",
    "wait",
    "raise",
)


class Drawing:
    """Draws the parts of one document.

    *real*: its time is real. No limit is near then, but of those that run out in any case.
    *beside*: things may go on side by side. Their faults are caught there, and nothing ends the run.
    """

    def __init__(self, pick: Pick, *, real: bool, beside: bool) -> None:
        self.pick, self.real, self.beside = pick, real, beside
        self.tasks = self.waits = 0

    def document(self) -> dict[str, Any]:
        return {
            "document": HEADER,
            "use": {
                "functions": {"step": {"do": self.region(1)}},
                "retries": {"few": {"limit": {"attempt": {"count": self.pick(0, 1, 2)}}}},
                "timeouts": {"named": {"after": self.limit()}},
                "errors": {"bad": {"type": "https://e.example/c", "status": 418, "detail": '${ "\\(.n)" }'}},
                "extensions": [{f"x{each}": self.extension()} for each in range(self.pick(0, 0, 0, 1, 2))],
            },
            "output": {"as": "{data: ., context: $context}"},
            "do": self.region(3),
            **({"timeout": {"after": self.limit()}} if self.yes(8) else {}),
        }

    def yes(self, of: int = 2) -> bool:
        """Once in *of* times."""
        return bool(self.pick(*range(of)) == 0)

    def wait(self) -> dict[str, int]:
        """A time that no other is: what ends at the same instant as a limit may come before it or after it."""
        self.waits += 1
        return {"milliseconds": 5 + self.waits if self.real else 7 ** min(self.waits, 9) + self.waits}

    def limit(self) -> dict[str, int]:
        return {"hours": 9} if self.real else self.wait()

    def region(self, depth: int) -> list[dict[str, Any]]:
        names = [f"t{self.tasks + each}" for each in range(self.pick(1, 2, 3, 3))]
        self.tasks += len(names)
        made = []
        for number, name in enumerate(names):
            later = names[number + 1 :]
            task = self.task(name, depth, later)
            if self.yes(6):
                task.setdefault("if", self.pick(".n % 2 == 0", ".n % 3 != 0", "$context.last > 0 | not"))
            if self.yes(6):
                task["then"] = self.pick("continue", "exit", *later)
            if self.yes(14) and not self.beside:
                task["then"] = "end"
            if self.yes(3):
                task["export"] = {"as": f"$context + {{{name}: .n, last: {number}}}"}
            if self.yes(7):
                shapes = (". + {n: (.n + 1)}", {"n": "${ .n }", "trace": '${ .trace + ["in"] }'})
                task["input"] = {"from": self.pick(*shapes)}
            if self.yes(8):
                after = '${ "PT\\(1 + .n % 3)H" }' if self.real else '${ "PT\\(1 + .n % 3)S" }'
                task.setdefault("timeout", self.pick("named", {"after": self.limit()}, {"after": after}))
            if self.yes(12):
                task.setdefault("input", {})["schema"] = self.schema()
            if self.yes(12):
                task.setdefault("output", {})["schema"] = self.schema()
            made.append({name: task})
        return made

    def schema(self) -> dict[str, Any]:
        return {"document": {"properties": {"n": {"not": {"const": self.pick(1, 2, 3, 4, 7, 9)}}}}}

    def task(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        simple = ["set", "set", "switch", "pause", "raise", "emit", "listen", "call", "call", "shell", "flow"]
        composite = [
            "do",
            "for",
            "try",
            "try",
            "function",
            *(["fork", "fork", "apart"] if self.beside else []),
        ]
        kind = self.pick(*simple, *(composite if depth > 0 else []))
        made: dict[str, Any] = getattr(self, f"_{kind}")(name, depth - 1, later)
        return made

    # --- simple tasks -------------------------------------------------------------------------------------

    def _set(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        changed = f'{{n: ((.n * {self.pick(1, 2, 3, 5)} + 1) % 97), trace: (.trace + ["{name}"])}}'
        return {"set": f"${{ . + {changed} }}"}

    def _switch(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        ends = [] if self.beside else ["end"]
        cases = [{"even": {"when": ".n % 2 == 0", "then": self.pick("continue", "exit", *later)}}]
        if self.yes():
            cases.append({"else": {"then": self.pick("continue", "exit", *ends, *later)}})
        return {"switch": cases}

    def _pause(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        if self.yes(4):
            late = {"wait": {"hours": 5}, "timeout": {"after": {"milliseconds": 40}}}
            return {"try": [{f"{name}w": late}], "catch": {"errors": {"with": {"status": 408}}}}
        return {"wait": self.wait()}

    def _raise(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        own = {"type": f"https://e.example/{self.pick('a', 'b')}", "status": self.pick(400, 503)}
        return {"if": self.pick(".n % 2 == 0", ".n % 3 == 0"), "raise": {"error": self.pick("bad", own)}}

    def _emit(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        event = {"type": self.pick("ev.a", "ev.b"), "data": {"n": "${ .n }", "by": name}, "kind": name}
        shape = "{n: ((.data.n + 1) % 97), trace: ($input.trace + [.type, .kind])}"
        return {"emit": {"event": {"with": event}}, "output": {"as": shape}}

    def _listen(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        own = {"with": {"type": f"own.{name}"}}
        other = own if self.beside else {"with": {"type": self.pick("ev.a", "ev.b")}}
        key = {"correlate": {"k": {"from": ".key"}}}
        wanted = self.pick(
            {"one": other},
            {"any": [own, other]},
            {"all": [own, other]},
            {"any": [own], "until": "length >= 2"},
            {"any": [own], "until": {"one": {"with": {"type": f"end.{name}"}}}},
            {"one": {"with": {"type": f"own.{name}", "data": "${ .n > 1 }"}}},
            {"all": [{**own, **key}, {"with": {"type": f"key.{name}"}, **key}]},
        )
        task: dict[str, Any] = {
            "listen": {"to": wanted, "read": self.pick("data", "envelope", "raw")},
            "timeout": {"after": self.limit()},
        }
        if self.yes(3):
            summed = f"((.n + $i + ($e | {_NUMBER})) % 97)"
            body: list[dict[str, Any]] = [{f"{name}s": {"set": f"${{ {{n: {summed}, trace}} }}"}}]
            if self.yes():
                body.append({f"{name}x": {"switch": [{"enough": {"when": ".n % 5 == 0", "then": "exit"}}]}})
            if self.yes():
                body.append({f"{name}w": {"wait": self.wait()}})
            export = {"as": "$context + {heard: (($context.heard // 0) + 1)}"}
            task["foreach"] = {"item": "e", "at": "i", "do": body, "export": export}
        total = f"(($input.n + (map({_NUMBER}) | add // 0)) % 97)"
        task["output"] = {"as": f'{{n: {total}, trace: ($input.trace + ["{name}", length])}}'}
        if self.yes():
            late = {"errors": {"with": {"type": "timeout"}}, "do": [{f"{name}c": {"set": "${ . + {n: 3} }"}}]}
            return {"try": [{f"{name}l": task}], "catch": late}
        return task

    def _call(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        arguments = {"method": "post", "endpoint": "https://x.example/{n}", "body": "${ . }"}
        arguments["output"] = self.pick("content", "response")
        shape = f'{{n: ((.content // .).n % 97), trace: ($input.trace + ["{name}"])}}'
        task = {"call": "http", "with": arguments, "output": {"as": shape}}
        if self.yes():
            return {"try": [{f"{name}q": task}], "catch": self.catch(depth, later)}
        return task

    def _shell(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        run = {"shell": {"command": "next", "arguments": ["${ .n | tostring }"]}}
        if self.yes(4):
            return {"run": {**run, "await": False}}
        shape = f'{{n: (tonumber % 97), trace: ($input.trace + ["{name}"])}}'
        return {"run": run, "output": {"as": shape}}

    def _flow(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        version = self.pick("1.0.0", "latest")
        flow = {"namespace": "test", "name": "sub", "version": version}
        return {"run": {"workflow": {**flow, "input": {"n": "${ .n }", "trace": "${ .trace }"}}}}

    # --- composite tasks ----------------------------------------------------------------------------------

    def _do(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        return {"do": self.region(depth)}

    def _function(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        if depth < 1:  # it is a part of the function itself
            return {"do": self.region(depth)}
        arguments = {"with": {"n": "${ .n + 1 }", "trace": "${ .trace }"}} if self.yes() else {}
        return {"call": "step", **arguments}

    def _for(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        items = self.pick("[1, 2]", "[3, 1, 2]", "[]", "[range(.n % 3)]")
        loop: dict[str, Any] = {"for": {"each": "x", "at": "ix", "in": items}, "do": self.region(depth)}
        if self.yes():
            loop["while"] = self.pick(".n % 5 != 0", "$ix < 2", "$x != 1")
        return loop

    def _apart(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        total = (
            "{n: ((map(.n) | add // 0) % 97), trace: ([$input.trace, map(.trace[-2:])] | flatten | .[-20:])}"
        )
        return {
            "metadata": {"mode": "parallel", **({"parallelism": self.pick(1, 2)} if self.yes() else {})},
            "for": {"each": "y", "in": self.pick("[1, 2]", "[3, 1, 2]", "[]")},
            "do": [{f"{name}z": {"try": self.region(depth), "catch": {}}}],
            "output": {"as": total},
        }

    def _try(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        return {"try": self.region(depth), "catch": self.catch(depth, later)}

    def _fork(self, name: str, depth: int, later: list[str]) -> dict[str, Any]:
        total = "{n: (map(.n) | add % 97), trace: ([$input.trace, map(.trace[-4:])] | flatten | .[-20:])}"
        branches = [
            {f"{name}b{each}": {"try": self.region(depth), "catch": {}}} for each in range(self.pick(1, 2, 3))
        ]
        return {"fork": {"branches": branches}, "output": {"as": total}}

    def catch(self, depth: int, later: list[str]) -> dict[str, Any]:
        catch: dict[str, Any] = {}
        if self.yes():
            wanted = ({"status": 503}, {"type": "communication"}, {"type": "https://e.example/a"})
            catch["errors"] = {"with": self.pick(*wanted)}
        if self.yes(5):
            catch |= {"as": "problem", "when": "$problem.status > 400"}
        if self.yes():
            limit: dict[str, Any] = {"count": self.pick(0, 1, 2)}
            if self.yes(4):
                limit["duration"] = self.limit()
            retry: dict[str, Any] = {"limit": {"attempt": limit}}
            if self.yes():
                retry |= {"delay": self.wait(), "backoff": self.pick({"linear": {}}, {"exponential": {}})}
            if self.yes(4):
                retry["exceptWhen"] = ".status == 400"
            catch["retry"] = self.pick("few", retry, retry)
        if self.yes():
            catch["do"] = self.region(max(depth, 0))
        if self.yes(4):
            catch["then"] = self.pick("continue", "exit", *later)
        return catch

    def extension(self) -> dict[str, Any]:
        extension: dict[str, Any] = {"extend": self.pick(*_EXTENDED)}
        if self.yes():
            extension["when"] = self.pick(".n % 2 == 0", '$task.name > "t2"', "$input.n % 5 != 0")
        for part in ("before", "after"):
            if self.yes():
                note = f"$context + {{{part}: [$task.name, ($task.output | type)]}}"
                tasks: list[dict[str, Any]] = [{"note": {"set": "${ . }", "export": {"as": note}}}]
                if part == "before" and self.yes(3):
                    instead = {"if": ".n % 3 == 0", "set": "${ . + {n: 5} }", "then": "exit"}
                    tasks += [{"more": instead}, {"last": {"set": "${ . }"}}]
                extension[part] = tasks
        return extension


def events(text: str) -> list[JsonObject]:
    """What the listeners of the document *text* wait for."""
    made: list[JsonObject] = []
    for type in sorted(set(re.findall(r"\b(?:own|end|key)\.t\d+", text))):
        for number in range(9 if type.startswith("own") else 1):
            attributes: JsonObject = {
                "specversion": "1.0",
                "id": f"{type}.{number}",
                "source": "s",
                "type": type,
            }
            made.append({**attributes, "data": {"n": number + 1}, "key": str(number % 2)})
    return made
