"""The hand-written schemas: what they accept, and where they differ from the official ones on purpose."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import pytest
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker
from referencing import Registry, Resource

from dsl_schemas import NAMES, schema
from tests.dsl.corpus import Mutation, everything, examples, mutations, slices
from workflow_engine.dsl.document import read
from workflow_engine.dsl.parsing import parse
from workflow_engine.dsl.rules import compile_rules
from workflow_engine.dsl.source import load
from workflow_engine.errors import InvalidDocument, Problem
from workflow_engine.values import Duration, Json

DIALECTS = ("1.0", "0.8")
HEADER = "document: {dsl: 1.0.3, namespace: a, name: b, version: 1.0.0}\n"


def problems_of(document: Json) -> list[Problem]:
    """Those of its form; what later stages find is not of the schemas."""
    return read(json.dumps(document)).problems


def errors_of(document: Json) -> list[Problem]:
    return [problem for problem in problems_of(document) if problem.severity == "error"]


def standard_validator(dialect: str) -> Draft202012Validator:
    checker = FormatChecker(formats=[])

    @checker.checks("iso8601-duration", raises=ValueError)
    def is_duration(value: object) -> bool:
        return not isinstance(value, str) or bool(Duration.parse(value)) or True

    return Draft202012Validator(schema(f"serverless-workflow-{dialect}"), format_checker=checker)


def official_validator(spec, dialect: str) -> Draft202012Validator | Draft7Validator:
    folder = spec / dialect / "schema"
    if dialect == "1.0":
        return Draft202012Validator(load((folder / "workflow.yaml").read_text()).data)
    schemas = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    resources = [(each["$id"], Resource.from_contents(each)) for each in schemas]
    main = next(each for each in schemas if each["$id"].endswith("/workflow.json"))
    return Draft7Validator(main, registry=Registry().with_resources(resources))


def sample(documents: Iterator[Json], count: int, *, of: int) -> Iterator[Mutation]:
    """Spread over the about *of* mutations of *documents*, *count* of them, always the same."""
    every = (mutation for document in documents for part in slices(document) for mutation in mutations(part))
    return islice(every, 0, None, max(1, of // count))


@pytest.mark.parametrize("name", NAMES)
def test_each_schema_is_a_json_schema_of_draft_2020_12(name):
    Draft202012Validator.check_schema(schema(name))


def test_an_unknown_schema_is_named_in_the_error():
    with pytest.raises(KeyError, match=r"serverless-workflow-1\.0"):
        schema("serverless-workflow-0.7")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_document_with_everything_is_valid(dialect):
    assert problems_of(everything(dialect)) == []
    assert standard_validator(dialect).is_valid(everything(dialect))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_verdict_is_that_of_a_standard_validator_and_one_mistake_is_one_problem(dialect):
    standard = standard_validator(dialect)
    for mutation in sample(iter([everything(dialect)]), 1200, of=8000):
        found = problems_of(mutation.document)
        errors = [problem for problem in found if problem.severity == "error"]
        assert len(found) <= 1 or len(errors) == 0 or found[0].code == "missing-version", (mutation, found)
        if not errors or errors[0].code != "unknown-dialect":
            assert standard.is_valid(mutation.document) == (not errors), (mutation, found)


@pytest.mark.parametrize(
    "unusable",
    [
        {"type": "object", "contains": {}},
        {"type": "array", "contains": {}},
        {"oneOf": [{"type": "string"}, {"type": "string"}], "title": "x"},
        {"oneOf": [{"type": "string"}, {"type": "object"}]},
    ],
)
def test_a_schema_outside_of_the_part_that_is_understood_is_refused(unusable):
    with pytest.raises(ValueError, match=r"contains|branches|title"):
        compile_rules(unusable)


class Difference(NamedTuple):
    """A way in which our schema differs from the official one, and what decides it."""

    dialect: str
    ours: str  # "accepts" or "refuses"
    where: str  # a pattern for the end of the mutation's place
    why: str
    code: str = ""  # a pattern for the code of our problem
    change: str = ""  # a pattern for what the mutation changed

    def covers(self, mutation: Mutation, errors: list[Problem]) -> bool:
        return (
            (self.ours == "accepts") == (not errors)
            and re.search(f"(^|/)({self.where})$", mutation.place) is not None
            and re.fullmatch(self.code, errors[0].code if errors else "") is not None
            and re.search(self.change, mutation.change) is not None
        )


TEXT = (
    "a name, an expression or a URI that is empty can mean nothing; the official schema says only: a string"
)
VALUE_SLOT = "A1: in value slots a whole ${...} is an expression, of whatever type it yields"
IGNORED = "an unknown property would be ignored; the official schema leaves this object open"
SCALARS = "A51: headers and query parameters may be scalars, which are written as text, and lists, repeated"
B38 = "section 6.6: durations are ISO 8601 and checked when the document is read (B38 says how leniently)"

EARLIER = "issue 4: files of earlier engines come as they are; what the schema requires there is read with a warning"

DIFFERENCES = [
    Difference("1.0", "refuses", ".*", TEXT, "invalid-value", "to an empty string"),
    Difference("1.0", "refuses", "", "section 2 of the design: nothing is parsed and ignored; `x-` is free",
               "unknown-property", "unknown"),
    Difference("1.0", "refuses", "catch/errors|catch/errors/with|emit/event|with|with/client|http|stdio|constant"
               "|linear|exponential|correlate/\\w+|transport|request|endpoints|use/authentications/\\w+", IGNORED,
               "unknown-property", "unknown"),
    Difference("1.0", "refuses", "(linear|exponential|constant)/.*", "A28: the keys of a backoff and their types",
               ".+"),
    Difference("1.0", "refuses", "(each|at|as|item)", "1.4: what becomes a variable of jq needs a name of jq",
               "invalid-value", "to (a word|an expression)"),
    Difference("1.0", "refuses", "schedule|schedule/\\w+", "A46: a schedule has exactly one of its keys",
               "missing-property"),
    Difference("1.0", "refuses", "emit/event/with|emit/event", "1.10: `emit.event.with` is required",
               "missing-property"),
    Difference("1.0", "refuses", "schema/format", "A14: JSON Schema is the one format", "unsupported-schema-format"),
    Difference("1.0", "refuses", "schema/document", "A14: the document is a JSON Schema", "wrong-type"),
    Difference("1.0", "refuses", "evaluate/language", "1.4: jq is the one language", "unsupported-language"),
    Difference("1.0", "refuses", "client/description", "A60: the client has a description, a string", "wrong-type"),
    Difference("1.0", "refuses", "document/dsl", "A72: 1.0.x is understood", "unsupported-dsl-version"),
    Difference("1.0", "refuses", ".*/(days|hours|minutes|seconds|milliseconds|amount|count|multiplier)",
               "a negative time or number of times can mean nothing", "invalid-value", "negative"),
    Difference("1.0", "refuses", "with/(agentCard|server)", "1.10: a2a needs an agent card or a server",
               "missing-property", "without"),
    Difference("1.0", "accepts", "source|dataschema|time", "A40: an event filter may be a regular expression; "
               "what is emitted may be a template (A2)"),
    Difference("1.0", "accepts", "(errors/with/status|ports|volumes|environment|arguments|parameters|payload|headers"
               "|variables|options|server/variables)", VALUE_SLOT, change="to an expression"),
    Difference("1.0", "accepts", "(oauth2|oidc)/authority", VALUE_SLOT, change="to an expression"),
    Difference("1.0", "accepts", "for/in/\\*.*", "1.22: an inline list; its items may be anything"),
    Difference("1.0", "accepts", "(headers|query|environment|options)(/[^/]+)?", SCALARS),
    Difference("1.0", "accepts", "subscription/(filter|consume/(while|until))", "A1: these are expression slots, "
               "where ${} may be left out"),
    Difference("1.0", "accepts", "authentication", "A56: an authentication may be named by a plain string",
               change="to (a word|an expression)"),
    Difference("1.0", "accepts", "run/workflow/(version|input.*)", "A67: the version defaults to latest, the input "
               "is anything"),
    Difference("1.0", "accepts", "with/arguments", "docs/calls.md: an array is the stream of a gRPC method that takes "
               "one, of which the specification does not speak"),
    Difference("1.0", "accepts", "script/arguments.*", "A64: a map binds variables"),
    Difference("1.0", "accepts", "shell/arguments.*", "A72: 1.0.0 had a map here"),
    Difference("1.0", "refuses", "endpoints/\\w+", "1.15: the endpoints of an authority are URIs", "invalid-value"),
    Difference("1.0", "accepts", "instance", "a string matches both of the official alternatives, unless a validator "
               "asserts formats", change="to an expression"),
    Difference("0.8", "refuses", ".*", TEXT, "invalid-value", "to an empty string"),
    Difference("0.8", "refuses", ".*", B38, "invalid-duration"),
    Difference("0.8", "refuses", "specVersion", "2.16: only 0.8 is understood", "unsupported-dsl-version"),
    Difference("0.8", "refuses", "schedule|interval", "B36: an interval repeats: R/...", "invalid-value"),
    Difference("0.8", "refuses", "numCompleted", "2.16, 6.6: atLeast needs a number", "missing-property"),
    Difference("0.8", "refuses", "timeouts|continueAs|subFlowRef|auth/\\*|properties|sleep", IGNORED,
               "unknown-property", "unknown"),
    Difference("0.8", "refuses", "end", "2.16: `end: false` neither ends nor goes on", "invalid-value"),
    Difference("0.8", "refuses", "numCompleted|batchSize|maxAttempts", "there is no part of a branch or of a retry",
               "wrong-type", "fraction"),
    Difference("0.8", "refuses", "scheme|auth/\\*/properties.*", "2.14: the scheme says which properties there are",
               ".+"),
    Difference("0.8", "accepts", "specVersion", "a document with `states` is one of 0.8; a warning says so",
               change="without"),
    Difference("0.8", "accepts", "metadata|metadata/.*", "2.16: metadata is free; it takes no part in a run"),
    Difference("0.8", "accepts", "multiplier", "2.16: multipleOf 0.01 refuses 1.15 by an error of floats"),
    Difference("0.8", "accepts", "maxAttempts", "B12: 0 is no retry"),
    Difference("0.8", "accepts", "failOnValidationErrors", "2.16: it has a default", change="without"),
    Difference("0.8", "accepts", "total", "B16: `single` alone is the total", change="without"),
    Difference("0.8", "accepts", "sleep.*", "B50: before and after together"),
    Difference("0.8", "accepts", "contextAttributes.*", "B45: a list of objects"),
    Difference("0.8", "accepts", "version", EARLIER, change="to a (fraction|negative number|whole number)"),
    Difference("0.8", "accepts", "functions|events|errors|retries|actions|events/\\*/(source|kind)|(functions|events"
               "|errors|retries)/\\*", EARLIER, change="without|to null|to a list"),
    Difference("0.8", "accepts", "defaultCondition|branches/\\*/name|resultEventRef|schedule", EARLIER,
               change="without"),
    Difference("0.8", "accepts", "arguments", EARLIER + "; what is no expression is refused when it is compiled",
               change="to (a list|a word|an expression|an empty string)"),
    Difference("0.8", "accepts", "operation", "B42: a custom function may have none", change="without"),
]  # fmt: skip


WHOLE = os.environ.get("WFE_CORPUS") == "whole"
"""Try every mutation: 39,441 of DSL 1.0 and 55,328 of 0.8, for a few minutes."""


@pytest.mark.timeout(7200 if WHOLE else 120)
@pytest.mark.parametrize(("dialect", "count", "of"), [("1.0", 600, 39_441), ("0.8", 600, 55_328)])
def test_the_official_schema_differs_only_where_a_decision_says_so(spec, dialect, count, of):
    count = of if WHOLE else count
    official = official_validator(spec, dialect)
    documents = [load(text).data for name, text in examples(spec, dialect) if not _unreadable(text)]
    valid = [part for document in documents for part in slices(document) if official.is_valid(part)]
    unexplained, tried = [], 0
    for mutation in sample(iter(valid), count, of=of):
        tried += 1
        errors = errors_of(mutation.document)
        if official.is_valid(mutation.document) != (not errors) and not any(
            difference.dialect == dialect and difference.covers(mutation, errors)
            for difference in DIFFERENCES
        ):
            unexplained.append((mutation.change, mutation.place, errors[:1]))
    print(f"DSL {dialect}: {tried:,} mutated documents")
    assert unexplained == []


STRICTER = [
    ("evaluate: {language: js}\ndo: []", "unsupported-language"),
    ("owner: me\ndo: []", "unknown-property"),
    ("schedule: {}\ndo: []", "missing-property"),
    ("schedule: {every: PT1H, cron: 0 0 * * *}\ndo: []", "conflicting-properties"),
    ("do: [{a: {wait: {seconds: -1}}}]", "invalid-value"),
    ("do: [{a: {call: a2a, with: {method: tasks/list}}}]", "missing-property"),
    ("do: [{a: {emit: {event: {}}}}]", "missing-property"),
    ("do: [{a: {for: {in: .x, each: my-item}, do: []}}]", "invalid-value"),
]


@pytest.mark.parametrize(("rest", "code"), STRICTER)
def test_what_could_only_be_ignored_is_refused_though_the_official_schema_accepts_it(spec, rest, code):
    text = HEADER + rest
    assert official_validator(spec, "1.0").is_valid(load(text).data)
    assert [problem.code for problem in errors_of(load(text).data)] == [code]


def _unreadable(text: str) -> bool:
    try:
        load(text)
    except InvalidDocument:
        return True
    return False


UNREADABLE = {"event-based-transitions-example.yaml", "new-patient-onboarding.yaml"}
"""Two examples of 0.8 whose YAML is broken (section 4.2)."""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_example_of_the_specification_is_valid(spec, dialect):
    found: dict[str, list[Problem]] = {}
    count = 0
    for name, text in examples(spec, dialect):
        count += 1
        try:
            document = parse(text, name=name)
            assert document.dialect == dialect
            assert document.warnings == ()
        except InvalidDocument as error:
            found[name] = list(error.problems)
    assert count >= {"1.0": 68 + 21, "0.8": 59}[dialect]
    expected = UNREADABLE if dialect == "0.8" else set()
    assert found.keys() == expected
    assert all(problem.code == "yaml-syntax" for problems in found.values() for problem in problems)


def test_the_store_order_of_eventmesh_has_the_one_problem_of_its_dots(spec):
    with pytest.raises(InvalidDocument) as raised:
        parse((spec / "eventmesh" / "store-order-1.0.yaml").read_text())
    (problem,) = raised.value.problems
    assert (problem.code, problem.pointer) == ("invalid-name", "/document/namespace")
    assert "eventmesh-apache-org" in problem.message
    older = parse((spec / "eventmesh" / "store-order-0.8.yaml").read_text())
    assert (older.dialect, older.warnings) == ("0.8", ())


TOLERATED: dict[str, Callable[[], str]] = {
    "a template that has whitespace inside of its expression (A2)": lambda: (
        HEADER + "do: [{a: {call: http, with: {method: get, endpoint: 'https://e.com/${ .id }'}}}]"
    ),
    "an authentication by its name (A56)": lambda: (
        HEADER
        + "do: [{a: {call: http, with: {method: get, endpoint: {uri: 'https://e.com', authentication: me}}}}]"
    ),
    "an operation that names its document": lambda: (
        HEADER + "do: [{a: {call: asyncapi, with: {operation: 'file://o.yaml#send'}}}]"
    ),
    "prereleases of the DSL (A72)": lambda: HEADER.replace("1.0.3", "1.0.0-alpha5") + "do: []",
    "error filters with `details` (A22)": lambda: (
        HEADER + "do: [{a: {try: [], catch: {errors: {with: {details: x}}}}}]"
    ),
    "a switch with its eventTimeout beside (B9)": lambda: (
        "id: a\nspecVersion: '0.8'\nstates: [{name: a, type: switch, eventConditions: [], eventTimeout: PT1H, "
        "defaultCondition: {end: true}}]"
    ),
    "every error by '*' (B9)": lambda: (
        "id: a\nspecVersion: '0.8'\nstates: [{name: a, type: sleep, duration: PT1S, end: true, "
        "onErrors: [{errorRef: '*', end: true}]}]"
    ),
    "lenient durations (B38)": lambda: (
        "id: a\nspecVersion: '0.8'\nstates: [{name: a, type: sleep, duration: PT30D, end: true}]"
    ),
}


@pytest.mark.parametrize("what", TOLERATED)
def test_what_the_decisions_tolerate_is_valid(what):
    assert parse(TOLERATED[what]()).warnings == ()


def test_the_official_schema_takes_what_only_this_engine_has(spec):
    """`call: activity` is a call of a function to it (docs/functions.md)."""
    text = """
document: {dsl: '1.0.3', namespace: test, name: test, version: '1.0.0'}
do:
  - a:
      call: activity
      with:
        type: charge
        taskQueue: payments
        arguments: ['${ .order }', 5]
        timeouts: {startToClose: PT30S, heartbeat: {seconds: 5}}
        retry: {maximumAttempts: 3, nonRetryableErrorTypes: [CardDeclined]}
"""
    assert official_validator(spec, "1.0").is_valid(load(text).data)
    assert standard_validator("1.0").is_valid(load(text).data)
