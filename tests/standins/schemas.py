"""A server of JSON Schemas that refer to one another; those below ``/private/`` are told to whoever has the key."""

from __future__ import annotations

from aiohttp import web

from tests.standins.functions import KEY

FILES = {
    "order.json": """{
      "type": "object", "required": ["customer"],
      "properties": {
        "customer": {"$ref": "people/customer.yaml"},
        "lines": {"type": "array", "items": {"$ref": "line.json#/definitions/line"}}
      }}""",
    "people/customer.yaml": "type: object\nrequired: [name]\nproperties: {name: {$ref: '../text.json#/$defs/short'}}\n",
    "text.json": '{"$defs": {"short": {"type": "string", "maxLength": 5}}}',
    "line.json": """{
      "$schema": "http://json-schema.org/draft-07/schema#",
      "definitions": {"line": {"items": [{"type": "string"}, {"type": "integer"}], "pattern": "^(a+)+$"}}}""",
    "tree.json": '{"properties": {"left": {"$ref": "tree.json"}, "right": {"$ref": "#"}, "n": {"type": "integer"}}}',
    "named.json": '{"$id": "https://names.example/named", "$ref": "text.json"}',
    "dangling.json": '{"$ref": "text.json#/$defs/none"}',
    "missing.json": '{"properties": {"x": {"$ref": "nowhere.json"}}}',
    "local.json": '{"$ref": "file:///etc/hostname"}',
    "wrong.json": '{"type": "strng"}',
    "list.json": "[1, 2]",
    "text.txt": "{",
    "look.json": '{"pattern": "(?=x)"}',
    "private/order.json": '{"type": "object", "required": ["id"], "properties": {"id": {"$ref": "id.json"}}}',
    "private/id.json": '{"type": "string"}',
    "large.json": '{"description": "%s", "$ref": "large2.json"}' % ("x" * 700_000),
    "large2.json": '{"description": "%s"}' % ("x" * 700_000),
}


async def _serve(request: web.Request) -> web.Response:
    path = request.match_info["path"]
    if (
        path.startswith("private/")
        and request.headers.get("Authorization") != f"Bearer {KEY.replace(' ', '-')}"
    ):
        return web.Response(status=401)
    if path.startswith("chain/"):
        number = int(path.removeprefix("chain/"))
        return web.Response(text=f'{{"$ref": "{number + 1}"}}')
    if path == "wide":
        listed = ", ".join(f'{{"$ref": "text.json?{number}"}}' for number in range(60))
        return web.Response(text=f'{{"allOf": [{listed}]}}')
    return web.Response(text=FILES[path]) if path in FILES else web.Response(status=404)


def app() -> web.Application:
    made = web.Application()
    made.router.add_get("/{path:.*}", _serve)
    return made
