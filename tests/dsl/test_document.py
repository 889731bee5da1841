"""Text to a document: which dialect, and every problem in the words of an author."""

from __future__ import annotations

import json
import time

import pytest

from tests.dsl.corpus import HERE, everything
from workflow_engine.dsl.codes import EXPLANATIONS
from workflow_engine.dsl.document import Document, Limits
from workflow_engine.dsl.parsing import parse
from workflow_engine.errors import InvalidDocument, Problem

HEADER = "document: {dsl: '1.0.3', namespace: test, name: order, version: 1.0.0}\n"
OLD = "id: order\nspecVersion: '0.8'\n"


def problems_of(text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidDocument) as raised:
        parse(text)
    assert {problem.code for problem in raised.value.problems} <= EXPLANATIONS.keys()
    return raised.value.problems


def the_problem_of(text: str) -> Problem:
    (problem,) = problems_of(text)
    return problem


def test_a_document_keeps_what_its_author_wrote():
    text = "\ufeff" + HEADER + "do:\n  - wait: { wait: PT1S }\n"
    document = parse(text, name="order.yaml")
    assert isinstance(document, Document)
    assert document.dialect == "1.0"
    assert document.name == "order.yaml"
    assert document.text == text[1:]
    assert document.data["do"] == [{"wait": {"wait": "PT1S"}}]
    assert document.positions.value("/do/0/wait/wait") == (3, 19)
    assert document.warnings == ()


def test_a_document_makes_problems_with_their_place():
    document = parse(HEADER + "do:\n  - nap: { wait: PT1S }\n")
    problem = document.problem("unknown-name", "no such thing", "/do/0/nap/wait", severity="warning")
    assert problem == Problem("unknown-name", "no such thing", "/do/0/nap/wait", 3, 12, "warning")
    assert document.problem("x", "y", "/do/0/nap/gone").line == 3


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        (HEADER + "do: []", "1.0"),
        (HEADER.replace("1.0.3", "1.0.0-alpha5") + "do: []", "1.0"),
        (OLD + "states: [{name: a, type: inject, data: {}, end: true}]", "0.8"),
        (OLD.replace("0.8", "0.8.1") + "states: [{name: a, type: inject, data: {}, end: true}]", "0.8"),
        ("key: order\nspecVersion: '0.8'\nstates: [{name: a, type: inject, data: {}, end: true}]", "0.8"),
    ],
)
def test_the_dialect_is_what_the_document_says(text, dialect):
    assert parse(text).dialect == dialect
    assert parse(text.encode()).dialect == dialect


def test_json_is_read_as_yaml_is():
    for dialect in ("1.0", "0.8"):
        data = everything(dialect)
        assert parse(json.dumps(data)).data == data
        text = (HERE / "documents" / f"everything-{dialect}.yaml").read_text()
        assert parse(text).data == data


def test_states_without_a_version_are_taken_for_0_8_with_a_warning():
    document = parse("id: a\nstates: [{name: a, type: inject, data: {}, end: true}]")
    assert document.dialect == "0.8"
    assert [(warning.code, warning.severity) for warning in document.warnings] == [
        ("missing-version", "warning")
    ]


def test_names_in_an_open_object_that_nearly_fit_are_warned_of():
    document = parse(OLD + "function: []\nowner: me\nstates: [{name: a, type: inject, data: {}, end: true}]")
    (warning,) = document.warnings
    assert (warning.code, warning.pointer, warning.severity) == ("unknown-property", "/function", "warning")
    assert "`functions`" in warning.message


@pytest.mark.parametrize("version", ["1.1.0", "2.0.0", "0.9", "1.0", "1.0.x", "1.0.0.0", "1.0.3\n"])
def test_other_versions_of_the_dsl_are_refused(version):
    text = json.dumps(
        {"document": {"dsl": version, "namespace": "a", "name": "b", "version": "1.0.0"}, "do": []}
    )
    problem = the_problem_of(text)
    assert (problem.code, problem.pointer) == ("unsupported-dsl-version", "/document/dsl")
    assert "1.0.3" in problem.message


@pytest.mark.parametrize("version", ["0.7", "0.9", "1.1", "0.80"])
def test_other_versions_of_the_old_dsl_are_refused(version):
    text = f"id: a\nspecVersion: '{version}'\nstates: [{{name: a, type: inject, data: {{}}, end: true}}]"
    assert the_problem_of(text).code == "unsupported-dsl-version"


def test_a_version_without_quotes_is_told_with_the_digits_that_were_written():
    problem = the_problem_of("document: {dsl: 1.0.3, namespace: a, name: b, version: 1.10}\ndo: []")
    assert (problem.code, problem.pointer) == ("unquoted-version", "/document/version")
    assert problem.message.endswith('put it in quotes: "1.10.0"')  # for "1.10" would be refused next


def test_an_author_who_mixes_both_dialects_is_told_which_properties_say_so():
    problem = the_problem_of("specVersion: '0.8'\nid: a\ndo: [{a: {set: {}}}]")
    assert problem.message == "this has both `do` (DSL 1.0) and `specVersion` (DSL 0.8); keep one of them"


def test_versions_of_0_8_without_quotes_are_read_with_the_digits_that_were_written():
    old = "id: a\nspecVersion: 0.8\nversion: 1.20\nstates: [{name: a, type: inject, data: {}, end: true}]"
    document = parse(old)
    assert [warning.code for warning in document.warnings] == ["unquoted-version", "unquoted-version"]
    assert (document.data["version"], document.data["specVersion"]) == ("1.20", "0.8")


@pytest.mark.parametrize("text", ["just text", "[]", "3", "null", "{}", "name: x", HEADER + "states: []"])
def test_what_is_no_workflow_is_told_what_to_write(text):
    problem = the_problem_of(text)
    assert problem.code in {"wrong-type", "unknown-dialect"}
    assert problem.line >= 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("asyncapi: 3.0.0", "`wfe catalog add`"),
        ("openapi: 3.1.0", "`call: openapi`"),
        ("workflow: a.yaml\nscenarios: []", "`wfe test`"),
        ("target: {kind: pull}", "`wfe subscriptions put ID FILE`"),
    ],
)
def test_another_file_in_the_place_of_a_workflow_is_told_what_it_is_for(text, said):
    assert said in the_problem_of(text).message


def test_every_problem_is_told_at_once_in_document_order():
    found = problems_of(
        "document:\n"
        "  dsl: '1.0.3'\n"
        "  namespace: my.shop\n"
        "  name: order\n"
        "  version: 1.0.0\n"
        "  owner: me\n"
        "do:\n"
        "  - get:\n"
        "      call: http\n"
        "      with:\n"
        "        metod: GET\n"
        "        endpoint: 17\n"
        "        output: contents\n"
        "  - wait: { wait: {} }\n"
        "  - both:\n"
        "      set: {}\n"
        "      call: f\n"
        "tineout: PT1S\n"
    )
    assert [(problem.line, problem.code) for problem in found] == [
        (3, "invalid-name"),
        (6, "unknown-property"),
        (11, "unknown-property"),
        (12, "wrong-type"),
        (13, "invalid-value"),
        (14, "empty-object"),
        (16, "empty-object"),
        (17, "ambiguous-task"),
        (18, "unknown-property"),
    ]


@pytest.mark.parametrize(
    ("task", "code", "at", "says"),
    [
        ("{cal: http, with: {a: 1}}", "unknown-task", "/cal", "did you mean `call`?"),
        ("{then: end}", "unknown-task", "", "`switch`, `try` or `wait`"),
        ("{branches: []}", "unknown-task", "/branches", "below `fork`"),
        ("{set: {a: 1}, do: []}", "ambiguous-task", "/do", "`set` and `do` exclude each other"),
        ("{set: {a: 1}, with: {a: 1}}", "misplaced-property", "/with", "beside `call`"),
        ("{do: [], while: .a}", "misplaced-property", "/while", "beside `for`"),
        ("{do: [], catch: {}}", "misplaced-property", "/catch", "beside `try`"),
        ("{try: []}", "missing-property", "", "needs `catch`"),
        ("{for: {in: .a}}", "missing-property", "", "needs `do`"),
        ("{for: {in: .a, do: []}, do: []}", "unknown-property", "/for/do", "beside `for`, not in it"),
        ("{call: http}", "missing-property", "", "needs `with`"),
        ("{call: http, with: {}}", "missing-property", "/with", "`method` and `endpoint`"),
        ("{call: http, with: {method: get, url: http://a}}", "unknown-property", "/with/url", "`endpoint`"),
        ("{call: f, with: []}", "wrong-type", "/with", "expected an object, got a list"),
        ("{listen: {to: {}}}", "missing-property", "/listen/to", "one of `all`, `any` or `one`"),
        ("{listen: {one: {with: {type: a}}}}", "unknown-property", "/listen/one", "below `to`"),
        ("{listen: {to: {one: {type: a, source: b}}}}", "unknown-property", "/listen/to/one/type",
         "`type` and `source` do not belong here: the place is below `with`"),
        ("{emit: {event: {type: a}}}", "unknown-property", "/emit/event/type", "below `with`"),
        ("{wait: 5}", "wrong-type", "/wait", "PT30S"),
        ("{wait: 5s}", "invalid-duration", "/wait", "PT1H30M"),
        ("{wait: {weeks: 1}}", "unknown-property", "/wait/weeks", "write days"),
        ("{wait: {seconds: '5'}}", "wrong-type", "/wait/seconds", "leave the quotes out"),
        ("{wait: {seconds: 1.5}}", "wrong-type", "/wait/seconds", "got 1.5"),
        ("{wait: {seconds: -5}}", "invalid-value", "/wait/seconds", "less than 0"),
        ("{run: {shell: ls}}", "wrong-type", "/run/shell", "an object with `command`, got a string"),
        ("{set: {a: 1}, if: true}", "wrong-type", "/if", 'put it in quotes: "true"'),
        ("{fork: {branches: {a: {}}}}", "wrong-type", "/fork/branches", "a list of named tasks"),
        ("{fork: {branches: [], compete: yes}}", "wrong-type", "/fork/compete", "write true or false"),
        ("{switch: []}", "invalid-value", "/switch", "must not be empty"),
        ("{switch: [{a: {if: .x, then: end}}]}", "unknown-property", "/switch/0/a/if", "did you mean `when`?"),
        ("{run: {container: {image: a}, shell: {command: b}}}", "conflicting-properties", "/run/shell", "keep one"),
        ("{run: {container: {image: a, lifetime: {cleanup: never, after: PT1S}}}}", "misplaced-property",
         "/run/container/lifetime/after", "eventually"),
        ("{call: asyncapi, with: {operation: a}}", "missing-property", "/with", "`document` and one of `message`"),
        ("{call: asyncapi, with: {operation: 'a#b', message: {}, subscription: {consume: {amount: 1}}}}",
         "conflicting-properties", "/with/subscription", "keep one of them"),
        ("{raise: {error: {type: a, code: 4}}}", "unknown-property", "/raise/error/code", "did you mean `status`?"),
        ("null", "wrong-type", "", "expected a task (an object), got nothing"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_task_is_one_problem_in_plain_words(task, code, at, says):
    problem = the_problem_of(HEADER + f"use: {{functions: {{f: {{set: {{x: 1}}}}}}}}\ndo:\n  - a: {task}\n")
    assert (problem.code, problem.pointer) == (code, "/do/0/a" + at)
    assert says in problem.message


@pytest.mark.parametrize(
    ("state", "code", "at", "says"),
    [
        ("{type: inject, data: {}, end: true}", "missing-property", "", "an item of `states` needs `name`"),
        ("{name: a, data: {}, end: true}", "missing-property", "", "needs `type`"),
        ("{name: a, type: injekt, data: {}, end: true}", "invalid-value", "/type", 'did you mean "inject"?'),
        ("{name: a, type: inject, end: true}", "missing-property", "", "needs `data`"),
        ("{name: a, type: inject, data: {}}", "missing-property", "", "one of `transition` or `end`"),
        ("{name: a, type: inject, data: {}, end: true, transition: b}", "conflicting-properties", "/transition",
         "exclude each other"),
        ("{name: a, type: inject, data: {}, end: false}", "invalid-value", "/end", "leave `end` out"),
        ("{name: a, type: inject, data: {}, end: true, actions: []}", "unknown-property", "/actions", "unknown"),
        ("{name: a, type: inject, data: {}, end: true, onErrors: []}", "unknown-property", "/onErrors",
         "an inject state cannot fail"),
        ("{name: a, type: sleep, duratoin: PT1S, end: true}", "unknown-property", "/duratoin", "`duration`"),
        ("{name: a, type: sleep, duration: soon, end: true}", "invalid-duration", "/duration", "ISO 8601"),
        ("{name: a, type: switch, dataConditions: [], end: true, defaultCondition: {end: true}}",
         "unknown-property", "/end", "`defaultCondition` has the last word"),
        ("{name: a, type: switch, defaultCondition: {end: true}}", "missing-property", "",
         "one of `dataConditions` or `eventConditions`"),
        ("{name: a, type: operation, end: true, actions: [{functionRef: {refName: f, parameters: {}}}]}",
         "unknown-property", "/actions/0/functionRef/parameters", "`arguments`"),
        ("{name: a, type: operation, end: true, actions: [{functionRef: f, actionFilter: {}}]}",
         "unknown-property", "/actions/0/actionFilter", "`actionDataFilter`"),
        ("{name: a, type: operation, end: true, actions: [{name: x}]}", "missing-property", "/actions/0",
         "an item of `actions` needs one of `functionRef`, `eventRef` or `subFlowRef`"),
        ("{name: a, type: parallel, end: true, branches: [], branchCompletionType: allOf}", "unknown-property",
         "/branchCompletionType", "`completionType`"),
        ("{name: a, type: parallel, end: true, branches: [], completionType: atLeast}", "missing-property", "",
         "`numCompleted`"),
        ("{name: a, type: parallel, end: true, branches: [{name: b, workflowId: c}]}", "unknown-property",
         "/branches/0/workflowId", "subFlowRef"),
        ("{name: a, type: event, end: true, onEvents: [{eventRefs: [b, b]}]}", "invalid-value",
         "/onEvents/0/eventRefs/1", "already"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_state_is_one_problem_in_plain_words(state, code, at, says):
    functions = "functions: [{name: f, type: expression, operation: .}]\n"
    problem = the_problem_of(OLD + functions + f"states:\n  - {state}\n")
    assert (problem.code, problem.pointer) == (code, "/states/0" + at)
    assert says in problem.message


@pytest.mark.parametrize(
    ("rest", "code", "at"),
    [
        ("functions: [{name: f}]", "missing-property", "/functions/0"),
        ("events: [{name: e}]", "missing-property", "/events/0"),
        ("key: other", "conflicting-properties", "/key"),
        ("auth: [{name: a, properties: {token: t}}]", "unknown-property", "/auth/0/properties/token"),
        ("auth: [{name: a, scheme: oauth2, properties: {grantType: password}}]", "missing-property",
         "/auth/0/properties"),
        ("start: {stateName: a, schedule: PT2H}", "invalid-value", "/start/schedule"),
        ("retries: [{name: r, maxAttempts: 1.5}]", "wrong-type", "/retries/0/maxAttempts"),
        ("retries: [{name: r, maxAttempts: 1, jitter: 2}]", "invalid-value", "/retries/0/jitter"),
        ("expressionLang: cel", "unsupported-language", "/expressionLang"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_definitions_of_0_8_is_one_problem(rest, code, at):
    text = OLD + rest + "\nstates: [{name: a, type: inject, data: {}, end: true}]"
    problem = the_problem_of(text)
    assert (problem.code, problem.pointer) == (code, at)


def test_a_name_with_dots_is_told_how_to_be_written():
    problem = the_problem_of(HEADER.replace("test", "eventmesh.apache.org") + "do: []")
    assert problem.code == "invalid-name"
    assert problem.message.endswith("use eventmesh-apache-org")
    assert "use" not in the_problem_of(HEADER.replace("test", "'...'") + "do: []").message


def test_keys_that_begin_with_x_are_free_at_the_root():
    assert parse(HEADER + "x-owner: me\ndo: []").data["x-owner"] == "me"


def test_problems_are_bounded():
    tasks = "".join(f"  - t{number}: {{ oops: 1 }}\n" for number in range(5000))
    found = problems_of(HEADER + "do:\n" + tasks)
    assert len(found) == 101
    assert found[-1].code == "too-many-problems"
    assert [problem.line for problem in found] == sorted(problem.line for problem in found)


def test_what_a_message_cites_is_short():
    problem = the_problem_of(HEADER + f"do:\n  - a: {{ wait: {'x' * 100_000} }}\n")
    assert len(problem.message) < 300
    problem = the_problem_of(HEADER + f"do:\n  - a: {{ wait: PT1S, {'x' * 1000}: 1 }}\n")
    assert len(problem.message) < 400


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "do: []\n" + "".join(f"tinemout{number}: 1\n" for number in range(45_000)),
        OLD + "states: []\n" + "".join(f"function{number}: 1\n" for number in range(45_000)),
        HEADER + "do: [" + "1.5, " * 90_000 + "]",
        HEADER + "do: [{a: {" + "".join(f"cal{number}: 1, " for number in range(45_000)) + "}}]",
        OLD
        + "states: [{name: a, type: event, end: true, onEvents: [{eventRefs: ["
        + "a, " * 90_000
        + "]}]}]",
    ],
    ids=["unknown keys", "keys of an open object", "wrong items", "keys of a task", "repeated items"],
)
def test_a_document_that_is_wrong_a_thousandfold_is_refused_in_bounded_time(text):
    before = time.process_time()
    found = problems_of(text)
    assert len(found) <= 101
    assert time.process_time() - before < 20  # a bound on the order of growth, not on speed


def test_limits_apply_to_documents():
    with pytest.raises(InvalidDocument) as raised:
        parse(HEADER + "do: []", name="big.yaml", limits=Limits(bytes=10))
    assert [problem.code for problem in raised.value.problems] == ["too-large"]
    assert str(raised.value).startswith("big.yaml:1:1: too-large")


def test_tasks_nested_as_deep_as_the_limit_are_checked():
    task: object = {"wait": "oops"}
    for _ in range(31):
        task = {"do": [{"t": task}]}
    data = {
        "document": {"dsl": "1.0.3", "namespace": "a", "name": "b", "version": "1.0.0"},
        "do": [{"t": task}],
    }
    problem = the_problem_of(json.dumps(data))
    assert problem.code == "invalid-duration"


def test_booleans_of_0_8_in_quotes_are_read_as_booleans_and_data_is_left_as_it_is():
    text = """
id: quoted
specVersion: '0.8'
states:
  - {name: A, type: inject, data: {end: 'true'}, transition: B}
  - {name: B, type: inject, data: {}, end: {terminate: 'false', compensate: 'true'}}
"""
    document = parse(text)
    first, last = document.data["states"]
    assert first["data"] == {"end": "true"}
    assert last["end"] == {"terminate": False, "compensate": True}
    assert [problem.code for problem in document.warnings] == ["quoted-boolean", "quoted-boolean"]
