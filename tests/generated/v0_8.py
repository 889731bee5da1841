"""DSL 0.8 documents with states of every type, whose transitions only lead on; most leave their names in a trace."""

from __future__ import annotations

from typing import Any

from tests.generated.v1 import Pick
from workflow_engine.values import JsonObject

INPUT: dict[str, Any] = {"n": 1, "trace": [], "key": "k1"}
SUB_FLOW = """
id: sub
version: '1.0'
specVersion: '0.8'
functions: [{name: f, type: expression, operation: 'if .n % 5 == 0 then error("five") else .n + 3 end'}]
states:
  - {name: z, type: sleep, duration: PT0.011S, transition: s}
  - {name: s, type: operation, actions: [{functionRef: f, actionDataFilter: {toStateData: '${ .n }'}}], end: true}
"""
EVENTS: list[JsonObject] = [
    {
        "specversion": "1.0",
        "id": f"{type}{n}",
        "source": "s",
        "type": f"ev.{type}",
        "data": {"n": n},
        "key": "k1",
    }
    for type in "ABKE"
    for n in range(1, 7)
]
_FUNCTIONS = [
    {"name": "inc", "type": "expression", "operation": ".n + 1"},
    {"name": "obj", "type": "expression", "operation": "{m: (.n * 2), list: [.n]}"},
    {"name": "const", "type": "expression", "operation": "{c: $CONST.five}"},
    {"name": "post", "type": "custom", "operation": "rest:post:http://x.example/post"},
    {"name": "fail", "type": "custom", "operation": "rest:post:http://x.example/fail"},
]
_EVENTS = [
    {"name": "A", "type": "ev.A", "source": "s"},
    {"name": "B", "type": "ev.B", "source": "s"},
    {"name": "K", "type": "ev.K", "source": "s", "correlation": [{"contextAttributeName": "key"}]},
    {"name": "E", "type": "ev.E", "source": "s", "dataOnly": False},
    {"name": "P", "type": "out.P", "kind": "produced"},
    {"name": "Q", "type": "ev.A", "source": "s", "kind": "produced"},
]
_ERRORS = [{"name": "bad", "code": "503"}, {"name": "late", "code": "408"}, {"name": "other", "code": "418"}]
_KINDS = ("operation", "operation", "switch", "inject", "foreach", "event", "callback", "sleep", "chosen")


class Drawing:
    """Draws the parts of one document.

    *real*: its time is real. No limit is near then. *beside*: things may go on side by side.
    """

    def __init__(self, pick: Pick, *, real: bool, beside: bool) -> None:
        self.pick, self.real, self.beside = pick, real, beside
        self.waits = 0
        self.names = [f"S{each}" for each in range(pick(3, 4, 5, 6))]
        self.undoing = [f"C{each}" for each in range(pick(0, 1, 2))]
        self.automatic = self.yes(8)

    def document(self) -> dict[str, Any]:
        few = {"name": "few", "maxAttempts": self.pick(1, 2), "delay": self.wait(), "multiplier": 2}
        states = [self.state(number, name) for number, name in enumerate(self.names)]
        for name in self.undoing:
            undo = {
                "name": name,
                "type": "operation",
                "usedForCompensation": True,
                "actions": [self.simple()],
            }
            states.append({**undo, "stateDataFilter": self.traced(name), "end": True})
        timeouts: dict[str, Any] = {}
        if self.yes(8):
            timeouts["workflowExecTimeout"] = {"duration": "PT9H", "interrupt": self.yes()}
        if self.yes(8):
            timeouts["actionExecTimeout"] = self.limit()
        return {
            "id": "generated",
            "version": "1.0",
            "specVersion": "0.8",
            "constants": {"five": 5},
            "functions": _FUNCTIONS,
            "events": _EVENTS,
            "errors": _ERRORS,
            "retries": [few, {"name": "now", "maxAttempts": 2}],
            "autoRetries": self.automatic,
            "timeouts": timeouts,
            "states": states,
        }

    def yes(self, of: int = 2) -> bool:
        """Once in *of* times."""
        return bool(self.pick(*range(of)) == 0)

    def wait(self) -> str:
        """A time that no other is: what ends at the same instant as a limit may come before it or after it."""
        self.waits += 1
        late = (7 ** min(self.waits, 8) + self.waits) / 1000
        return f"PT0.0{10 + self.waits}S" if self.real else f"PT{late}S"

    def limit(self) -> str:
        return "PT1H" if self.real else self.wait()

    def traced(self, name: str) -> dict[str, str]:
        return {"output": f'${{ . + {{trace: (.trace + ["{name}"])}} }}'}

    # --- states -------------------------------------------------------------------------------------------

    def state(self, number: int, name: str) -> dict[str, Any]:
        kind = self.pick(*_KINDS, *(["parallel", "parallel"] if self.beside else []))
        state: dict[str, Any] = {
            "name": name,
            "type": kind,
            "timeouts": {},
            **getattr(self, f"_{kind}")(number),
        }
        if state["type"] != "switch":
            state |= self.way(number)
            state["stateDataFilter"] = self.pick(
                {"input": "${ . + {seen: 1} }"},
                {"output": "${ {n, trace, key, list} }"},
                *[self.traced(name)] * 8,
            )
            if self.undoing and self.yes(3):
                state["compensatedBy"] = self.pick(*self.undoing)
        if self.yes(3) and kind != "inject":
            wanted = (
                {"errorRef": "bad"},
                {"errorRefs": ["bad", "late"]},
                {"errorRef": "*"},
                {"errorRef": "other"},
            )
            state["onErrors"] = [{**self.pick(*wanted), **self.way(number)}]
        if self.yes(7) and kind != "sleep":
            state["timeouts"]["stateExecTimeout"] = self.limit()
        if self.yes(7) and kind in {"operation", "foreach", "event", "callback"}:
            state["timeouts"]["actionExecTimeout"] = self.limit()
        return state

    def way(self, number: int) -> dict[str, Any]:
        later = self.names[number + 1 :]
        on_the_way: dict[str, Any] = {}
        if self.undoing and self.yes(5):
            on_the_way["compensate"] = True
        if self.yes(5):
            data = self.pick("${ {n: .n} }", {"n": "${ .n }", "x": 1})
            on_the_way["produceEvents"] = [{"eventRef": self.pick("P", "Q"), "data": data}]
        if later and not self.yes(6):
            to = self.pick(later[0], later[0], *later)
            return {"transition": {"nextState": to, **on_the_way} if on_the_way else to}
        if self.yes(6):
            on_the_way["terminate"] = True
        return {"end": on_the_way or True}

    def _operation(self, number: int) -> dict[str, Any]:
        beside = {"actionMode": "parallel"} if self.beside and self.yes(3) else {}
        return {"actions": self.actions(), **beside}

    def _inject(self, number: int) -> dict[str, Any]:
        return {
            "data": self.pick({"n": self.pick(2, 3, 10)}, {"list": [1, 2]}, {"o": {"a": {"c": [1]}}, "n": 4})
        }

    def _sleep(self, number: int) -> dict[str, Any]:
        return {"duration": self.wait()}

    def _switch(self, number: int) -> dict[str, Any]:
        asked = [self.pick("${ .n % 2 == 0 }", ".n > 3"), *([".n > 10"] if self.yes() else [])]
        conditions = [{"condition": each, **self.way(number)} for each in asked]
        return {"dataConditions": conditions, "defaultCondition": self.way(number)}

    def _chosen(self, number: int) -> dict[str, Any]:
        """A switch by events."""
        data = {"eventDataFilter": {"data": "${ {n: .n} }"}} if self.yes() else {}
        wanted = self.pick(["A"], ["A", "B"], ["K", "E"])
        conditions = [{"eventRef": each, **data, **self.way(number)} for each in wanted]
        default = {"defaultCondition": self.way(number), "timeouts": {"eventTimeout": self.limit()}}
        return {"type": "switch", "eventConditions": conditions, **default}

    def _foreach(self, number: int) -> dict[str, Any]:
        mode = {"batchSize": self.pick(1, 2)} if self.beside and self.yes() else {"mode": "sequential"}
        into = {"outputCollection": "${ .outs }"} if self.yes() else {}
        items = self.pick("${ [1, 2] }", "${ [3, .n, 1] }", "${ [] }")
        return {"inputCollection": items, "iterationParam": "it", "actions": self.actions(), **mode, **into}

    def _parallel(self, number: int) -> dict[str, Any]:
        branches = [{"name": f"b{each}", "actions": self.actions()} for each in range(self.pick(1, 2, 3))]
        return {"branches": branches, "timeouts": {"branchExecTimeout": self.limit()} if self.yes(7) else {}}

    def _event(self, number: int) -> dict[str, Any]:
        filters: tuple[dict[str, Any], ...] = (
            {},
            {"data": "${ {n: .n} }"},
            {"useData": False},
            {"toStateData": "${ .heard }"},
        )
        wanted = self.pick([["A"]], [["A", "B"]], [["A"], ["B"]], [["K"], ["E"]])
        entries = [
            {
                "eventRefs": each,
                "actions": self.actions() if self.yes() else [],
                "eventDataFilter": self.pick(*filters),
            }
            for each in wanted
        ]
        any_of_them = number == 0 or self.yes()  # a start state has no time to wait for all of them
        return {"exclusive": any_of_them, "onEvents": entries, "timeouts": {"eventTimeout": self.limit()}}

    def _callback(self, number: int) -> dict[str, Any]:
        answer = {"eventRef": self.pick("A", "B", "E"), "timeouts": {"eventTimeout": self.limit()}}
        return {"action": self.action(), **answer}

    # --- actions ------------------------------------------------------------------------------------------

    def actions(self) -> list[dict[str, Any]]:
        return [self.action() for _ in range(self.pick(1, 1, 2))]

    def simple(self) -> dict[str, Any]:
        chosen: dict[str, Any] = self.pick(
            {"functionRef": "inc", "actionDataFilter": {"toStateData": "${ .n }"}},
            {"functionRef": "obj"},
            {"functionRef": "const", "actionDataFilter": {"toStateData": ".cc"}},
            {"functionRef": "inc", "actionDataFilter": {"results": "${ {n: .} }"}},
            {
                "functionRef": "obj",
                "actionDataFilter": {"fromStateData": "${ {n: (.n + 1)} }", "results": "${ .list }"},
            },
        )
        return {**chosen}

    def action(self) -> dict[str, Any]:
        kind = self.pick("simple", "simple", "post", "post", "fail", "exchange", "sub", "async")
        given = {"arguments": {"n": "${ .n }"}}
        match kind:
            case "simple":
                action = self.simple()
            case "post":
                shape = self.pick("${ {n: .n} }", "${ {list: [.n]} }", "${ .n }")
                drops = {"useResults": False} if self.yes(6) else {}
                action = {
                    "functionRef": {"refName": "post", **given},
                    "actionDataFilter": {"results": shape, **drops},
                }
            case "fail":
                shape = "${ {n: .n} }"
                action = {"functionRef": {"refName": "fail", **given}, "actionDataFilter": {"results": shape}}
            case "exchange":
                asked = {"triggerEventRef": "Q", "resultEventRef": "B", "resultEventTimeout": self.limit()}
                action = {"eventRef": {**asked, **({"invoke": "async"} if self.yes(3) else {})}}
            case "sub":
                seen = {"fromStateData": "${ {n: .n} }", "results": "${ {n: .n} }"}
                action = {"subFlowRef": self.pick("sub", {"workflowId": "sub", "version": "1.0"})}
                action["actionDataFilter"] = seen
            case _:
                action = {"functionRef": {"refName": "post", "invoke": "async", **given}}
        if self.yes(5):
            action["condition"] = self.pick("${ .n % 2 == 0 }", ".n > 1")
        if self.yes(6):
            action["sleep"] = self.pick({"before": self.wait()}, {"after": self.wait()})
        if kind not in {"async", "exchange"} and (self.automatic or self.yes(3)):
            action["retryRef"] = self.pick("few", "now")
            if self.yes():
                key = "nonRetryableErrors" if self.automatic else "retryableErrors"
                action[key] = self.pick(["bad"], ["bad", "late"])
        return action
