"""What the functions of DSL 0.8 call, on both runtimes (reference/dsl.md §2.4).

Decisions B41, B42, B43, B47 and B48; functions of type rest and asyncapi are in `test_actions`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import textwrap
from typing import Any

import pytest
from aiohttp import web

from tests.running import KEY
from tests.semantics.v0_8.documents import error, kind, output, problems, refused, warnings, workflow
from tests.semantics.v0_8.services import services
from tests.standins.pets import pets
from tests.standins.server import serve
from workflow_engine.calls.custom import FUNCTIONS, FunctionContext
from workflow_engine.errors import fault


def one(function: str, reference: str, more: str = "") -> str:
    """A workflow of one action with *reference*, whose result is ``found`` of the output; *function* is called f."""
    body = f"""
    functions: [{{name: f, {function}}}]
    states:
      - name: A
        type: operation
        actions:
          - functionRef: {{refName: f, {reference}}}
            actionDataFilter: {{toStateData: .found}}
        {more}
        end: true
    """
    return textwrap.dedent(body).lstrip("\n")


# --- GraphQL --------------------------------------------------------------------------------------------------


async def test_a_query_gives_the_data_as_the_specification_shows_it(run: Any) -> None:
    async with pets() as server:
        body = one(
            f"type: graphql, operation: '{server.url}/graphql#query#pet'",
            "arguments: {id: 42}, selectionSet: '{ id, name, favoriteTreat { id } }'",
        )
        found = await output(run, body)
        assert found == {"found": {"pet": {"id": 42, "name": "Snuffles", "favoriteTreat": {"id": 9001}}}}
        assert server.last.headers["Content-Type"] == "application/json"
        assert server.last.headers["Idempotency-Key"]


async def test_a_mutation_takes_objects_as_arguments(run: Any) -> None:
    async with pets() as server:
        body = one(
            f"type: graphql, operation: '{server.url}/graphql#mutation#createPet'",
            "arguments: {pet: {id: 43, name: '${ .name }', favoriteTreatId: 9001}}, "
            "selectionSet: '{ id, name, favoriteTreat { id } }'",
        )
        name = 'Sada"haru\\ } }\n{ ü'
        found = await output(run, body, {"name": name})
        assert found["found"] == {"createPet": {"id": 43, "name": name, "favoriteTreat": {"id": 9001}}}


async def test_expressions_in_a_selection_set_are_values_and_never_syntax(run: Any) -> None:
    async with pets() as server:
        body = one(
            f"type: graphql, operation: '{server.url}/graphql#query#pet'",
            "arguments: {id: '${ .petId }'}, "
            "selectionSet: '{ id, name, age(useDogYears: ${ .isPetADog }) { dateOfBirth, years } }'",
        )
        found = await output(run, body, {"petId": 42, "isPetADog": True})
        assert found["found"]["pet"]["age"] == {"dateOfBirth": "2020-01-01", "years": 42.0}
        failed = await error(run, body, {"petId": 42, "isPetADog": "true) { years } } mutation { x(a: 1"})
        assert (kind(failed), failed["status"]) == ("runtime", 500)
        assert 'age(useDogYears: \\"true) { years }' in server.last.body.decode()


async def test_a_selection_set_can_be_one_expression_which_is_checked(run: Any) -> None:
    async with pets() as server:
        body = one(
            f"type: graphql, operation: '{server.url}/graphql#query#pets'",
            "arguments: {names: ['${ .name }']}, selectionSet: '${ .wanted }'",
        )
        name = 'Bo "the" Dog\\'
        found = await output(run, body, {"name": name, "wanted": "{ name # the name\n }"})
        assert found["found"] == {"pets": [{"name": name}]}
        asked = len(server.requests)
        failed = await error(run, body, {"name": name, "wanted": "{ name } } { count"})
        assert (kind(failed), failed["status"]) == ("validation", 400)
        assert len(server.requests) == asked


async def test_arguments_whose_type_the_metadata_has_are_sent_as_variables(run: Any) -> None:
    """An enumeration of GraphQL is no text: what JSON has for it is only known as such with its type."""
    async with pets() as server:
        definition = (
            f"type: graphql, operation: '{server.url}/graphql#query#pets', metadata: {{$mood: Mood!}}"
        )
        body = one(definition, "arguments: {mood: '${ .mood }'}, selectionSet: '{ id }'")
        assert (await output(run, body, {"mood": "WILD"}))["found"] == {"pets": [{"id": 7}]}
        untyped = body.replace(", metadata: {$mood: Mood!}", "")
        assert kind(await error(run, untyped, {"mood": "WILD"})) == "runtime"


async def test_a_field_without_arguments_and_selections_is_asked_for_alone(run: Any) -> None:
    async with pets() as server:
        body = one(f"type: graphql, operation: '{server.url}/graphql#query#count'", "arguments: {}")
        assert (await output(run, body))["found"] == {"count": 2}


async def test_errors_of_graphql_are_told_apart_by_their_code(run: Any) -> None:
    async with pets() as server:
        definition = f"type: graphql, operation: '{server.url}/graphql#query#pet'"
        reference = "arguments: {id: 1}, selectionSet: '{ id }'"
        failed = await error(run, one(definition, reference))
        assert (kind(failed), failed["status"], failed["title"]) == ("runtime", 500, "NOT_FOUND")
        assert "there is no pet 1" in failed["detail"]
        handled = one(definition, reference, "onErrors: [{errorRef: not_found, transition: B}]")
        body = "errors: [{name: not_found}]\n" + handled
        body += "  - {name: B, type: inject, data: {handled: true}, end: true}\n"
        assert await output(run, body) == {"handled": True}


async def test_what_is_no_answer_of_graphql_is_a_communication_fault(run: Any) -> None:
    async with pets() as server:
        reference = "arguments: {id: 1}, selectionSet: '{ id }'"
        failed = await error(
            run, one(f"type: graphql, operation: '{server.url}/broken#query#pet'", reference)
        )
        assert kind(failed) == "communication"
        assert "no answer of GraphQL" in failed["detail"]
        failed = await error(run, one(f"type: graphql, operation: '{server.url}/gone#query#pet'", reference))
        assert (kind(failed), failed["status"]) == ("communication", 404)


@pytest.mark.parametrize(
    ("function", "reference", "code", "at"),
    [
        ("operation: 'https://e.example#subscription#q'", "arguments: {}", "unsupported", "/functions/0/operation"),
        ("operation: 'https://e.example#select#q'", "arguments: {}", "invalid-value", "/functions/0/operation"),
        ("operation: 'https://e.example#q'", "arguments: {}", "invalid-value", "/functions/0/operation"),
        ("operation: 'e.example#query#q'", "arguments: {}", "invalid-value", "/functions/0/operation"),
        ("operation: 'https://e.example#query#q', metadata: {$a: 'Int! }'}", "arguments: {}", "invalid-value",
         "/functions/0/metadata/$a"),
        ("operation: 'https://e.example#query#q'", "arguments: {a-b: 1}", "invalid-value",
         "/states/0/actions/0/functionRef/arguments/a-b"),
        ("operation: 'https://e.example#query#q'", "selectionSet: '{ a } { b }'", "invalid-value",
         "/states/0/actions/0/functionRef/selectionSet"),
        ("operation: 'https://e.example#query#q'", "selectionSet: 'a b'", "invalid-value",
         "/states/0/actions/0/functionRef/selectionSet"),
        ("operation: 'https://e.example#query#q'", "selectionSet: '{ a(b: [1) }'", "invalid-value",
         "/states/0/actions/0/functionRef/selectionSet"),
        ("operation: 'https://e.example#query#q'", "selectionSet: '{ a(b: ${ .a + }) }'", "invalid-expression",
         "/states/0/actions/0/functionRef/selectionSet"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_of_graphql_is_refused(
    function: str, reference: str, code: str, at: str
) -> None:
    found = refused(one(f"type: graphql, {function}", reference))
    assert (found.code, found.pointer) == (code, at)


def test_a_selection_set_is_for_graphql_alone() -> None:
    for function in ("operation: 'file://a.json#b'", "type: expression, operation: ."):
        found = refused(one(function, "selectionSet: '{ id }'"))
        assert (found.code, found.pointer) == (
            "misplaced-property", "/states/0/actions/0/functionRef/selectionSet",
        )  # fmt: skip


# --- OData ----------------------------------------------------------------------------------------------------


def odata() -> Any:
    """An OData service: whatever it is asked for it answers with what it was asked."""

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("Missing"):
            wrong = {"error": {"code": "404", "message": "no such set"}}
            return web.json_response(wrong, status=404)
        entity = {"path": request.raw_path.partition("?")[0], "query": dict(request.query)}
        return web.json_response({"@odata.context": "$metadata", "value": [entity]})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    return serve(app)


async def asked(run: Any, arguments: str, input: Any = None, entity_set: str = "Persons") -> tuple[str, Any]:
    """Path and query of what a function of type odata asks for with *arguments*."""
    async with odata() as server:
        body = one(
            f"type: odata, operation: '{server.url}/V4/OData.svc#{entity_set}'", f"arguments: {arguments}"
        )
        found = (await output(run, body, input))["found"]
        assert found["@odata.context"] == "$metadata"
        assert server.last.headers["Accept"] == "application/json"
        [entity] = found["value"]
        return entity["path"], entity["query"]


@pytest.mark.parametrize("spelling", ["orderby", "orderBy"])
async def test_b48_query_options_are_sent_as_odata_has_them(run: Any, spelling: str) -> None:
    chosen = "expand: PersonDetail/Person, select: 'Id, PersonDetail/Person/Name', top: 5"
    options = f"{{{chosen}, {spelling}: Name}}"
    path, query = await asked(run, f"{{queryOptions: {options}}}")
    assert path == "/V4/OData.svc/Persons"
    assert query == {
        "$expand": "PersonDetail/Person",
        "$select": "Id, PersonDetail/Person/Name",
        "$top": "5",
        "$orderby": "Name",
    }


async def test_every_query_option_is_known(run: Any) -> None:
    given = (
        "{filter: 'Price gt 5', skip: '${ .skip }', count: true, search: 'blue OR green', format: json, "
        "compute: 'Price mul 2 as Twice', index: '0', schemaVersion: '1.1', top: '${ null }'}"
    )
    _, query = await asked(run, f"{{queryOptions: {given}}}", {"skip": 10})
    assert query == {
        "$filter": "Price gt 5",
        "$skip": "10",
        "$count": "true",
        "$search": "blue OR green",
        "$format": "json",
        "$compute": "Price mul 2 as Twice",
        "$index": "0",
        "$schemaversion": "1.1",
    }


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("42", "(42)"),
        ("'${ .key }'", "('O''Neil%2F1%3F ')"),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "(3f2504e0-4f89-11d3-9a0c-0305e82c3301)"),
        ("{OrderId: 1, Name: '${ .key }'}", "(OrderId=1,Name='O''Neil%2F1%3F ')"),
    ],
)
async def test_keys_are_written_by_their_type(run: Any, key: str, path: str) -> None:
    found, query = await asked(run, f"{{key: {key}}}", {"key": "O'Neil/1? "})
    assert found == "/V4/OData.svc/Persons" + path.replace(" ", "%20")
    assert query == {}


async def test_a_value_in_a_filter_stays_a_value(run: Any) -> None:
    given = (
        "{filter: \"Name eq '${ .name }' and Age gt ${ .age } and City eq ${ .name }\", orderBy: '${ .by }'}"
    )
    _, query = await asked(
        run, f"{{queryOptions: {given}}}", {"name": "x' or 1 eq 1 or '", "age": 3, "by": "Age desc"}
    )
    literal = "x'' or 1 eq 1 or ''"
    assert query == {
        "$filter": f"Name eq '{literal}' and Age gt 3 and City eq '{literal}'",
        "$orderby": "Age desc",
    }


async def test_what_odata_refuses_is_a_communication_fault(run: Any) -> None:
    async with odata() as server:
        body = one(f"type: odata, operation: '{server.url}/#Missing'", "arguments: {}")
        failed = await error(run, body)
        assert (kind(failed), failed["status"]) == ("communication", 404)
        assert "no such set" in failed["detail"]
        wrong = one(
            f"type: odata, operation: '{server.url}/#Persons'", "arguments: {queryOptions: {top: '${ .a }'}}"
        )
        failed = await error(run, wrong, {"a": "5 or more"})
        assert (kind(failed), failed["status"]) == ("validation", 400)


@pytest.mark.parametrize(
    ("function", "arguments", "code", "at"),
    [
        ("operation: 'https://e.example'", "{}", "invalid-value", "/functions/0/operation"),
        ("operation: 'e.example#Persons'", "{}", "invalid-value", "/functions/0/operation"),
        ("operation: 'https://e.example#Per sons'", "{}", "invalid-value", "/functions/0/operation"),
        ("operation: 'https://e.example#Persons'", "{kee: 1}", "unknown-property",
         "/states/0/actions/0/functionRef/arguments/kee"),
        ("operation: 'https://e.example#Persons'", "{queryOptions: {sort: a}}", "unknown-property",
         "/states/0/actions/0/functionRef/arguments/queryOptions/sort"),
        ("operation: 'https://e.example#Persons'", "{queryOptions: {orderby: a, orderBy: a}}",
         "conflicting-properties", "/states/0/actions/0/functionRef/arguments/queryOptions/orderBy"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_of_odata_is_refused(function: str, arguments: str, code: str, at: str) -> None:
    found = refused(one(f"type: odata, {function}", f"arguments: {arguments}"))
    assert (found.code, found.pointer) == (code, at)


# --- custom ---------------------------------------------------------------------------------------------------


class OutOfStock(Exception):
    pass


async def reserve(arguments: Any, context: FunctionContext) -> Any:
    if arguments.get("amount", 0) > 10:
        raise OutOfStock(f"only 10 of {arguments['item']}")
    return {"reserved": arguments["item"], "once": context.idempotency_key, "at": context.state}


def add(arguments: Any, context: FunctionContext) -> Any:
    return arguments["a"] + arguments["b"]


@pytest.fixture(autouse=True)
def registered() -> Any:
    with FUNCTIONS.registered(**{"reserve": reserve, "add": add, "com.acme.Sums::add": add}):
        yield


async def test_b42_custom_functions_are_registered_python_functions(run: Any) -> None:
    body = one("type: custom, operation: reserve", "arguments: {item: '${ .item }'}")
    found = (await output(run, body, {"item": "pen"}))["found"]
    assert (found["reserved"], found["at"]) == ("pen", "/states/0/actions/0")
    assert found["once"].endswith("/states/0/actions/0")
    assert await output(run, one("type: custom, operation: add", "arguments: {a: 1, b: 2}")) == {"found": 3}


async def test_b42_a_custom_function_without_an_operation_is_known_by_its_own_name(run: Any) -> None:
    body = """
    functions: [{name: add, type: custom, metadata: {owner: sums}}]
    states:
      - {name: A, type: operation, end: true,
         actions: [{functionRef: {refName: add, arguments: {a: 1, b: 2}}, actionDataFilter: {toStateData: .sum}}]}
    """
    assert await output(run, body) == {"sum": 3}


@pytest.mark.parametrize(
    "operation", ["service:java:com.acme.Sums::add", "service:com.acme.Sums::add", "service:add"]
)
async def test_services_of_sonataflow_are_registered_functions(run: Any, operation: str) -> None:
    body = one(f"type: custom, operation: '{operation}'", "arguments: {a: 1, b: 2}")
    assert await output(run, body) == {"found": 3}


async def test_what_a_custom_function_raises_can_be_handled_by_its_name(run: Any) -> None:
    arguments = "arguments: {item: pen, amount: 11}"
    failed = await error(run, one("type: custom, operation: reserve", arguments))
    assert (kind(failed), failed["status"], failed["title"]) == ("runtime", 500, "OutOfStock")
    assert "only 10 of pen" in failed["detail"]
    body = f"""
    errors: [{{name: OutOfStock}}]
    functions: [{{name: f, type: custom, operation: reserve}}]
    states:
      - name: A
        type: operation
        actions: [{{functionRef: {{refName: f, {arguments}}}}}]
        onErrors: [{{errorRef: OutOfStock, transition: B}}]
        end: true
      - {{name: B, type: inject, data: {{handled: true}}, end: true}}
    """
    assert await output(run, body) == {"handled": True}


async def test_a_custom_function_may_raise_a_fault_of_its_own(run: Any) -> None:
    async def refuse(arguments: Any, context: FunctionContext) -> Any:
        raise fault("authorization", "not today", status=403)

    with FUNCTIONS.registered(refuse=refuse):
        failed = await error(run, one("type: custom, operation: refuse", "arguments: {}"))
    assert (kind(failed), failed["status"], failed["detail"]) == ("authorization", 403, "not today")


async def test_a_function_that_the_worker_has_not_is_told_so(run: Any) -> None:
    failed = await error(run, one("type: custom, operation: '/path/order.ts#send'", "arguments: {}"))
    assert (kind(failed), failed["status"]) == ("configuration", 400)
    assert "no function '/path/order.ts#send'" in failed["detail"]
    assert "workflow_engine.functions" in failed["detail"]


async def test_results_of_custom_functions_are_json_and_bounded(run: Any) -> None:
    def odd(arguments: Any, context: FunctionContext) -> Any:
        return {1, 2}

    def much(arguments: Any, context: FunctionContext) -> Any:
        return "x" * (64 * 1024 * 1024)

    def pair(arguments: Any, context: FunctionContext) -> Any:
        return {"pair": (1, context.now)}

    with FUNCTIONS.registered(odd=odd, much=much, pair=pair):
        failed = await error(run, one("type: custom, operation: odd", "arguments: {}"))
        assert kind(failed) == "runtime"
        assert "set" in failed["detail"]
        failed = await error(run, one("type: custom, operation: much", "arguments: {}"))
        assert "the limit for one result" in failed["detail"]
        found = (await output(run, one("type: custom, operation: pair", "arguments: {}")))["found"]
        assert found["pair"][0] == 1
        assert isinstance(found["pair"][1], str)


async def test_a_custom_function_that_hangs_is_ended_by_the_timeout_of_the_action(run: Any) -> None:
    ended = asyncio.Event()

    async def hang(arguments: Any, context: FunctionContext) -> Any:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with FUNCTIONS.registered(hang=hang):
        body = one("type: custom, operation: hang", "arguments: {}", "timeouts: {actionExecTimeout: PT0.2S}")
        failed = await error(run, body)
        assert kind(failed) == "timeout"
        await asyncio.wait_for(ended.wait(), 10)


async def test_a_custom_function_can_be_called_and_left(run: Any) -> None:
    called = asyncio.Event()

    async def notify(arguments: Any, context: FunctionContext) -> Any:
        called.set()
        raise OutOfStock("nobody hears of it")

    body = """
    functions: [{name: f, type: custom, operation: notify}]
    states:
      - {name: A, type: operation, end: true, actions: [{functionRef: {refName: f, invoke: async}}]}
    """
    with FUNCTIONS.registered(notify=notify):
        assert await output(run, body, {"a": 1}) == {"a": 1}
        await asyncio.wait_for(called.wait(), 10)


async def test_a_custom_function_gets_the_values_of_secrets_and_a_run_keeps_none(run: Any) -> None:
    got: list[Any] = []

    async def connect(arguments: Any, context: FunctionContext) -> Any:
        got.append(arguments)
        if arguments["fail"]:
            raise OutOfStock(f"no {arguments['key']} here")
        return {"with": arguments["key"]}

    body = "secrets: [key]\n" + one(
        "type: custom, operation: connect", "arguments: {key: '${ $SECRETS.key }', fail: '${ .fail }'}"
    )
    with FUNCTIONS.registered(connect=connect):
        ended = await run(workflow(body), {"fail": False})
        assert ended.output["found"] == {"with": "[redacted]"}
        failed = await error(run, body, {"fail": True})
    assert got == [{"key": KEY, "fail": False}, {"key": KEY, "fail": True}]
    assert KEY not in failed["detail"]
    if run.name == "temporal":
        history = [event.SerializeToString().decode("latin-1") for event in await run.history(ended.run_id)]
        assert not any("s3cr3t" in text for text in history)


# --- SonataFlow's forms of custom functions -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "message", "level", "shown"),
    [
        ("sysout", "hello", logging.INFO, "hello"),
        ("sysout:WARN", "a ${ .a } b", logging.WARNING, "a 1 b"),
        ("sysout:DEBUG", ".a", logging.DEBUG, "1"),
        ("sysout:ERROR", '"Workflow model is \\(.)"', logging.ERROR, 'Workflow model is {"a":1}'),
        ("sysout", "line\nforged", logging.INFO, "line forged"),
    ],
)
async def test_sysout_logs_its_message(
    run: Any, caplog: Any, operation: str, message: str, level: int, shown: str
) -> None:
    body = f"""
    functions: [{{name: log, type: custom, operation: '{operation}'}}]
    states:
      - name: A
        type: operation
        actions: [{{functionRef: {{refName: log, arguments: {{message: {json.dumps(message)}}}}}}}]
        end: true
    """
    with caplog.at_level(logging.DEBUG, logger="workflow_engine.sysout"):
        assert await output(run, body, {"a": 1}) == {"a": 1}
    [found] = [record for record in caplog.records if record.name == "workflow_engine.sysout"]
    assert found.levelno == level
    assert found.getMessage().endswith(f" /states/0/actions/0: {shown}")


async def test_sysout_logs_no_secret(run: Any, caplog: Any) -> None:
    body = """
    secrets: [key]
    functions: [{name: log, type: custom, operation: sysout}]
    states:
      - name: A
        type: operation
        actions: [{functionRef: {refName: log, arguments: {message: 'it is ${ $SECRETS.key }'}}}]
        end: true
    """
    with caplog.at_level(logging.DEBUG):
        await output(run, body)
    assert "it is [redacted]" in caplog.text
    assert "s3cr3t" not in caplog.text


async def test_rest_is_one_request_made_of_the_arguments(run: Any) -> None:
    async def numbers(request: web.Request) -> web.Response:
        body = await request.text()
        return web.json_response({"path": request.path, "body": json.loads(body) if body else None})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", numbers)
    async with serve(app) as server:
        body = one(
            f"type: custom, operation: 'rest:post:{server.url}/numbers/{{multiplier}}/sum'",
            "arguments: {multiplier: '${ .by }', numbers: '${ .list }', HEADER_X-Trace: t, QUERY_dry: true}",
        )
        found = await output(run, body, {"by": "2/3", "list": [1, 2]})
        assert found["found"]["body"] == {"numbers": [1, 2]}
        assert server.last.target == "/numbers/2%2F3/sum?dry=true"
        assert server.last.headers["X-Trace"] == "t"
        whole = one(f"type: custom, operation: 'rest:PUT:{server.url}/all'", "arguments: {}")
        assert (await output(run, whole, {"a": 1}))["found"]["body"] == {"a": 1}
        host = f"metadata: {{host: 127.0.0.1, port: '{server.port}'}}"
        got = one(f"type: custom, operation: 'rest:/some/{{id}}', {host}", "arguments: {id: 7, page: 2}")
        assert (await output(run, got))["found"] == {"path": "/some/7", "body": None}
        assert (server.last.method, server.last.target) == ("GET", "/some/7?page=2")


@pytest.mark.parametrize(
    ("function", "reference", "code", "at"),
    [
        ("operation: 'sysout:LOUD'", "arguments: {message: a}", "invalid-value", "/functions/0/operation"),
        ("operation: sysout", "arguments: {}", "missing-property", "/states/0/actions/0/functionRef"),
        ("operation: sysout", "arguments: {message: a, to: b}", "unknown-property",
         "/states/0/actions/0/functionRef/arguments/to"),
        ("operation: 'rest:get:a'", "arguments: {}", "invalid-value", "/functions/0/operation"),
        ("operation: 'rest:get:ftp://a'", "arguments: {}", "invalid-value", "/functions/0/operation"),
        ("operation: 'rest:get:https://a/{b}'", "arguments: {}", "missing-property",
         "/states/0/actions/0/functionRef"),
        ("operation: 'rest:get:https://a/{+b}'", "arguments: {}", "invalid-uri-template", "/functions/0/operation"),
        ("operation: 'service:'", "arguments: {}", "invalid-value", "/functions/0/operation"),
        ("operation: add, authRef: a", "arguments: {}", "misplaced-property", "/functions/0/authRef"),
    ],
)  # fmt: skip
def test_custom_functions_of_a_wrong_shape_are_refused(
    function: str, reference: str, code: str, at: str
) -> None:
    auth = "auth: [{name: a, properties: {username: u, password: p}}]\n"
    found = refused(auth + one(f"type: custom, {function}", reference))
    assert (found.code, found.pointer) == (code, at)


async def test_services_get_the_whole_data_without_arguments(run: Any) -> None:
    def see(arguments: Any, context: FunctionContext) -> Any:
        return arguments

    body = """
    functions: [{name: f, type: custom, operation: 'service:see'}]
    states:
      - name: A
        type: operation
        actions: [{functionRef: f, actionDataFilter: {fromStateData: .a, toStateData: .seen}}]
        end: true
    """
    with FUNCTIONS.registered(see=see):
        assert await output(run, body, {"a": {"n": 1}}) == {"a": {"n": 1}, "seen": {"n": 1}}


BARE = one(
    "type: custom, operation: see",
    "arguments: {name: .who.name, all: ., deep: [{x: $CONST.c}], word: hello, n: '1'}",
)


async def test_b8_arguments_are_text_without_marks_and_the_author_is_warned(run: Any) -> None:
    body = "constants: {c: 3}\n" + BARE
    at = "/states/0/actions/0/functionRef/arguments"
    told = [("literal-expression", f"{at}/{place}") for place in ("name", "all", "deep/0/x")]
    assert warnings(body) == told

    with FUNCTIONS.registered(see=lambda arguments, context: arguments):
        found = (await output(run, body, {"who": {"name": "Ada"}}))["found"]
    assert found == {"name": ".who.name", "all": ".", "deep": [{"x": "$CONST.c"}], "word": "hello", "n": "1"}


async def test_arguments_are_expressions_as_sonataflow_takes_them_where_the_document_says_so(
    run: Any,
) -> None:
    body = "metadata: {expressionMode: loose}\nconstants: {c: 3}\n" + BARE
    assert warnings(body) == []
    input = {"who": {"name": "Ada"}}
    with FUNCTIONS.registered(see=lambda arguments, context: arguments):
        found = (await output(run, body, input))["found"]
    assert found == {"name": "Ada", "all": input, "deep": [{"x": 3}], "word": "hello", "n": 1}
    wrong = refused("metadata: {expressionMode: lose}\n" + BARE)
    assert (wrong.code, wrong.pointer) == ("invalid-value", "/metadata/expressionMode")


async def test_loose_arguments_may_have_expression_functions_and_secrets(run: Any) -> None:
    body = """
    metadata: {expressionMode: loose}
    secrets: [key]
    functions:
      - {name: twice, type: expression, operation: '.n * 2'}
      - {name: f, type: custom, operation: see}
    states:
      - name: A
        type: operation
        actions:
          - functionRef: {refName: f, arguments: {a: '${ fn:twice }', b: $SECRETS.key, c: 'n is ${ .n }'}}
        end: true
    """
    got: list[Any] = []
    with FUNCTIONS.registered(see=lambda arguments, context: got.append(arguments)):
        assert await output(run, body, {"n": 2}) == {"n": 2}
    assert got == [{"a": 4, "b": KEY, "c": "n is 2"}]


# --- operations -----------------------------------------------------------------------------------------------


async def test_an_operation_may_be_made_of_constants(run: Any) -> None:
    async with services(add=lambda given: {"sum": given["a"] + given["b"]}) as service:
        body = f"""
        constants: {{api: '{service.server.url}/openapi.json', name: ad}}
        functions: [{{name: f, operation: '${{ $CONST.api }}#${{ $CONST.name + "d" }}'}}]
        states:
          - name: A
            type: operation
            actions: [{{functionRef: {{refName: f, arguments: {{a: 1, b: 2}}}}}}]
            end: true
        """
        pinned = await service.pin(workflow(body))
        assert list(pinned) == [f"{service.server.url}/openapi.json#add"]
        assert await output(run, body, resources=pinned) == {"sum": 3}


@pytest.mark.parametrize("text", ["${ .url }#f", "${ $CONST.there }#f", "${ now }#f", "${ $SECRETS.a }#f"])
def test_an_operation_that_only_a_run_knows_is_refused(text: str) -> None:
    found = refused("secrets: [a]\n" + one(f"operation: {text!r}", "arguments: {}"))
    assert (found.code, found.pointer) == ("unsupported", "/functions/0/operation")
    assert "looked up when the workflow is deployed" in found.message


async def test_b47_arguments_may_have_expression_functions(run: Any) -> None:
    body = """
    functions:
      - {name: double it, type: expression, operation: '.n * 2'}
      - {name: f, type: custom, operation: add}
    states:
      - name: A
        type: operation
        actions:
          - functionRef: {refName: f, arguments: {a: '${ fn:double it }', b: 1}}
            actionDataFilter: {toStateData: .sum}
        end: true
    """
    assert await output(run, body, {"n": 4}) == {"n": 4, "sum": 9}
    assert problems(body) == []
