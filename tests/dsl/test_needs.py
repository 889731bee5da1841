from __future__ import annotations

from workflow_engine import dsl
from workflow_engine.dsl.needs import needs

HEADER = "document: {dsl: '1.0.3', namespace: test, name: needs, version: '1.0.0'}\n"
CALL = "{call: asyncapi, with: {operation: 'file://%s.yaml#send'}}"


def found(text: str) -> list[tuple[str, str]]:
    return [(need.key, need.pointer) for need in needs(dsl.parse(HEADER + text).data)]


def test_calls_are_found_wherever_a_task_may_stand() -> None:
    text = f"""
use: {{functions: {{f: {CALL % "a"}}}}}
do:
  - one: {CALL % "b"}
  - two: {{do: [{{x: {CALL % "c"}}}]}}
  - three: {{try: [{{x: {CALL % "d"}}}], catch: {{do: [{{y: {CALL % "e"}}}]}}}}
  - four: {{fork: {{branches: [{{x: {CALL % "f"}}}]}}}}
  - five: {{listen: {{to: {{any: []}}}}, foreach: {{do: [{{x: {CALL % "g"}}}]}}}}
  - six: {{for: {{in: .}}, do: [{{x: {CALL % "h"}}}]}}
"""
    names = sorted(key.removeprefix("file://")[0] for key, _ in found(text))
    assert names == list("abcdefgh")


def test_data_that_looks_like_a_call_needs_nothing() -> None:
    assert found(f"do: [{{a: {{set: {{x: {CALL % 'a'}}}}}}}]") == []


def test_what_is_needed_twice_is_found_once_at_its_first_place() -> None:
    text = f"do: [{{a: {CALL % 'x'}}}, {{b: {CALL % 'x'}}}]"
    assert found(text) == [("file://x.yaml#send", "/do/0/a/with/operation")]


def test_an_openapi_document_whose_address_is_not_known_yet_is_fetched_by_the_call() -> None:
    known = "{call: openapi, with: {document: {endpoint: 'http://x.example/a.json'}, operationId: op}}"
    later = "{call: openapi, with: {document: {endpoint: 'http://x.example/{v}.json'}, operationId: op}}"
    assert found(f"do: [{{a: {known}}}, {{b: {later}}}]") == [
        ("http://x.example/a.json#op", "/do/0/a/with/operationId")
    ]


def test_a_script_from_elsewhere_is_needed_where_its_address_is_known() -> None:
    script = "{run: {script: {language: js, source: {endpoint: %s}}}}"
    known, later = script % "'https://x.example/a.js'", script % "'https://x.example/{v}.js'"
    asking = script % "{uri: 'https://x.example/b.js', authentication: {bearer: {token: '${ .token }'}}}"
    assert found(f"do: [{{a: {known}}}, {{b: {later}}}, {{c: {asking}}}]") == [
        ("script:https://x.example/a.js", "/do/0/a/run/script/source")
    ]


def test_a_script_whose_server_asks_who_reads_it_is_needed_with_a_policy() -> None:
    policy = "{bearer: {token: '${ $secrets.token }'}}"
    source = f"{{uri: 'https://x.example/b.js', authentication: {policy}}}"
    text = f"do: [{{a: {{run: {{script: {{language: js, source: {{endpoint: {source}}}}}}}}}}}]"
    [need] = needs(dsl.parse(HEADER + text).data)
    assert (need.key, need.later) == ("script:https://x.example/b.js", True)
    assert need.policy == {"bearer": {"token": "${ $secrets.token }"}}
