"""DSL 1.0 documents that Hypothesis makes up: without calls and events, bounded, and the same in every run."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

HEADER = {"dsl": "1.0.3", "namespace": "test", "name": "generated", "version": "1.0.0"}
INPUT: dict[str, Any] = {"n": 1, "trace": []}

MOST_WAITS = 6
LONGER = 50
"""Each wait is this many times longer than the one before, so that no two branches ever end at the same moment."""


class Drawing:
    """Draws the parts of one document; every task has a name of its own, which it leaves in the trace."""

    def __init__(self, draw: st.DrawFn, *, forks: bool) -> None:
        self.draw = draw
        self.forks = forks
        self.tasks = 0
        self.waits = 0

    def document(self) -> dict[str, Any]:
        return {
            "document": HEADER,
            "use": {
                "functions": {"step": {"do": self.list(1, functions=False)}},
                "extensions": [{f"x{number}": self.extension()} for number in range(self.pick(0, 0, 1, 2))],
            },
            "output": {"as": "{data: ., context: $context}"},
            "do": self.list(3),
        }

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def yes(self) -> bool:
        return self.draw(st.booleans())

    def list(self, depth: int, *, functions: bool = True) -> list[dict[str, Any]]:
        names = [f"t{self.tasks + number}" for number in range(self.draw(st.integers(1, 3)))]
        self.tasks += len(names)
        tasks = []
        for number, name in enumerate(names):
            task = self.task(name, depth, names[number + 1 :], functions=functions)
            if self.draw(st.integers(0, 5)) == 0:
                task["if"] = self.pick(".n % 2 == 0", ".n % 3 != 0")
            if self.draw(st.integers(0, 5)) == 0:
                task["then"] = self.pick("continue", "exit", *names[number + 1 :])
            if self.draw(st.integers(0, 3)) == 0:
                task["export"] = {"as": f"$context + {{{name}: .n, last: {number}}}"}
            tasks.append({name: task})
        return tasks

    def task(self, name: str, depth: int, later: list[str], *, functions: bool) -> dict[str, Any]:
        simple = ["set", "set", "switch", "wait", "raise"]
        composite = ["do", "for", "try", "fork", "call"] if self.forks else ["do", "for", "try", "call"]
        kinds = [*simple, *composite] if depth > 0 else simple
        kind = self.pick(*kinds)
        if kind == "call" and functions:
            return {"call": "step"}
        inner = depth - 1
        match kind:
            case "switch":
                cases = [{"even": {"when": ".n % 2 == 0", "then": self.pick("continue", "exit", *later)}}]
                if self.yes():
                    cases.append({"else": {"then": self.pick("continue", "exit", "end", *later)}})
                return {"switch": cases}
            case "wait" if self.waits < MOST_WAITS:
                return {"wait": self.pause()}
            case "raise":
                error = {"type": "https://e.example/" + self.pick("a", "b"), "status": self.pick(400, 503)}
                return {"if": self.pick(".n % 2 == 0", ".n % 3 == 0"), "raise": {"error": error}}
            case "do":
                return {"do": self.list(inner, functions=functions)}
            case "for":
                loop: dict[str, Any] = {
                    "for": {"each": "x", "in": self.pick("[1, 2]", "[3, 1, 2]", "[]", "[range(.n % 3)]")},
                    "do": self.list(inner, functions=functions),
                }
                if self.yes():
                    loop["while"] = self.pick(".n % 5 != 0", "$index < 2")
                return loop
            case "try":
                return {
                    "try": self.list(inner, functions=functions),
                    "catch": self.catch(inner, functions=functions),
                }
            case "fork":
                branches = [
                    {f"{name}b{number}": {"do": self.list(inner, functions=functions)}}
                    for number in range(self.draw(st.integers(1, 3)))
                ]
                race = self.yes()
                merge = "." if race else "{n: (map(.n) | add % 97), trace: map(.trace), fork: length}"
                return {"fork": {"branches": branches, "compete": race}, "output": {"as": merge}}
            case _:
                factor = self.draw(st.integers(1, 5))
                changed = f'. + {{n: ((.n * {factor} + 1) % 97), trace: (.trace + ["{name}"])}}'
                return {"set": f"${{ {changed} }}"}

    def extension(self) -> dict[str, Any]:
        """Around some of the tasks: notes of what they are, and now and then something in their place."""
        extension: dict[str, Any] = {"extend": self.pick("all", "set", "switch", "composite", "for", "try")}
        if self.yes():
            extension["when"] = self.pick(".n % 2 == 0", '$task.name > "t2"', "$input.n % 5 != 0")
        for part in ("before", "after"):
            if self.yes():
                note = f"$context + {{{part}: [$task.name, ($task.output | type)], n: .n}}"
                tasks: list[dict[str, Any]] = [{"note": {"set": "${ . }", "export": {"as": note}}}]
                tasks.append({"deep": {"do": [{"lost": {"set": "${ . + {n: 5} }"}}]}})
                if part == "before" and self.draw(st.integers(0, 3)) == 0:
                    tasks[1]["deep"] |= {"if": self.pick(".n % 3 == 0", ".n > 20"), "then": "exit"}
                    tasks.append({"more": {"set": "${ . }"}})
                extension[part] = tasks
        return extension

    def catch(self, depth: int, *, functions: bool) -> dict[str, Any]:
        catch: dict[str, Any] = {}
        if self.yes():
            catch["errors"] = {"with": {"status": 503}}
        if self.yes():
            catch["retry"] = {"limit": {"attempt": {"count": self.draw(st.integers(0, 2))}}}
            if self.waits < MOST_WAITS and self.yes():
                catch["retry"]["delay"] = self.pause()
        if self.yes():
            catch["do"] = self.list(depth, functions=functions)
        return catch

    def pause(self) -> dict[str, int]:
        self.waits += 1
        return {"milliseconds": LONGER ** (self.waits - 1)}


@st.composite
def documents(draw: st.DrawFn, *, forks: bool = True) -> dict[str, Any]:
    return Drawing(draw, forks=forks).document()
