"""Calls over HTTP, by OpenAPI and by AsyncAPI: decisions A49 to A52, A56, A58 and A63, on both runtimes."""

from __future__ import annotations

import base64
from typing import Any

import pytest

import catalog
from tests.semantics.v1.documents import error, kind, output, refused
from tests.standins.internet import Internet

ECHO = "https://httpbin.org/anything"


def get(endpoint: str, extra: str = "") -> str:
    return f"do: [{{a: {{call: http, with: {{method: get, endpoint: {endpoint}{extra}}}}}}}]"


async def test_an_http_call_sends_what_it_is_told_and_gives_the_content(run: Any) -> None:
    body = """
    do:
      - a:
          call: http
          with:
            method: post
            endpoint: https://httpbin.org/anything
            headers: {X-Name: '${ .name }', X-Number: 3}
            query: {q: '${ .name }', many: [1, 2]}
            body: {hello: '${ .name }'}
    """
    echoed = await output(run, body, {"name": "Ada"})
    assert echoed["method"] == "POST"
    assert echoed["json"] == {"hello": "Ada"}
    assert echoed["args"] == {"q": "Ada", "many": ["1", "2"]}
    assert (echoed["headers"]["X-Name"], echoed["headers"]["X-Number"]) == ("Ada", "3")


async def test_a51_headers_and_query_take_scalars_and_repeat_arrays(run: Any) -> None:
    query = "{t: true, n: 2.5, none: '${ .none }', many: '${ .many }'}"
    extra = f", query: {query}, headers: {{X-N: 7, X-Many: [a, b], X-None: '${{ .none }}'}}"
    echoed = await output(run, get(f"'{ECHO}/x?first=1'", extra), {"many": ["a b", 3]})
    assert echoed["path"] == "/anything/x?first=1&t=true&n=2.5&many=a%20b&many=3"
    assert echoed["headers"]["X-N"] == "7"
    assert "X-None" not in echoed["headers"]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("{}", "needs parameter 'status' (query)"),
        ("{status: sold, statu: x}", "no parameter 'statu'; did you mean 'status'?"),
    ],
)
async def test_a58_parameters_that_are_missing_or_unknown_are_named_before_anything_is_sent(
    run: Any, internet: Internet, parameters: str, words: str
) -> None:
    document = "{endpoint: 'https://petstore.swagger.io/v2/swagger.json'}"
    body = f"""
    do:
      - a: {{call: openapi, with: {{document: {document}, operationId: findPetsByStatus, parameters: {parameters}}}}}
    """
    fault = await error(run, body)
    assert (kind(fault), fault["status"]) == ("validation", 400)
    assert words in fault["detail"]
    assert internet.petstore.last.target.endswith("swagger.json")


async def test_headers_query_and_endpoint_may_be_expressions(run: Any) -> None:
    body = """
    do:
      - a:
          call: http
          with:
            method: get
            endpoint: '${ "https://httpbin.org/anything/" + .path }'
            headers: '${ {"X-Name": .name} }'
            query: '${ {q: .name} }'
    """
    echoed = await output(run, body, {"name": "Ada", "path": "there"})
    assert (echoed["path"], echoed["args"], echoed["headers"]["X-Name"]) == (
        "/anything/there?q=Ada",
        {"q": "Ada"},
        "Ada",
    )


async def test_the_output_of_a_call_is_the_content_the_raw_body_or_the_response(run: Any) -> None:
    body = "do: [{a: {call: http, with: {method: get, endpoint: 'https://httpbin.org/bytes/3', output: %s}}}]"
    raw = await output(run, body % "raw")
    assert base64.b64decode(raw) == b"\x00\x01\x02"
    response = await output(run, body % "response")
    assert response["statusCode"] == 200
    assert response["request"]["method"] == "GET"
    assert response["request"]["uri"] == "https://httpbin.org/bytes/3"
    assert "content-type" in response["headers"]


async def test_a49_a_redirect_is_followed_only_when_it_is_allowed(run: Any) -> None:
    fault = await error(run, get("'https://httpbin.org/redirect/1'"))
    assert (kind(fault), fault["status"]) == ("communication", 302)
    followed = await output(run, get("'https://httpbin.org/redirect/2'", ", redirect: true"))
    assert followed["url"] == "https://httpbin.org/get"


@pytest.mark.parametrize("status", [401, 403, 404, 418, 503])
async def test_a52_an_error_status_is_a_communication_fault_with_that_status(run: Any, status: int) -> None:
    fault = await error(run, get(f"'https://httpbin.org/status/{status}'"))
    assert (kind(fault), fault["status"], fault["instance"]) == ("communication", status, "/do/0/a")


async def test_a52_a_call_that_reaches_nothing_is_a_communication_fault(run: Any) -> None:
    fault = await error(run, get("'http://127.0.0.1:1/'"))
    assert (kind(fault), fault["status"]) == ("communication", 500)


async def test_what_a_call_gives_is_shaped_and_exported(run: Any) -> None:
    body = """
    do:
      - a:
          input: {from: '{id: .deep.id}'}
          call: http
          with: {method: get, endpoint: 'https://httpbin.org/anything/{id}'}
          output: {as: '{path: .path, id: $input.id}'}
          export: {as: '{path: $output.path}'}
      - b: {set: {data: '${ . }', context: '${ $context }'}}
    """
    path = {"path": "/anything/7"}
    assert await output(run, body, {"deep": {"id": 7}}) == {"data": {**path, "id": 7}, "context": path}


@pytest.mark.parametrize(
    ("template", "expanded"),
    [
        ("{petId}", "3"),
        ("{pet-id}", "4"),
        ("{a.b}", "dotted"),
        ('{quo"te}', "q"),
        ("{missing}", ""),
        ("{none}", ""),
        ("{text}", "a%20b%2Fc%3F"),
        ("{flag}/{number}", "true/2.5"),
        ("{petId,flag}", "3,true"),
        ("x?id={petId}", "x?id=3"),
    ],
)
async def test_a63_a_uri_template_is_expanded_with_the_members_of_the_input(
    run: Any, template: str, expanded: str
) -> None:
    given = {
        "petId": 3,
        "pet-id": 4,
        "a.b": "dotted",
        'quo"te': "q",
        "none": None,
        "text": "a b/c?",
        "flag": True,
        "number": 2.5,
    }
    echoed = await output(run, get(f"'{ECHO}/{template}'"), given)
    assert echoed["path"] == f"/anything/{expanded}"


async def test_a63_where_the_input_is_no_object_every_variable_is_missing(run: Any) -> None:
    assert (await output(run, get(f"'{ECHO}/{{id}}'"), [1, 2]))["path"] == "/anything/"


async def test_a63_a_variable_that_is_no_scalar_is_an_expression_fault(run: Any) -> None:
    fault = await error(run, get(f"'{ECHO}/{{id}}'"), {"id": {"x": 1}})
    assert (kind(fault), fault["status"]) == ("expression", 400)


@pytest.mark.parametrize("form", ["{+x}", "{#x}", "{?x}", "{/x}", "{x*}", "{x:3}", "{}"])
def test_a63_other_forms_of_templates_are_refused_when_the_document_is_loaded(form: str) -> None:
    for body in (get(f"'{ECHO}/{form}'"), get(f"{{uri: '{ECHO}/{form}'}}")):
        found = refused(body)
        assert found.code == "invalid-uri-template"
        assert "RFC 6570" in found.message
        assert found.pointer.startswith("/do/0/a/with/endpoint")
    document = f"{{document: {{endpoint: '{ECHO}/{form}'}}, operationId: x}}"
    assert refused(f"do: [{{a: {{call: openapi, with: {document}}}}}]").code == "invalid-uri-template"


def test_a63_a_brace_without_its_counterpart_is_a_problem() -> None:
    assert refused(get(f"'{ECHO}/{{x'")).code == "invalid-value"


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("{id}/${ .y }", "a%20b/c/d"),
        ("${ .y }/{id}", "c/d/a%20b"),
        ("${ .n }-{id}-${ .o }", "7-a%20b-%7B%22k%22:%22%7Bid%7D%22%7D"),
        ("{id}?y=${ .y | @uri }", "a%20b?y=c%2Fd"),
        ("x/${ {a: .y} | .a }", "x/c/d"),
    ],
)
async def test_a2_an_expression_may_stand_beside_a_template_and_is_put_in_as_it_is(
    run: Any, address: str, path: str
) -> None:
    """What the data has is no template again: the braces in it are characters."""
    for endpoint in (f"'{ECHO}/{address}'", f"{{uri: '{ECHO}/{address}'}}"):
        echoed = await output(run, get(endpoint), {"id": "a b", "y": "c/d", "n": 7, "o": {"k": "{id}"}})
        assert echoed["path"] == f"/anything/{path}"


async def test_a2_a_template_beside_an_expression_cannot_climb_in_the_path(run: Any) -> None:
    fault = await error(run, get(f"'{ECHO}/${{ .y }}/{{id}}'"), {"y": "a", "id": ".."})
    assert (kind(fault), fault["status"]) == ("expression", 400)


async def test_an_address_that_is_an_expression_is_no_template(run: Any) -> None:
    """So nothing in the data is expanded: the braces are sent as the characters they are."""
    echoed = await output(run, get(f"'${{ \"{ECHO}/\" + .path }}'"), {"path": "{secret}", "secret": "s"})
    assert echoed["path"] == "/anything/%7Bsecret%7D"


@pytest.mark.parametrize(
    "policy",
    [
        "{basic: {username: ada, password: '${ .password }'}}",
        "{use: ada}",
        "ada",
    ],
)
async def test_a56_basic_credentials_inline_or_by_name(run: Any, policy: str) -> None:
    body = f"""
    use: {{authentications: {{ada: {{basic: {{username: ada, password: '${{ .password }}'}}}}}}}}
    do:
      - a:
          call: http
          with:
            method: get
            endpoint: {{uri: 'https://httpbin.org/basic-auth/ada/lovelace', authentication: {policy}}}
    """
    assert await output(run, body, {"password": "lovelace"}) == {"authenticated": True, "user": "ada"}
    fault = await error(run, body, {"password": "wrong"})
    assert (kind(fault), fault["status"]) == ("communication", 401)


async def test_a_bearer_token_is_sent(run: Any) -> None:
    endpoint = "{uri: 'https://httpbin.org/bearer', authentication: {bearer: {token: '${ .token }'}}}"
    assert (await output(run, get(endpoint), {"token": "t0ken"}))["token"] == "t0ken"


async def test_a58_an_openapi_operation_is_called_by_its_id(run: Any) -> None:
    body = """
    do:
      - find:
          call: openapi
          with:
            document: {endpoint: 'https://petstore.swagger.io/v2/swagger.json'}
            operationId: findPetsByStatus
            parameters: {status: '${ [.status] }'}
          output: {as: 'map(.name)'}
    """
    assert await output(run, body, {"status": "sold"}) == ["kitty"]


async def test_the_address_of_an_openapi_document_may_be_a_template_or_an_expression(run: Any) -> None:
    for address in ("https://petstore.swagger.io/{version}/swagger.json", "${ .address }"):
        body = f"""
        do:
          - find:
              call: openapi
              with:
                document: {{endpoint: '{address}'}}
                operationId: findPetsByStatus
                parameters: {{status: sold}}
              output: {{as: 'map(.name)'}}
        """
        given = {"version": "v2", "address": "https://petstore.swagger.io/v2/swagger.json"}
        assert await output(run, body, given) == ["kitty"]


ASYNCAPI = """
asyncapi: 3.0.0
info: {title: orders, version: 1.0.0}
channels:
  orders: {address: orders, messages: {order: {payload: {type: object, required: [item]}}}}
operations:
  receiveOrder: {action: receive, channel: {$ref: '#/channels/orders'}}
"""


def pinned() -> dict[str, Any]:
    operation = catalog.describe_document(ASYNCAPI).find(operation="receiveOrder")
    return {"file://orders.yaml#receiveOrder": operation.to_json()}


async def test_an_asyncapi_message_is_published_and_is_the_output(run: Any) -> None:
    body = """
    do:
      - send: {call: asyncapi, with: {operation: 'file://orders.yaml#receiveOrder'}}
      - hear:
          listen: {to: {one: {with: {type: '.*'}}}, read: envelope}
          metadata: {channel: orders}
          output: {as: '{sent: $input, heard: .[0].data, by: .[0].source}'}
    """
    assert await output(run, body, {"item": "tea"}, resources=pinned()) == {
        "sent": {"item": "tea"},
        "heard": {"item": "tea"},
        "by": "/semantics/test/1.0.0",
    }


async def test_an_asyncapi_message_that_does_not_fit_is_a_validation_fault(run: Any) -> None:
    body = "do: [{a: {call: asyncapi, with: {operation: 'file://orders.yaml#receiveOrder'}}}]"
    fault = await error(run, body, {"no": "item"}, resources=pinned())
    assert (kind(fault), fault["instance"]) == ("validation", "/do/0/a")
