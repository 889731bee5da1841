"""Catalogs of functions as GitHub, GitLab and a server of one's own serve them; one of them asks who reads."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Collection, Mapping

from aiohttp import web

from tests.standins.greeter import PROTO
from tests.standins.petstore import SWAGGER

KEY = "s3cr3t/key+of=the service"
LOGIN = 'countess:pass: wörd "quoted"'
TOLD = frozenset(
    {"Bearer " + b64encode(KEY.encode()).decode(), "Basic " + b64encode(LOGIN.encode()).decode()}
)
"""What the private catalog wants to hear: the secrets `key` and `login` of `tests.running`."""
LOG = """
input:
  schema: {document: {type: object, properties: {message: {type: string}}, required: [message]}}
output: {schema: {document: {type: string}}}
set: '${ "[\\(.level // "information")] \\(.message)" }'
"""
GREET = """
input: {schema: {document: {required: [name]}}}
do:
  - add: {set: {text: '${ "Hello, \\(.name)!" }'}, export: {as: '{loud: $input.loud}'}}
  - shout: {if: $context.loud, set: {text: '${ .text | ascii_upcase }'}}
then: end
"""
TWICE = """
do:
  - once: {call: ../../greet/1.0.0/function.yaml, with: {name: '${ .name }'}}
  - again: {call: 'https://functions.example/functions/greet/1.0.0', with: {name: '${ .text }'}}
"""
PET = """
call: openapi
with: {document: {endpoint: openapi.json}, operationId: getPetById, parameters: {petId: '${ .id }'}}
"""
ORDERS = """
asyncapi: 3.0.0
info: {title: orders, version: 1.0.0}
channels: {orders: {address: orders, messages: {placed: {payload: {type: object}}}}}
operations: {placeOrder: {action: receive, channel: {$ref: '#/channels/orders'}}}
"""
FILES: Mapping[str, str] = {
    "functions/log/1.0.0/function.yaml": LOG,
    "functions/greet/1.0.0/function.yaml": GREET,
    "functions/named/1.0.0/function.yaml": "sayHello:\n  set: {hello: '${ .name }'}\n",
    "functions/twice/1.0.0/function.yaml": TWICE,
    "functions/pet/1.0.0/function.yaml": PET,
    "functions/said/1.0.0/function.yaml": (
        "run: {script: {language: python, source: {endpoint: said.py}, arguments: ['${ .message }']}}"
    ),
    "functions/said/1.0.0/said.py": "import sys\nprint('said', sys.argv[1], end='')\n",
    "orders.yaml": ORDERS,
    "greet.proto": PROTO,
    "functions/boom/1.0.0/function.yaml": "raise: {error: {type: 'https://e.example/boom', status: 418}}",
    "functions/loop/1.0.0/function.yaml": "do: [{round: {call: ../../loop2/1.0.0/function.yaml}}]",
    "functions/loop2/1.0.0/function.yaml": "do: [{round: {call: ../../loop/1.0.0/function.yaml}}]",
    "functions/wrong/1.0.0/function.yaml": "do:\n  - a: {sett: {x: 1}}\n",
    "functions/odd/1.0.0/function.yaml": "do:\n  - a: {set: '${ $nothing }'}\n",
    "functions/late/1.0.0/function.yaml": "wait: PT5S\ntimeout: patience\n",
    "functions/theirs/1.0.0/function.yaml": (
        "call: openapi\nwith: {document: {endpoint: 'file:///etc/x'}, operationId: x}"
    ),
    "functions/large/1.0.0/function.yaml": "set: {x: '" + "x" * 1_100_000 + "'}",
}


def _serves(*prefixes: str, tag: str = "", told: Collection[str] = ()) -> Callable[[], web.Application]:
    """The files below each of *prefixes*, below *tag* only the log function; with *told*, to whoever says that."""

    async def answer(request: web.Request) -> web.Response:
        if told and request.headers.get("Authorization") not in told:
            return web.Response(status=401, text=f"who is {request.headers.get('Authorization')}?")
        path = request.path
        if tag and path == f"{tag}/functions/log/1.0.0/function.yaml":
            return web.Response(text=LOG)
        for prefix in prefixes:
            name = path.removeprefix(prefix + "/")
            if path.startswith(prefix + "/") and name in FILES:
                return web.Response(text=FILES[name], content_type="text/plain")
            if path.startswith(prefix + "/") and name == "functions/pet/1.0.0/openapi.json":
                return web.json_response(SWAGGER)
            if path.startswith(prefix + "/") and name == "functions/leaks/1.0.0/function.yaml":
                return web.Response(text=f"set: {{seen: '{request.headers.get('Authorization')}'}}")
        return web.Response(status=404)

    def make() -> web.Application:
        made = web.Application()
        made.router.add_get("/{path:.*}", answer)
        return made

    return make


SECURE: Mapping[str, Callable[[], web.Application]] = {
    "raw.githubusercontent.com": _serves(
        "/serverlessworkflow/catalog/main",
        "/serverlessworkflow/catalog/refs/heads/main",
        tag="/serverlessworkflow/catalog/v1",
    ),
    "gitlab.com": _serves("/group/project/-/raw/main"),
    "functions.example": _serves(""),
    "private.example": _serves("/catalog", told=TOLD),
}
