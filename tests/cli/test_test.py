"""`wfe test`: what it says of scenarios that hold and that do not, and that nothing outside is touched."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.command import EXAMPLES, Ended
from tests.cli.command import wfe as wfe_process
from workflow_engine.cli.main import main

ORDER = """
document: {dsl: '1.0.3', namespace: shop, name: order, version: '1.0.0'}
use:
  secrets: [key]
  functions:
    pay:
      call: http
      with:
        method: post
        endpoint: https://pay.invalid/charges
        headers: {Authorization: '${ "Bearer " + $secrets.key }'}
        body: {amount: '${ .amount }'}
do:
  - reserve:
      try:
        - hold:
            call: http
            with: {method: post, endpoint: 'https://stock.invalid/holds', body: {sku: '${ .sku }'}}
            timeout: {after: PT10S}
      catch:
        errors: {with: {status: 503}}
        retry: {delay: PT1M, backoff: {constant: {}}, limit: {attempt: {count: 3}}}
      output: {as: '${ $input }'}
  - charge: {call: pay}
  - wait: {wait: {days: 1}}
  - enough:
      switch:
        - large: {when: '${ .amount > 100 }', then: announce}
        - small: {then: end}
  - announce:
      emit: {event: {with: {type: order.large, source: /shop, data: {amount: '${ .amount }'}}}}
  - confirm:
      listen: {to: {one: {with: {type: order.confirmed}}}}
      timeout: {after: P2D}
"""
GIVEN: dict[str, Any] = {
    "workflow": "order.yaml",
    "secrets": {"key": "s3cr3t"},
    "calls": {"hold": {"output": {"id": "h-1"}}, "charge": {"output": {"amount": "${ .body.amount }"}}},
}
SMALL, LARGE = {"sku": "a", "amount": 5}, {"sku": "a", "amount": 500}


def wfe(*arguments: object, cwd: Path | None = None) -> Ended:
    """Run ``wfe`` in this process, for most of the time of a small command is that of its start."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err), chdir(cwd or Path()):
        code = main([str(each) for each in arguments])
    texts = []
    for stream in (out, err):
        stream.seek(0)
        texts.append(stream.read())
    return Ended(code, *texts)


def tried(folder: Path, *scenarios: dict[str, Any], options: tuple[object, ...] = (), **given: Any) -> Ended:
    (folder / "order.yaml").write_text(ORDER)
    file = folder / "order.test.yaml"
    named = [{"name": f"number {number}", **each} for number, each in enumerate(scenarios)]
    file.write_text(yaml.safe_dump({**GIVEN, **given, "scenarios": named}, sort_keys=False))
    return wfe("test", file, *options)


def failures(folder: Path, scenario: dict[str, Any], **given: Any) -> list[str]:
    """What is told of a scenario that does not hold."""
    ended = tried(folder, scenario, options=("--json",), **given)
    [told] = ended.json["scenarios"]
    assert ended.code == (1 if told["failures"] else 0)
    return list(told["failures"])


def test_scenarios_that_hold_pass_in_no_time_and_call_nobody(tmp_path: Path) -> None:
    ended = tried(
        tmp_path,
        {
            "input": SMALL,
            "expect": {
                "output": {"amount": 5},
                "states": ["reserve", "hold", "charge", "pay", "wait", "enough"],
                "calls": [
                    {"state": "hold", "with": {"body": {"sku": "a"}}},
                    {"state": "charge", "with": {"headers": {"Authorization": "Bearer s3cr3t"}}},
                ],
                "events": [],
                "notBefore": "P1D",
                "within": "P1D",
            },
        },
        {
            "input": LARGE,
            "events": [
                {
                    "after": "P1DT6H",
                    "event": {"type": "order.confirmed", "source": "/shop", "data": {"ok": True}},
                }
            ],
            "expect": {
                "output": [{"ok": True}],
                "events": [{"type": "order.large", "data": {"amount": 500}}],
                "holds": [".[0].ok", "$events | length == 1", '$status == "completed"'],
                "notBefore": "P1DT6H",
                "within": "P1DT6H",
            },
        },
        {
            "input": LARGE,
            "expect": {"error": {"type": "timeout", "instance": "/do/5/confirm"}, "within": "P3D"},
        },
    )
    assert (ended.code, ended.out.count("ok ")) == (0, 3), ended.out
    assert "3 passed, 0 failed" in ended.err
    assert "8 of 8 states visited" in ended.err


def test_a_list_has_an_answer_for_each_call_and_errors_are_retried_on_the_virtual_clock(
    tmp_path: Path,
) -> None:
    busy = {"error": {"type": "communication", "status": 503}}
    calls = {"hold": [busy, busy, {"output": {"id": "h-2"}, "takes": "PT5S"}]}
    expect = {
        "calls": [{"state": "hold"}] * 3 + [{"state": "pay"}],
        "notBefore": "P1DT2M5S",
        "within": "P1DT2M5S",
    }
    assert failures(tmp_path, {"input": SMALL, "calls": calls, "expect": expect}) == []
    assert failures(tmp_path, {"input": SMALL, "calls": {"hold": [busy]}}) == [
        "'hold' makes a call (http) once more; it is answered once"
    ]


def test_a_call_that_is_never_answered_ends_by_its_timeout(tmp_path: Path) -> None:
    never = {"calls": {"hold": {"never": True}}, "input": SMALL}
    assert failures(tmp_path, {**never, "expect": {"error": {"status": 408}, "within": "PT10S"}}) == []
    slow = {"calls": {"hold": {"output": {}, "takes": "PT11S"}}, "input": SMALL}
    assert failures(tmp_path, {**slow, "expect": {"error": {"status": 408}}}) == []


def test_a_call_without_an_answer_fails_the_scenario_and_no_catch_hides_that(tmp_path: Path) -> None:
    [told] = failures(tmp_path, {"input": SMALL}, calls={"charge": {"output": {}}})
    assert told == (
        "hold (/do/0/reserve/try/0/hold) makes a call (http) that the scenario has no answer for: "
        "write one below `calls`"
    )


def test_what_differs_is_told_with_its_place(tmp_path: Path) -> None:
    expect = {
        "output": {"amount": 6, "paid": True},
        "states": ["reserve"],
        "visits": ["announce"],
        "avoids": ["hold"],
        "calls": [{"state": "hold", "with": {"body": {"sku": "b"}}}, {"state": "charge"}],
        "events": [{"type": "x"}],
        "holds": [".amount > 5", ".amount + {}"],
        "within": "PT1H",
        "notBefore": "P2D",
    }
    told = failures(tmp_path, {"input": SMALL, "expect": expect, "calls": {"nobody": {"output": 1}}})
    assert [each.partition(":")[0] for each in told] == [
        "calls", "output/amount", "output/paid", "holds", "holds", "states", "states", "states",
        "calls/0 (hold)/body/sku", "events/0", "time", "time",
    ]  # fmt: skip
    assert told[0] == "calls: there is no state 'nobody' to answer"
    assert told[1] == "output/amount: expected 6, got 5"
    assert 'got false; the output is {"amount": 5}' in told[3]


def test_a_state_that_is_not_there_is_told_and_does_not_pass_for_one_that_was_avoided(tmp_path: Path) -> None:
    expect = {"avoids": ["anounce"], "calls": [{"state": "/do/0/reserve/try/0/hold"}, {"state": "charge"}]}
    assert failures(tmp_path, {"input": SMALL, "expect": expect}) == ["expect: there is no state 'anounce'"]


def test_a_workflow_that_never_ends_fails_its_scenario_in_time(tmp_path: Path) -> None:
    (tmp_path / "round.yaml").write_text(ROUND)
    scenarios = {"workflow": "round.yaml", "scenarios": [{"name": "one"}]}
    (tmp_path / "round.test.yaml").write_text(yaml.safe_dump(scenarios))
    ended = wfe("test", tmp_path, "--timeout", "1")
    assert (ended.code, "it has not ended within 1 s of computing" in ended.out) == (1, True)


ROUND = """
document: {dsl: '1.0.3', namespace: t, name: round, version: '1.0.0'}
do: [{a: {wait: PT1S}}, {b: {set: {n: 1}, then: a}}]
"""


def test_a_run_that_ends_otherwise_says_how_it_ended(tmp_path: Path) -> None:
    [told] = failures(tmp_path, {"input": LARGE})
    assert told.startswith("status: expected completed, got faulted: {")
    assert "'confirm' took longer" in told


def test_a_file_that_is_wrong_is_told_as_a_document_is(tmp_path: Path) -> None:
    (tmp_path / "order.yaml").write_text(ORDER)
    file = tmp_path / "order.test.yaml"
    file.write_text(
        "workflow: order.yaml\n"
        "scenarios:\n"
        "  - name: one\n"
        "    expct: {}\n"
        "    calls: {hold: {output: 1, error: {status: 1}}, charge: [{takes: 1s, never: true}]}\n"
    )
    ended = wfe("test", file)
    assert ended.code == 1
    assert [line.removeprefix(str(file)) for line in ended.err.splitlines()[:3]] == [
        ":4:5: unknown-property: unknown property `expct`; did you mean `expect`?",
        ":5:31: conflicting-properties: `output` and `error` exclude each other; keep one of them",
        ":5:69: invalid-value: '1s' is not an ISO 8601 duration such as PT1H30M or P2D",
    ]
    file.write_text(
        "workflow: order.yaml\nscenarios:\n- name: one\n  expect: {holds: ['.a +']}\n- name: one\n"
    )
    ended = wfe("test", file)
    assert ended.code == 1
    assert f"{file}:4:20: invalid-expression: " in ended.err
    assert f"{file}:5:9: duplicate-name: there is a scenario 'one' already" in ended.err


def test_what_cannot_be_expected_together_is_refused_rather_than_left_out(tmp_path: Path) -> None:
    for expect in (
        {"status": "completed", "error": {"status": 500}},
        {"status": "faulted", "output": 1},
        {"status": "waiting", "output": 1},
        {"error": {"status": 500}, "output": 1},
    ):
        ended = tried(tmp_path, {"expect": expect})
        assert (ended.code, "conflicting-properties" in ended.err) == (1, True), expect


def test_one_file_whose_workflow_is_not_there_does_not_hide_the_others(tmp_path: Path) -> None:
    tried(tmp_path, {"input": SMALL})
    (tmp_path / "a.test.yaml").write_text("{workflow: nowhere.yaml, scenarios: [{name: a}]}")
    ended = wfe("test", tmp_path)
    assert ended.code == 1
    assert "a.test.yaml: " in ended.err
    assert "nowhere.yaml: No such file" in ended.err
    assert "1 scenario: 1 passed" in ended.err
    assert wfe("test", tmp_path / "nobody.test.yaml").code == 2


def test_a_workflow_is_no_file_of_scenarios_and_a_number_is_no_duration_in_quotes(tmp_path: Path) -> None:
    tried(tmp_path, {"input": SMALL})
    ended = wfe("test", tmp_path / "order.yaml")
    assert (ended.code, "got a workflow" in ended.err.splitlines()[0]) == (1, True)
    ended = tried(tmp_path, {"expect": {"within": 3}})
    [told] = [line for line in ended.err.splitlines() if "wrong-type" in line]
    assert told.endswith("expected an ISO 8601 duration such as PT1H30M, got a number")


def test_the_report_is_junit_and_json_and_coverage_can_be_asked_for(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    options = ("--junit", report, "--json", "--coverage", "90")
    wrong = {"input": SMALL, "expect": {"output": '<&"\x0b>'}}
    ended = tried(tmp_path, {"input": SMALL, "name": "holds <&>"}, wrong, options=options)
    assert ended.code == 1
    assert [each["passed"] for each in ended.json["scenarios"]] == [True, False]
    assert ended.json["coverage"][0]["missed"] == {"/do/4/announce": "announce", "/do/5/confirm": "confirm"}
    assert "75 % of the states were visited; 90 % are asked for" in ended.err
    [suite] = ET.parse(report).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("name") for case in suite] == ["holds <&>", "number 1"]
    assert suite[1][0].text is not None
    assert "expected" in suite[1][0].text
    passed = tried(tmp_path, {"input": SMALL}, options=("--coverage", "75%"))
    assert passed.code == 0


def test_scenarios_are_found_in_folders_and_chosen_by_name(tmp_path: Path) -> None:
    tried(tmp_path, {"input": SMALL, "name": "small"}, {"input": LARGE, "name": "large"})
    ended = wfe("test", "--only", "small", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "ok    order.test.yaml:12  small\n")
    assert wfe("test", "--only", "nothing", cwd=tmp_path).code == 2
    assert wfe("test", tmp_path / "order.yaml").code == 1
    empty = wfe("test", cwd=EXAMPLES.parent / "workflows" / "reminder")
    assert (empty.code, "there is no file *.test.yaml" in empty.err) == (2, True)


def test_the_scenarios_of_the_examples_hold() -> None:
    ended = wfe_process("test", EXAMPLES)
    assert ended.code == 0, ended.out + ended.err


SUB = """
document: {dsl: '1.0.3', namespace: shop, name: SUB, version: '1.0.0'}
do:
  - ask: {call: http, with: {method: get, endpoint: 'https://x.invalid/'}}
"""
PARENT = """
document: {dsl: '1.0.3', namespace: shop, name: parent, version: '1.0.0'}
schedule: {on: {one: {with: {type: go}}}}
do:
  - first: {run: {workflow: {namespace: shop, name: sub, version: '1.0.0', input: {n: 1}}}}
  - second: {run: {workflow: {namespace: shop, name: other, version: '1.0.0', input: {n: 2}}}}
"""


def test_sub_workflows_run_where_their_files_are_given_and_are_answered_otherwise(tmp_path: Path) -> None:
    (tmp_path / "parent.yaml").write_text(PARENT)
    (tmp_path / "sub.yaml").write_text(SUB.replace("SUB", "sub"))
    scenario = {
        "name": "one",
        "events": [{"event": {"type": "go", "source": "/x", "data": 1}}],
        "calls": {"ask": {"output": {"a": 1}}, "second": {"output": "${ .input.n + 1 }"}},
        "expect": {
            "output": 3,
            "calls": [{"state": "first"}, {"state": "ask"}, {"state": "second", "with": {"name": "other"}}],
            "events": [],
        },
    }
    given = {"workflow": "parent.yaml", "workflows": ["sub.yaml"], "scenarios": [scenario]}
    (tmp_path / "parent.test.json").write_text(json.dumps(given))
    ended = wfe("test", tmp_path)
    assert ended.code == 0, ended.out + ended.err


GREETING = """
id: greeting
version: '1.0'
specVersion: '0.8'
functions: [{name: greet, type: custom, operation: 'rest:post:https://greet.invalid/hello'}]
start: Greet
states:
  - name: Greet
    type: operation
    actions: [{functionRef: {refName: greet, arguments: {name: '${ .name }'}}}]
    end: true
"""


@pytest.mark.parametrize("key", ["greet", "Greet"])
def test_workflows_of_dsl_0_8_are_tested_alike(tmp_path: Path, key: str) -> None:
    (tmp_path / "greeting.sw.yaml").write_text(GREETING)
    scenario = {
        "name": "one",
        "input": {"name": "Ada"},
        "calls": {key: {"output": {"text": "Hello"}}},
        "expect": {"output": {"name": "Ada", "text": "Hello"}, "calls": [{"state": key}]},
    }
    (tmp_path / "greeting.test.yaml").write_text(
        yaml.safe_dump({"workflow": "greeting.sw.yaml", "scenarios": [scenario]})
    )
    ended = wfe("test", tmp_path)
    assert ended.code == 0, ended.out + ended.err
