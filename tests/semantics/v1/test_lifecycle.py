"""Lifecycle events (dsl.md §1.14, decisions A47 and A48): every type, its data, the order, on both runtimes."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime
from typing import Any

import pytest

from tests.running import KEY
from tests.semantics.v1.documents import event, workflow
from workflow_engine import dsl
from workflow_engine.errors import InvalidDocument
from workflow_engine.graph.lifecycle import Told
from workflow_engine.interpreter.lifecycle import Audience
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.values import JsonObject

API = "https://api.example"


def audience(events: str = "task", channel: str = "lifecycle") -> Audience:
    return Audience(Told.parse(events), channel, API)


def wishing(events: str, body: str) -> str:
    """A document that says itself which events are told of it."""
    return workflow(body).replace("version:", f"metadata: {{lifecycleEvents: {events}}}, version:", 1)


def told(ended: Any) -> list[str]:
    """The events of a run, each as its type and the name of the task."""
    return [short(event) for event in ended.told]


def short(event: JsonObject) -> str:
    subject, phase = re.fullmatch(
        r"io\.serverlessworkflow\.(workflow|task)\.([a-z-]+)\.v1", str(event["type"])
    ).groups()
    data: Any = event["data"]
    status = f"={data['status']}" if phase == "status-changed" else ""
    if subject == "workflow":
        return f"{phase}{status}"
    return f"{data['task'].rpartition('/')[2]} {phase}{status}"


def check(ended: Any) -> None:
    """What is true of the events of every run."""
    ids = [event["id"] for event in ended.told]
    assert len(ids) == len(set(ids))
    assert [event["time"] for event in ended.told] == sorted(event["time"] for event in ended.told)
    for event_ in ended.told:
        assert event_["source"] == API
        data = event_["data"]
        kind = event_["type"].split(".")[2]
        assert data["name" if kind == "workflow" else "workflow"] == event_["subject"]
        moments = [name for name in data if name.endswith("At")]
        assert len(moments) == 1
        assert data[moments[0]] == event_["time"]
        datetime.fromisoformat(data[moments[0]])


async def test_a47_a_run_tells_how_it_and_its_tasks_begin_and_end(run: Any) -> None:
    ended = await run(
        workflow("do: [{a: {set: {x: 1}}}, {b: {do: [{c: {set: '${ . }'}}]}}]"), audience=audience()
    )
    check(ended)
    assert told(ended) == [
        "started",
        *("a created", "a started", "a completed"),
        *("b created", "b started", "c created", "c started", "c completed", "b completed"),
        "completed",
    ]
    name = f"test-{ended.run_id}.semantics"
    first, created, last = ended.told[0], ended.told[1], ended.told[-1]
    assert first["data"] == {
        "name": name,
        "definition": {"name": "test", "namespace": "semantics", "version": "1.0.0"},
        "startedAt": first["time"],
    }
    assert created["data"] == {"workflow": name, "task": "/do/0/a", "createdAt": created["time"]}
    assert last["data"] == {
        "name": name,
        "outputUri": f"{API}/v1/runs/{ended.run_id}/output",
        "completedAt": last["time"],
    }
    assert first["subject"] == name


async def test_a47_without_an_audience_nothing_is_told(run: Any) -> None:
    ended = await run(workflow("do: [{a: {set: {x: 1}}}]"), audience=audience("none"))
    assert ended.told == []


async def test_a47_the_operator_may_want_to_hear_of_workflows_alone(run: Any) -> None:
    ended = await run(workflow("do: [{a: {set: {x: 1}}}]"), audience=audience("workflow"))
    assert told(ended) == ["started", "completed"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("none", []),
        ("workflow", ["started", "completed"]),
        ("task", ["started", "a created", "a started", "a completed", "completed"]),
    ],
)
async def test_a47_the_document_decides_before_the_operator(
    run: Any, wanted: str, expected: list[str]
) -> None:
    document = wishing(wanted, "do: [{a: {set: {x: 1}}}]")
    for operator in ("none", "task"):
        assert told(await run(document, audience=audience(operator))) == expected


def test_what_the_document_wants_to_tell_is_checked_when_it_is_loaded() -> None:
    with pytest.raises(InvalidDocument) as invalid:
        dsl.compile(dsl.parse(wishing("tasks", "do: []")))
    [problem] = invalid.value.problems
    assert (problem.code, problem.pointer) == ("invalid-value", "/document/metadata/lifecycleEvents")


async def test_a47_the_same_task_many_times_is_told_each_time(run: Any) -> None:
    body = "do: [{loop: {for: {in: '[1, 2]'}, do: [{add: {set: '${ . + $item }'}}]}}]"
    ended = await run(workflow(body), 0, audience=audience())
    check(ended)
    once = ["add created", "add started", "add completed"]
    assert told(ended) == [
        "started", "loop created", "loop started", *once, *once, "loop completed", "completed"
    ]  # fmt: skip
    pointers = {event["data"]["task"] for event in ended.told if "task" in event["data"]}
    assert pointers == {"/do/0/loop", "/do/0/loop/do/0/add"}


async def test_a47_a_fault_is_told_of_the_task_those_around_it_and_the_run(run: Any) -> None:
    body = """
    do:
      - outer:
          do: [{fail: {raise: {error: {type: 'https://e.example/x', status: 418, detail: '${ .why }'}}}}]
    """
    ended = await run(workflow(body), {"why": "tea"}, audience=audience())
    check(ended)
    assert told(ended) == [
        "started",
        *("outer created", "outer started", "fail created", "fail started"),
        *("fail faulted", "outer faulted", "faulted"),
    ]
    error = {
        "type": "https://e.example/x",
        "status": 418,
        "detail": "tea",
        "instance": "/do/0/outer/do/0/fail",
    }
    for event_ in ended.told[-3:]:
        assert event_["data"]["error"] == error == ended.error
        assert event_["data"]["faultedAt"] == event_["time"]


async def test_a47_what_is_skipped_tells_nothing_and_a_condition_that_fails_is_a_fault(run: Any) -> None:
    ended = await run(workflow("do: [{a: {if: '.n > 1', set: {x: 1}}}]"), {"n": 1}, audience=audience())
    assert told(ended) == ["started", "completed"]
    ended = await run(workflow("do: [{a: {if: '.n.m', set: {x: 1}}}]"), {"n": 1}, audience=audience())
    assert told(ended) == ["started", "a created", "a faulted", "faulted"]


async def test_a47_each_retry_is_told(run: Any) -> None:
    body = """
    do:
      - again:
          try: [{fail: {raise: {error: {type: 'https://e.example/x', status: 503}}}}]
          catch: {retry: {delay: {milliseconds: 10}, limit: {attempt: {count: 2}}}, do: [{give: {set: up}}]}
    """
    ended = await run(workflow(body), audience=audience())
    check(ended)
    failed = ["fail created", "fail started", "fail faulted"]
    assert told(ended) == [
        "started", "again created", "again started",
        *failed, "again retried", *failed, "again retried", *failed,
        "give created", "give started", "give completed", "again completed", "completed",
    ]  # fmt: skip
    retried = [event["data"] for event in ended.told if event["type"].endswith("retried.v1")]
    assert [sorted(data) for data in retried] == [["retriedAt", "task", "workflow"]] * 2


async def test_a47_the_losers_of_a_race_are_cancelled(run: Any) -> None:
    body = """
    do:
      - race:
          fork:
            compete: true
            branches: [{slow: {do: [{nap: {wait: PT30S}}]}}, {fast: {set: won}}]
    """
    ended = await run(workflow(body), audience=audience())
    check(ended)
    assert ended.output == "won"
    assert sorted(told(ended)) == sorted([
        "started", "race created", "race started", "slow created", "slow started", "nap created", "nap started",
        "fast created", "fast started", "fast completed", "nap cancelled", "slow cancelled", "race completed",
        "completed",
    ])  # fmt: skip
    assert told(ended)[-4:] == ["nap cancelled", "slow cancelled", "race completed", "completed"]


async def test_a47_what_a_timeout_interrupts_is_cancelled_and_the_task_it_belongs_to_faults(run: Any) -> None:
    body = """
    do: [{brief: {do: [{nap: {wait: PT30S}}], timeout: {after: {milliseconds: 20}}}}]
    """
    ended = await run(workflow(body), audience=audience())
    check(ended)
    assert told(ended) == [
        "started", "brief created", "brief started", "nap created", "nap started",
        "nap cancelled", "brief faulted", "faulted",
    ]  # fmt: skip
    assert ended.told[-1]["data"]["error"]["status"] == 408


async def test_a47_an_end_completes_the_tasks_around_it_and_cancels_those_beside_it(run: Any) -> None:
    body = """
    do:
      - both:
          fork:
            branches: [{slow: {wait: PT30S}}, {quick: {do: [{last: {set: over, then: end}}]}}]
    """
    ended = await run(workflow(body), audience=audience())
    check(ended)
    assert ended.output == "over"
    assert told(ended)[-5:] == [
        "last completed", "quick completed", "slow cancelled", "both completed", "completed",
    ]  # fmt: skip


async def test_a47_a_run_that_is_cancelled_tells_that_of_itself_and_its_tasks(run: Any) -> None:
    body = "do: [{outer: {do: [{nap: {wait: PT30S}}]}}]"
    ended = await run(workflow(body), audience=audience(), commands=[("nap", "cancel")])
    check(ended)
    assert ended.status == "cancelled"
    assert told(ended) == [
        "started", "outer created", "outer started", "nap created", "nap started",
        "nap cancelled", "outer cancelled", "cancelled",
    ]  # fmt: skip
    assert sorted(ended.told[-1]["data"]) == ["cancelledAt", "name"]


async def test_a47_and_a48_a_run_that_is_suspended_tells_so_and_when_it_goes_on(run: Any) -> None:
    body = "do: [{outer: {do: [{nap: {wait: PT2S}}, {after: {set: done}}]}}]"
    commands = [("nap", "suspend"), ("after", "resume")]
    ended = await run(workflow(body), audience=audience(), commands=commands)
    check(ended)
    assert ended.status == "completed"
    assert told(ended) == [
        "started", "outer created", "outer started", "nap created", "nap started",
        "suspended", "nap completed", "outer suspended", "resumed", "outer resumed",
        "after created", "after started", "after completed", "outer completed", "completed",
    ]  # fmt: skip
    by_type = {short(event): event["data"] for event in ended.told}
    assert sorted(by_type["suspended"]) == ["name", "suspendedAt"]
    assert sorted(by_type["resumed"]) == ["name", "resumedAt"]
    assert sorted(by_type["outer suspended"]) == ["suspendedAt", "task", "workflow"]
    assert sorted(by_type["outer resumed"]) == ["resumedAt", "task", "workflow"]


async def test_a47_a_run_that_listens_tells_when_it_begins_and_what_correlates(run: Any) -> None:
    body = """
    do:
      - hear:
          listen:
            to:
              all:
                - with: {type: t.a}
                  correlate: {order: {from: .data.order}}
                - with: {type: t.b}
                  correlate: {order: {from: .data.order}}
    """
    events = [event("t.a", "1", {"order": 7}), event("t.b", "2", {"order": 7})]
    ended = await run(workflow(body), events=events, audience=audience())
    check(ended)
    assert told(ended) == [
        "started", "hear created", "hear started", "correlation-started", "correlation-completed",
        "hear completed", "completed",
    ]  # fmt: skip
    began, correlated = ended.told[3]["data"], ended.told[4]["data"]
    assert sorted(began) == ["name", "startedAt"]
    assert sorted(correlated) == ["completedAt", "correlationKeys", "name"]
    assert correlated["correlationKeys"] == {"order": 7}


async def test_a47_a_run_that_events_start_has_correlated_them(run: Any) -> None:
    filters = ", ".join(f"{{with: {{type: {type}}}, correlate: {{n: {{from: .data.n}}}}}}" for type in "ab")
    body = f"schedule: {{on: {{all: [{filters}]}}}}\ndo: [{{x: {{set: {{x: 1}}}}}}]"
    events = [event("a", "1", {"n": 7}), event("b", "2", {"n": 8}), event("b", "3", {"n": 7})]
    ended = await run(workflow(body), events=events, audience=audience("workflow"))
    check(ended)
    assert told(ended) == ["started", "correlation-started", "correlation-completed", "completed"]
    assert ended.told[2]["data"]["correlationKeys"] == {"n": 7}


async def test_a47_the_timeout_of_the_workflow_cancels_its_tasks_and_is_its_fault(run: Any) -> None:
    body = "timeout: {after: PT0.02S}\ndo: [{nap: {wait: PT30S}}]"
    ended = await run(workflow(body), audience=audience())
    check(ended)
    assert told(ended) == ["started", "nap created", "nap started", "nap cancelled", "faulted"]
    assert ended.told[-1]["data"]["error"]["instance"] == "/timeout"


async def test_a47_a_workflow_that_is_not_awaited_tells_of_itself_too(run: Any) -> None:
    child = workflow("do: [{inner: {wait: PT0.01S}}]", name="child")
    body = """
    do:
      - go: {run: {await: false, workflow: {namespace: semantics, name: child, version: '1.0.0'}}}
      - stay: {wait: PT2S}
    """
    ended = await run(workflow(body), others=[child], audience=audience("workflow"))
    check(ended)
    names = [f"{event['subject'].partition('-')[0]} {short(event)}" for event in ended.told]
    assert names == ["test started", "child started", "child completed", "test completed"]


async def test_a47_a_run_of_another_workflow_tells_of_itself(run: Any) -> None:
    parent = workflow("do: [{sub: {run: {workflow: {namespace: semantics, name: child, version: '1.0.0'}}}}]")
    child = workflow("do: [{inner: {set: {x: 1}}}]", name="child")
    ended = await run(parent, others=[child], audience=audience())
    check(ended)
    assert [(event["subject"].partition("-")[0], short(event)) for event in ended.told] == [
        ("test", "started"),
        ("test", "sub created"),
        ("test", "sub started"),
        ("child", "started"),
        ("child", "inner created"),
        ("child", "inner started"),
        ("child", "inner completed"),
        ("child", "completed"),
        ("test", "sub completed"),
        ("test", "completed"),
    ]


async def test_a48_changes_of_status_are_told_to_who_wants_them(run: Any) -> None:
    body = "do: [{nap: {wait: {milliseconds: 20}}}]"
    ended = await run(workflow(body), audience=audience("task,status"))
    check(ended)
    assert [text for text in told(ended) if "status" in text] == [
        "status-changed=running",
        "nap status-changed=pending",
        "nap status-changed=running",
        "nap status-changed=waiting",
        "status-changed=waiting",
        "nap status-changed=running",
        "status-changed=running",
        "nap status-changed=completed",
        "status-changed=completed",
    ]
    [waits] = [event["data"] for event in ended.told if short(event) == "nap status-changed=waiting"]
    assert sorted(waits) == ["status", "task", "updatedAt", "workflow"]


async def test_a47_in_dsl_0_8_states_and_actions_are_the_tasks(run: Any) -> None:
    document = """
    id: old
    specVersion: '0.8'
    version: '1.0'
    metadata: {lifecycleEvents: task}
    states:
      - {name: First, type: inject, data: {x: 1}, transition: Second}
      - {name: Second, type: sleep, duration: PT0.01S, end: true}
    """
    ended = await run(document, audience=audience("none"))
    check(ended)
    assert told(ended) == [
        "started", "0 created", "0 started", "0 completed", "1 created", "1 started", "1 completed", "completed",
    ]  # fmt: skip
    assert ended.told[0]["data"]["definition"] == {"name": "old", "namespace": "default", "version": "1.0"}


async def test_a47_a_run_that_goes_on_as_another_workflow_tells_of_both(run: Any) -> None:
    old = "{id: %s, specVersion: '0.8', version: '1.0', states: [{name: A, type: inject, data: {x: 1}, end: %s}]}"
    ended = await run(
        old % ("first", "{continueAs: second}"), others=[old % ("second", "true")], audience=audience()
    )
    check(ended)
    names = [f"{event['subject'].partition('-')[0]} {short(event)}" for event in ended.told]
    state = ["0 created", "0 started", "0 completed"]
    end = ["continueAs created", "continueAs started", "continueAs completed"]
    assert names == [
        *(f"first {text}" for text in ("started", *state, *end, "completed")),
        *(f"second {text}" for text in ("started", *state, "completed")),
    ]


async def test_no_lifecycle_event_has_the_value_of_a_secret(run: Any) -> None:
    body = """
    use: {secrets: [KEY]}
    do:
      - send:
          call: http
          with:
            method: get
            endpoint: https://httpbin.org/status/418
            headers: {X-Key: '${ $secrets.KEY }'}
    """
    ended = await run(workflow(body), audience=audience())
    check(ended)
    assert told(ended)[-2:] == ["send faulted", "faulted"]
    assert KEY not in json.dumps(ended.told)


async def test_names_that_no_attribute_can_carry_are_told_all_the_same(run: Any) -> None:
    header = {"dsl": "1.0.3", "namespace": "semantics", "name": "test", "version": "1.0.0"}
    document = {"document": header, "do": [{"a\tb" + "c" * 3000: {"set": {"x": 1}}}]}
    ended = await run(json.dumps(document), audience=audience())
    check(ended)
    assert len(ended.told) == 5


async def test_a_run_does_not_hear_what_it_tells(run: Any) -> None:
    body = """
    do:
      - hear: {listen: {to: {any: []}}, timeout: {after: {milliseconds: 50}}}
    """
    ended = await run(workflow(body), audience=audience())
    assert ended.status == "faulted"
    assert ended.error["status"] == 408


def test_the_local_runtime_tells_nothing_of_what_it_gives_up() -> None:
    graph = dsl.compile(dsl.parse(workflow("do: [{hear: {listen: {to: {one: {with: {type: never}}}}}}]")))
    local = LocalRun(graph, audience=audience())
    outcome = asyncio.run(local.execute({}))
    assert outcome.status == "waiting"
    assert [short(event) for event in local.channels["lifecycle"]] == [
        "started", "hear created", "hear started", "correlation-started",
    ]  # fmt: skip


async def test_long_texts_of_an_error_are_told_in_part(run: Any) -> None:
    body = "do: [{fail: {raise: {error: {type: 'https://e.example/x', status: 400, detail: '${ .long }'}}}}]"
    ended = await run(workflow(body), {"long": "x" * 60_000}, audience=audience())
    check(ended)
    assert len(ended.error["detail"]) == 60_000
    assert len(ended.told[-1]["data"]["error"]["detail"]) == 16_001
