"""Schemas from elsewhere: found with all that they refer to when a workflow is deployed, and pinned (decision A14)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.semantics.v1.documents import (
    error,
    kind,
    output,
    pinned,
    problems,
    refused,
    warnings,
    workflow,
)
from tests.standins.internet import Internet
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.errors import InvalidDocument, Problem

ORDER = "{schema: {resource: {endpoint: 'https://schemas.example/order.json'}}}"
GOOD = {"customer": {"name": "Ada"}, "lines": [["a", 1]]}


async def deploying(internet: Internet, body: str, **options: Any) -> list[Problem]:
    """Why *body* cannot be deployed."""
    with pytest.raises(InvalidDocument) as invalid:
        await pinned(internet, workflow(body), **options)
    return list(invalid.value.problems)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (f"input: {ORDER}\ndo: [{{a: {{set: {{ok: true}}}}}}]", "/input"),
        (f"do: [{{a: {{input: {ORDER}, set: {{ok: true}}}}}}]", "/do/0/a"),
        (f"output: {ORDER}\ndo: [{{a: {{set: '${{ . }}'}}}}]", "/output"),
        (f"do: [{{a: {{set: '${{ . }}', output: {ORDER}}}}}]", "/do/0/a"),
        ("do: [{a: {set: '${ . }', export: {as: ., " + ORDER[1:] + "}}]", "/do/0/a"),
        (f"use: {{functions: {{f: {{input: {ORDER}, set: {{ok: 1}}}}}}}}\ndo: [{{a: {{call: f}}}}]", None),
    ],
)
async def test_a14_data_is_checked_against_a_schema_from_elsewhere(
    run: Any, internet: Internet, body: str, place: str | None
) -> None:
    resources = await pinned(internet, workflow(body))
    await output(run, body, GOOD, resources=resources)
    for wrong, said in (
        ({"lines": []}, "customer"),
        ({"customer": {"name": "Countess"}}, "too long"),  # in a document that a document refers to
        ({"customer": {"name": "Ada"}, "lines": [["a", "b"]]}, "integer"),  # as draft 7 has it
    ):
        fault = await error(run, body, wrong, resources=resources)
        assert (kind(fault), fault["status"]) == ("validation", 400)
        assert place is None or fault["instance"] == place
        assert said in fault["detail"]


async def test_a14_nothing_is_fetched_while_a_workflow_runs(run: Any, internet: Internet) -> None:
    body = f"input: {ORDER}\ndo: [{{a: {{set: {{ok: true}}}}}}]"
    resources = await pinned(internet, workflow(body))
    documents = resources["schema:https://schemas.example/order.json"]["documents"]
    assert sorted(documents) == [
        f"https://schemas.example/{path}"
        for path in ("line.json", "order.json", "people/customer.yaml", "text.json")
    ]
    asked = len(internet.servers["schemas.example"].requests)
    bundle = Bundle.of(dsl.parse(workflow(body)), resources)
    bundle.graph()
    await output(run, body, GOOD, resources=resources)
    assert len(internet.servers["schemas.example"].requests) == asked


async def test_a14_a_schema_in_the_document_may_refer_to_one_elsewhere(run: Any, internet: Internet) -> None:
    schema = (
        "{properties: {who: {$ref: 'https://schemas.example/people/customer.yaml'}, n: {$ref: '#/$defs/n'}}"
    )
    body = f"input: {{schema: {{document: {schema}, $defs: {{n: {{type: integer}}}}}}}}}}\ndo: []"
    resources = await pinned(internet, workflow(body))
    await output(run, body, {"who": {"name": "Ada"}, "n": 1}, resources=resources)
    for wrong in ({"who": {"name": "Countess"}}, {"n": "x"}):
        assert kind(await error(run, body, wrong, resources=resources)) == "validation"


async def test_a14_a_schema_may_refer_to_itself_by_its_address(run: Any, internet: Internet) -> None:
    body = "input: {schema: {resource: {endpoint: 'https://schemas.example/tree.json'}}}\ndo: []"
    resources = await pinned(internet, workflow(body))
    await output(run, body, {"left": {"right": {"n": 1}}}, resources=resources)
    fault = await error(run, body, {"left": {"right": {"left": {"n": "x"}}}}, resources=resources)
    assert "/left/right/left/n" in fault["detail"]


async def test_a14_a_server_that_asks_who_reads_is_told_by_a_secret(run: Any, internet: Internet) -> None:
    endpoint = (
        "{uri: 'https://schemas.example/private/order.json', "
        'authentication: {bearer: {token: \'${ $secrets.key | gsub(" "; "-") }\'}}}'
    )
    body = f"use: {{secrets: [key]}}\ninput: {{schema: {{resource: {{endpoint: {endpoint}}}}}}}\ndo: []"
    resources = await pinned(internet, workflow(body))
    await output(run, body, {"id": "x"}, resources=resources)
    assert kind(await error(run, body, {"id": 1}, resources=resources)) == "validation"
    anonymous = (
        "input: {schema: {resource: {endpoint: 'https://schemas.example/private/order.json'}}}\ndo: []"
    )
    [found] = await deploying(internet, anonymous)
    assert (found.code, found.pointer) == ("unresolved", "/input/schema/resource")
    assert "401" in found.message


async def test_a14_a_schema_in_a_file_is_sent_along(run: Any, internet: Internet) -> None:
    """As `wfe deploy` does it: the file and those that it refers to are read where the author is."""
    body = "input: {schema: {resource: {endpoint: 'file://schemas/order.json'}}}\ndo: []"
    files = {"file://schemas/customer.json": '{"required": ["name"]}'}
    resources = await pinned(
        internet,
        workflow(body),
        texts={"file://schemas/order.json": '{"properties": {"customer": {"$ref": "customer.json"}}}'},
        files=files.get,
    )
    await output(run, body, {"customer": {"name": "Ada"}}, resources=resources)
    assert kind(await error(run, body, {"customer": {}}, resources=resources)) == "validation"
    [found] = await deploying(internet, body)
    assert "`wfe deploy` sends it along" in found.message


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nothing.json", "404"),
        ("missing.json", "nowhere.json"),
        ("dangling.json", "leads nowhere"),
        ("local.json", "is a local file"),
        ("named.json", "names.example"),
        ("wrong.json", "strng"),
        ("list.json", "neither an object nor a boolean"),
        ("text.txt", "cannot be read"),
        ("look.json", "RE2"),
        ("chain/1", "deep"),
        ("wide", "more than 50 documents"),
        ("large.json", "more than 1,048,576 characters"),
    ],
)
async def test_a14_what_is_no_usable_schema_cannot_be_deployed(
    internet: Internet, path: str, said: str
) -> None:
    schema = f"{{resource: {{endpoint: 'https://schemas.example/{path}'}}}}"
    body = f"do: [{{a: {{input: {{schema: {schema}}}, set: {{x: 1}}}}}}]"
    [found] = await deploying(internet, body)
    assert (found.code, found.pointer) == ("unresolved", "/do/0/a/input/schema/resource")
    assert said in found.message, found.message
    assert found.line > 0


async def test_a14_an_unusable_reference_of_a_schema_in_the_document_has_its_place(
    internet: Internet,
) -> None:
    body = "input: {schema: {document: {$ref: 'https://schemas.example/missing.json'}}}\ndo: []"
    [found] = await deploying(internet, body)
    assert (found.code, found.pointer) == ("unresolved", "/input/schema/document")
    body = body.replace("missing.json", "text.json#/none")
    [found] = await deploying(internet, body)
    assert (found.code, found.pointer) == ("invalid-schema", "/input/schema/document")


@pytest.mark.parametrize("address", ["${ .address }", "https://schemas.example/{name}.json"])
def test_a14_an_address_that_only_a_run_knows_is_refused(address: str) -> None:
    found = refused(f"input: {{schema: {{resource: {{endpoint: '{address}'}}}}}}\ndo: []")
    assert (found.code, found.pointer) == ("unsupported", "/input/schema/resource/endpoint")
    assert "once, when a workflow is deployed" in found.message


def test_a14_what_is_sent_along_is_not_taken_on_trust() -> None:
    body = f"input: {ORDER}\ndo: []"
    key = "schema:https://schemas.example/order.json"
    for sent in (
        None,
        {},
        {"documents": []},
        {"documents": {"https://schemas.example/order.json": {"type": 5}}},
    ):
        with pytest.raises(InvalidDocument):
            dsl.compile(dsl.parse(workflow(body)), json.loads(json.dumps({key: sent})))
    assert problems(body) == []


async def test_a14_a_pattern_cannot_freeze_a_run_wherever_it_comes_from(run: Any, internet: Internet) -> None:
    schema = "{properties: {x: {$schema: 'http://json-schema.org/draft-07/schema#', pattern: '^(a+)+$'}}}"
    inline = f"input: {{schema: {{document: {schema}}}}}\ndo: []"
    assert kind(await error(run, inline, {"x": "a" * 60 + "!"})) == "validation"
    elsewhere = (
        "input: {schema: {document: {$ref: 'https://schemas.example/line.json#/definitions/line'}}}\ndo: []"
    )
    resources = await pinned(internet, workflow(elsewhere))
    assert kind(await error(run, elsewhere, "a" * 60 + "!", resources=resources)) == "validation"


async def test_a14_a_schema_that_goes_on_and_on_is_a_fault(run: Any) -> None:
    twice = "a%d: {allOf: [{$ref: '#/$defs/a%d'}, {$ref: '#/$defs/a%d'}]}"
    steps = ", ".join(twice % (number, number + 1, number + 1) for number in range(40))
    schema = f"{{$ref: '#/$defs/a0', $defs: {{{steps}, a40: {{type: integer}}}}}}"
    body = f"input: {{schema: {{document: {schema}}}}}\ndo: []"
    assert "steps" in (await error(run, body, 1))["detail"]


@pytest.mark.parametrize(
    ("format", "document", "warned"),
    [
        ("json:draft-07", "{}", ["ignored-property"]),
        ("json:draft-07", "{$schema: 'http://json-schema.org/draft-07/schema#'}", []),
        ("json:2020-12", "{}", []),
        ("json", "{}", []),
    ],
)
def test_a14_a_dialect_that_only_the_format_names_is_warned_of(
    format: str, document: str, warned: list[str]
) -> None:
    assert warnings(f"input: {{schema: {{format: '{format}', document: {document}}}}}\ndo: []") == warned
