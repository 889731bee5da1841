from __future__ import annotations

import base64

import pytest

from tests.calls.conftest import make_context
from tests.calls.faults import fault_of
from workflow_engine import __version__
from workflow_engine.calls import CALLERS, Egress

call = CALLERS["http"]


def get(uri: str, **more):
    return {"method": "get", "endpoint": uri, **more}


def post(uri: str, **more):
    return {"method": "post", "endpoint": uri, **more}


async def test_a_call_gives_the_content_of_the_answer(bin_server, context):
    answer = await call(get(f"{bin_server.url}/anything"), context)
    assert answer["method"] == "GET"


async def test_an_endpoint_may_be_an_object(bin_server, context):
    answer = await call(get({"uri": f"{bin_server.url}/anything/x"}), context)
    assert answer["path"] == "/anything/x"


async def test_a_call_says_who_makes_it(bin_server, context):
    await call(get(f"{bin_server.url}/get"), context)
    assert bin_server.last.headers["User-Agent"] == f"wfe/{__version__}"


async def test_uri_variables_are_expanded_in_path_and_query(bin_server, context):
    uri = bin_server.url + "/anything/{id}?status={status}"
    await call(get(uri, **{"$uri_variables": {"id": 7, "status": "a&b c"}}), context)
    assert bin_server.last.target == "/anything/7?status=a%26b%20c"


async def test_an_endpoint_without_uri_variables_is_not_a_template(bin_server, context):
    await call(get(bin_server.url + "/anything/%7Bid%7D?q={x}&r=%40 ä%"), context)
    assert bin_server.last.target == "/anything/%7Bid%7D?q=%7Bx%7D&r=%40%20%C3%A4%25"


async def test_a_fragment_is_not_sent(bin_server, context):
    await call(get(f"{bin_server.url}/get#part"), context)
    assert bin_server.last.target == "/get"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"a": "x y"}, "a=x%20y"),
        ({"a": 1, "b": 2.5, "c": True}, "a=1&b=2.5&c=true"),
        ({"a": ["x", 2, None]}, "a=x&a=2"),
        ({"a": None, "b": []}, ""),
        ({"a": "1&b=2"}, "a=1%26b%3D2"),
        ({"ä": "+"}, "%C3%A4=%2B"),
        (None, ""),
    ],
)
async def test_a51_query_takes_scalars_and_repeats_arrays(bin_server, context, query, expected):
    await call(get(f"{bin_server.url}/get", query=query), context)
    assert bin_server.last.target == "/get" + (f"?{expected}" if expected else "")


async def test_a51_query_is_added_to_what_the_uri_has(bin_server, context):
    await call(get(f"{bin_server.url}/get?a=1", query={"a": 2}), context)
    assert bin_server.last.target == "/get?a=1&a=2"


async def test_a51_headers_take_scalars_and_repeat_arrays(bin_server, context):
    headers = {"X-Number": 5, "X-Flag": False, "X-Many": ["a", "b"], "X-None": None}
    await call(get(f"{bin_server.url}/get", headers=headers), context)
    sent = bin_server.last.headers
    assert (sent["X-Number"], sent["X-Flag"], sent.getall("X-Many")) == ("5", "false", ["a", "b"])
    assert "X-None" not in sent


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"method": "g t"}, "configuration", "method"),
        ({"method": None}, "configuration", "method"),
        ({"endpoint": None}, "configuration", "endpoint"),
        ({"endpoint": ""}, "configuration", "endpoint"),
        ({"endpoint": {"authentication": {}}}, "configuration", "endpoint"),
        ({"endpoint": "/relative"}, "configuration", "absolute URL"),
        ({"endpoint": "ftp://h/x"}, "configuration", "absolute http"),
        ({"endpoint": "http://h:99999/"}, "configuration", "cannot be called"),
        ({"output": "text"}, "configuration", "content, raw, response"),
        ({"redirect": "yes"}, "configuration", "true or false"),
        ({"bodi": 1}, "configuration", "'bodi'"),
        ({"headers": "a"}, "configuration", "object"),
        ({"headers": {"a b": "x"}}, "validation", "a b"),
        ({"headers": {"X": "a\r\nY: b"}}, "validation", "control character"),
        ({"headers": {"X": {"a": 1}}}, "validation", "scalar"),
        ({"headers": {"Content-Length": "3"}}, "configuration", "set by the engine"),
        ({"query": {"q": {"a": 1}}}, "validation", "'q'"),
        ({"query": [1]}, "configuration", "object"),
    ],
)
async def test_a_wrong_argument_is_a_fault_that_names_it(context, arguments, kind, words):
    detail = await fault_of(call({**get("http://localhost/"), **arguments}, context), kind, 400)
    assert words in detail


async def test_a_body_is_json_unless_a_header_says_otherwise(bin_server, context):
    answer = await call(post(f"{bin_server.url}/anything", body={"a": [1, "ä"]}), context)
    assert answer["json"] == {"a": [1, "ä"]}
    assert bin_server.last.headers["Content-Type"] == "application/json"
    await call(post(f"{bin_server.url}/anything", body="text"), context)
    assert bin_server.last.body == b'"text"'


async def test_a_null_body_is_no_body(bin_server, context):
    await call(post(f"{bin_server.url}/anything", body=None), context)
    assert bin_server.last.body == b""
    assert "Content-Type" not in bin_server.last.headers


async def test_a_form_is_urlencoded_where_the_header_says_so(bin_server, context):
    headers = {"content-type": "application/x-www-form-urlencoded"}
    await call(post(f"{bin_server.url}/anything", headers=headers, body={"a": "x y", "b": [1, 2]}), context)
    assert bin_server.last.body == b"a=x+y&b=1&b=2"


async def test_a_multipart_form_is_the_same_bytes_each_time(bin_server, context):
    arguments = post(
        f"{bin_server.url}/anything", headers={"content-type": "multipart/form-data"}, body={"a": "x", "b": 2}
    )
    answer = await call(arguments, context)
    assert answer["form"] == {"a": "x", "b": "2"}
    first = bin_server.last.body
    await call(arguments, context)
    assert bin_server.last.body == first


async def test_text_and_bytes_are_sent_as_their_type_says(bin_server, context):
    url = f"{bin_server.url}/anything"
    await call(post(url, headers={"content-type": "text/plain; charset=latin-1"}, body="ä"), context)
    assert bin_server.last.body == b"\xe4"
    data = base64.b64encode(b"\x00\xff").decode()
    await call(post(url, headers={"content-type": "application/octet-stream"}, body=data), context)
    assert bin_server.last.body == b"\x00\xff"


@pytest.mark.parametrize(
    ("content_type", "body", "words"),
    [
        ("text/plain", {"a": 1}, "must be a string, not an object"),
        ("text/plain; charset=nonsense", "x", "cannot be written"),
        ("application/octet-stream", "no base64!", "charset=utf-8"),
        ("application/x-www-form-urlencoded", [1], "must be an object, not an array"),
        ("application/json", "\ud800", "cannot be written as JSON"),
    ],
)
async def test_a_body_that_its_type_cannot_hold_is_a_validation_fault(context, content_type, body, words):
    arguments = post("http://localhost/", headers={"content-type": content_type}, body=body)
    assert words in await fault_of(call(arguments, context), "validation", 400)


async def test_a_call_that_changes_something_carries_its_idempotency_key(bin_server, egress):
    context = make_context(egress, idempotency_key="run-1/do/0")
    await call(post(f"{bin_server.url}/anything"), context)
    assert bin_server.last.headers["Idempotency-Key"] == "run-1/do/0"
    await call(post(f"{bin_server.url}/anything", headers={"idempotency-key": "mine"}), context)
    assert bin_server.last.headers.getall("Idempotency-Key") == ["mine"]
    await call(get(f"{bin_server.url}/anything"), context)
    assert "Idempotency-Key" not in bin_server.last.headers


async def test_an_idempotency_key_that_no_header_can_hold_is_hashed(bin_server, egress):
    await call(post(f"{bin_server.url}/anything"), make_context(egress, idempotency_key="run/ä\n"))
    key = bin_server.last.headers["Idempotency-Key"]
    assert len(key) == 64
    assert key.isalnum()


async def test_basic_authentication(bin_server, context):
    policy = {"basic": {"username": "serverless-workflow", "password": "påss:word"}}
    uri = f"{bin_server.url}/basic-auth/serverless-workflow/p%C3%A5ss%3Aword"
    answer = await call(get({"uri": uri, "authentication": policy}), context)
    assert answer == {"authenticated": True, "user": "serverless-workflow"}


async def test_bearer_authentication(bin_server, context):
    policy = {"bearer": {"token": "t0ken"}}
    answer = await call(get({"uri": f"{bin_server.url}/bearer", "authentication": policy}), context)
    assert answer == {"authenticated": True, "token": "t0ken"}


async def test_user_information_in_the_uri_is_basic_authentication(bin_server, context):
    uri = f"http://u:p%40@127.0.0.1:{bin_server.port}/basic-auth/u/p%40"
    answer = await call(get(uri, output="response"), context)
    assert answer["content"]["authenticated"] is True
    assert answer["request"]["uri"] == f"{bin_server.url}/basic-auth/u/p%40"


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"digest": {"username": "u:v", "password": "SECRET"}}, "colon"),
        ({"hawk": {"username": "u", "password": "SECRET"}}, "'hawk' is not supported"),
        ({"basic": {"username": "u:v", "password": "SECRET"}}, "colon"),
        ({"basic": {"password": "SECRET"}}, "username is missing"),
        ({"basic": {"use": "mySecret"}}, "username is missing"),
        ({"basic": "SECRET"}, "object"),
        ({"bearer": {"token": "SECRET\r\nX: y"}}, "character"),
        ({"bearer": {"token": ["SECRET"]}}, "string"),
        ({"basic": {}, "bearer": {}}, "exactly one"),
        ("SECRET", "exactly one"),
    ],
)
async def test_a_policy_that_cannot_be_applied_is_refused_without_its_secrets(context, policy, words):
    arguments = get({"uri": "http://localhost/", "authentication": policy})
    detail = await fault_of(call(arguments, context), "configuration", 400)
    assert words in detail
    assert "SECRET" not in detail


async def test_output_response_has_request_and_answer(bin_server, context):
    policy = {"bearer": {"token": "t0ken"}}
    arguments = {
        "method": "post",
        "endpoint": {"uri": f"{bin_server.url}/anything?api_key=s3cret&b=1", "authentication": policy},
        "headers": {"X-Api-Key": "s3cret", "Cookie": "s3cret", "X-Trace": "t"},
        "body": {},
        "output": "response",
    }
    answer = await call(arguments, context)
    assert answer.keys() == {"request", "statusCode", "headers", "content"}
    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"].startswith("application/json")
    assert answer["content"]["json"] == {}
    assert answer["request"]["method"] == "POST"
    sent = answer["request"]["headers"]
    assert sent["x-trace"] == "t"
    assert sent["idempotency-key"] == "run-1/do/0/call/0"
    assert [sent[name] for name in ("authorization", "x-api-key", "cookie")] == ["[redacted]"] * 3
    assert "s3cret" not in str(answer["request"])
    assert answer["request"]["uri"].endswith("&b=1")


async def test_output_raw_is_the_body_in_base64(bin_server, context):
    answer = await call(get(f"{bin_server.url}/bytes/300", output="raw"), context)
    assert base64.b64decode(answer) == bytes(index % 256 for index in range(300))


async def test_a49_a_redirect_is_an_error_unless_it_is_asked_for(bin_server, context):
    detail = await fault_of(call(get(f"{bin_server.url}/redirect/1"), context), "communication", 302)
    assert "redirect: true" in detail
    assert len(bin_server.requests) == 1


async def test_a49_redirects_are_followed_where_the_call_says_so(bin_server, context):
    answer = await call(get(f"{bin_server.url}/redirect/10", redirect=True, output="response"), context)
    assert answer["statusCode"] == 200
    assert answer["request"]["uri"] == f"{bin_server.url}/get"


async def test_a49_a_circle_of_redirects_ends_after_ten(bin_server, context):
    uri = f"{bin_server.url}/redirect/50"
    detail = await fault_of(call(get(uri, redirect=True), context), "communication", 302)
    assert "more than 10 redirects" in detail
    assert len(bin_server.requests) == 11


async def test_a49_a_3xx_that_leads_nowhere_counts_as_success_with_redirect(bin_server, context):
    uri = f"{bin_server.url}/status/304"
    answer = await call(get(uri, redirect=True, output="response"), context)
    assert (answer["statusCode"], answer["content"]) == (304, None)
    await fault_of(call(get(uri), context), "communication", 304)


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [
        (301, "GET", ""),
        (302, "GET", ""),
        (303, "GET", ""),
        (307, "POST", '{"a":1}'),
        (308, "POST", '{"a":1}'),
    ],
)
async def test_a_redirected_post_keeps_its_body_where_the_status_says_so(
    bin_server, context, status, method, body
):
    uri = f"{bin_server.url}/redirect/1?status={status}"
    answer = await call(post(uri, body={"a": 1}, redirect=True), context)
    assert (answer["method"], answer["data"]) == (method, body)


async def test_credentials_do_not_follow_a_redirect_to_another_origin(bin_server, context):
    here = f"{bin_server.url}/redirect-to"
    arguments = get(
        {"uri": f"{here}?url=/headers", "authentication": {"bearer": {"token": "t"}}}, redirect=True
    )
    assert (await call(arguments, context))["headers"]["Authorization"] == "Bearer t"
    there = f"http://localhost:{bin_server.port}/headers"
    arguments["endpoint"]["uri"] = f"{here}?url={there}"
    answer = await call({**arguments, "headers": {"Cookie": "c=1", "X-Kept": "k"}}, context)
    assert "Authorization" not in answer["headers"]
    assert "Cookie" not in answer["headers"]
    assert answer["headers"]["X-Kept"] == "k"


async def test_a_redirect_to_another_scheme_is_refused(bin_server, context):
    uri = f"{bin_server.url}/redirect-to?url=file:///etc/passwd"
    assert "'file'" in await fault_of(call(get(uri, redirect=True), context), "communication", 302)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 503])
async def test_a52_an_error_status_is_a_communication_fault_with_that_status(bin_server, context, status):
    detail = await fault_of(call(get(f"{bin_server.url}/status/{status}"), context), "communication", status)
    assert detail.startswith(f"GET {bin_server.url}/status/{status}: {status}")


async def test_an_unknown_status_is_reported_as_it_is(bin_server, context):
    detail = await fault_of(call(get(f"{bin_server.url}/status/599"), context), "communication", 599)
    assert detail.endswith("/status/599: 599")


async def test_a_204_gives_null(bin_server, context):
    assert await call(get(f"{bin_server.url}/status/204"), context) is None


async def test_a_timeout_is_a_communication_fault_that_says_how_long(bin_server, egress):
    context = make_context(egress, timeout=0.05)
    detail = await fault_of(call(get(f"{bin_server.url}/delay/9"), context), "communication", 500)
    assert "no complete answer within 0.05 seconds" in detail


async def test_a_cookie_of_one_call_is_not_sent_by_the_next(context):
    from aiohttp import web

    from tests.standins.server import serve

    async def give(request):
        return web.Response(headers={"Set-Cookie": "session=1"})

    app = web.Application()
    app.router.add_get("/", give)
    async with serve(app) as server:
        await call(get(server.url), context)
        await call(get(server.url), context)
        assert "Cookie" not in server.last.headers


async def test_the_conformance_features_run_on_their_own_hosts_on_loopback(internet):
    async with Egress(**internet.egress) as egress:
        context = make_context(egress)
        pets = await call(
            get(
                "https://petstore.swagger.io/v2/pet/findByStatus?status={status}",
                **{"$uri_variables": {"status": "available"}},
            ),
            context,
        )
        assert pets[0].keys() >= {"id", "name", "status"}
        answer = await call(
            get(
                "https://petstore.swagger.io/v2/pet/{petId}",
                output="response",
                **{"$uri_variables": {"petId": 1}},
            ),
            context,
        )
        assert answer["content"]["id"] == 1
        assert answer["request"]["uri"] == "https://petstore.swagger.io/v2/pet/1"
        missing = get(
            "https://petstore.swagger.io/v2/pet/getPetByName/{petName}",
            **{"$uri_variables": {"petName": "Milou"}},
        )
        detail = await fault_of(call(missing, context), "communication", 404)
        assert "Pet not found" in detail
        login = {
            "uri": "https://httpbin.org/basic-auth/{username}/{password}",
            "authentication": {"basic": {"username": "serverless-workflow", "password": "conformance-test"}},
        }
        variables = {"username": "serverless-workflow", "password": "conformance-test"}
        assert (await call(get(login, **{"$uri_variables": variables}), context))["authenticated"] is True
