"""Documents that use every object of each version of AsyncAPI, and small changes to them."""

from __future__ import annotations

import copy

from catalog.source import read

_VERSION_2 = """\
asyncapi: 2.6.0
id: urn:example:orders
info:
  title: orders
  version: 1.0.0
  description: d
  termsOfService: https://example.com/terms
  contact: {name: n, url: https://example.com, email: a@example.com, x-c: 1}
  license: {name: Apache 2.0, url: https://example.com/license}
  x-info: {any: thing}
defaultContentType: application/json
tags: [{name: t, description: d, externalDocs: {url: https://example.com, description: d}}]
externalDocs: {url: https://example.com}
servers:
  one:
    url: kafka://{host}
    protocol: kafka
    protocolVersion: '3'
    description: d
    variables: {host: {enum: [a, b], default: a, description: d, examples: [a]}}
    security: [{scram: []}, {oauth: [read]}]
channels:
  a/{id}:
    description: d
    deprecated: false
    parameters: {id: {description: d, schema: {type: string}, location: $message.payload#/id}}
    bindings: {kafka: {}}
    publish:
      operationId: p
      summary: s
      description: d
      tags: [{name: t}]
      externalDocs: {url: https://example.com}
      bindings: {kafka: {}}
      traits: [{$ref: '#/components/operationTraits/o'}, {summary: s, operationId: q}]
      message:
        oneOf:
          - $ref: '#/components/messages/m'
          - name: n
            title: t
            summary: s
            description: d
            contentType: application/json
            schemaFormat: application/vnd.aai.asyncapi;version=2.0.0
            headers: {type: object, properties: {h: {type: string}}}
            payload: {type: object, required: [x], properties: {x: {type: [string, 'null'], maxLength: 3}}}
            correlationId: {location: $message.header#/h, description: d}
            tags: [{name: t}]
            externalDocs: {url: https://example.com}
            examples: [{headers: {h: x}, payload: {x: y}}]
            bindings: {kafka: {}}
            traits: [{name: n, headers: {type: object}, contentType: application/json}]
    subscribe: {operationId: s, message: {payload: {type: array, items: [{type: integer, minimum: 1}]}}}
  b: {$ref: '#/x-root/channel'}
components:
  schemas: {s: {allOf: [{type: object}, {$ref: '#/components/schemas/t'}]}, t: {enum: [1, 2]}}
  messages: {m: {payload: {$ref: '#/components/schemas/s'}}}
  parameters: {p: {schema: {type: string}}}
  correlationIds: {c: {location: $message.header#/c}}
  operationTraits: {o: {summary: s, tags: [{name: t}], bindings: {kafka: {}}}}
  messageTraits: {m: {title: t, correlationId: {location: $message.header#/c}, examples: [{payload: 1}]}}
  serverBindings: {b: {kafka: {}}}
  channelBindings: {b: {kafka: {}}}
  operationBindings: {b: {kafka: {}}}
  messageBindings: {b: {kafka: {}}}
  securitySchemes:
    user: {type: userPassword, description: d}
    key: {type: apiKey, in: user}
    cert: {type: X509}
    sym: {type: symmetricEncryption}
    asym: {type: asymmetricEncryption}
    http: {type: http, scheme: bearer, bearerFormat: jwt}
    basic: {type: http, scheme: basic}
    header: {type: httpApiKey, name: n, in: header}
    oidc: {type: openIdConnect, openIdConnectUrl: https://example.com}
    oauth:
      type: oauth2
      flows:
        implicit: {authorizationUrl: https://example.com, scopes: {read: d}}
        password: {tokenUrl: https://example.com, scopes: {}}
        clientCredentials: {tokenUrl: https://example.com, scopes: {}, refreshUrl: https://example.com}
        authorizationCode: {authorizationUrl: https://example.com, tokenUrl: https://example.com, scopes: {}}
x-root: {channel: {publish: {operationId: r}}}
"""

_SINCE = {
    "2.1.0": {"/components/securitySchemes/scram": {"type": "scramSha256"}},
    "2.2.0": {"/channels/a~1{id}/servers": ["one"]},
    "2.3.0": {
        "/components/servers": {"s": {"url": "u", "protocol": "p"}},
        "/components/channels": {"c": {"publish": {}}},
        "/servers/two": {"$ref": "#/components/servers/s"},
    },
    "2.4.0": {
        "/components/serverVariables": {"v": {"default": "a"}},
        "/channels/a~1{id}/publish/security": [{"scram": []}],
        "/channels/a~1{id}/publish/message/oneOf/1/messageId": "id",
        "/components/operationTraits/o/security": [{"scram": []}],
        "/components/messageTraits/m/messageId": "id",
    },
    "2.5.0": {"/servers/one/tags": [{"name": "t"}]},
}

_VERSION_3 = """\
asyncapi: 3.0.0
id: urn:example:lights
info:
  title: lights
  version: 1.0.0
  description: d
  termsOfService: https://example.com/terms
  contact: {name: n, url: https://example.com, email: a@example.com}
  license: {name: Apache 2.0, url: https://example.com/license}
  tags: [{name: t, externalDocs: {url: https://example.com}}, {$ref: '#/components/tags/t'}]
  externalDocs: {url: https://example.com}
defaultContentType: application/json
servers:
  one:
    host: '{host}:1883'
    pathname: /x
    protocol: mqtt
    protocolVersion: '5'
    title: t
    summary: s
    description: d
    variables:
      host: {enum: [a, b], default: a, description: d, examples: [a]}
      v: {$ref: '#/components/serverVariables/v'}
    security: [{$ref: '#/components/securitySchemes/user'}, {type: plain}]
    tags: [{name: t}]
    externalDocs: {$ref: '#/components/externalDocs/e'}
    bindings: {mqtt: {}}
  two: {$ref: '#/components/servers/s'}
channels:
  a:
    address: a/{id}
    title: t
    summary: s
    description: d
    servers: [{$ref: '#/servers/one'}]
    parameters: {id: {enum: [x], default: x, description: d, examples: [x], location: $message.payload#/id}}
    messages:
      m: {$ref: '#/components/messages/m'}
      n:
        name: n
        title: t
        summary: s
        description: d
        deprecated: true
        contentType: application/json
        headers: {type: object, properties: {h: {type: string}}}
        payload: {schemaFormat: application/schema+json;version=draft-07, schema: {type: object, minProperties: 1}}
        correlationId: {location: $message.header#/h}
        tags: [{name: t}]
        externalDocs: {url: https://example.com}
        examples: [{name: n, summary: s, headers: {h: x}, payload: {x: y}}]
        bindings: {mqtt: {}}
        traits: [{name: n, headers: {type: object}}, {$ref: '#/components/messageTraits/m'}]
    tags: [{name: t}]
    externalDocs: {url: https://example.com}
    bindings: {mqtt: {}}
  b: {address: null}
  c: {$ref: '#/components/channels/c'}
operations:
  o:
    action: send
    channel: {$ref: '#/channels/a'}
    title: t
    summary: s
    description: d
    security: [{type: userPassword}]
    tags: [{name: t}]
    externalDocs: {url: https://example.com}
    bindings: {mqtt: {}}
    traits: [{title: t, bindings: {mqtt: {}}}, {$ref: '#/components/operationTraits/o'}]
    messages: [{$ref: '#/channels/a/messages/m'}]
    reply:
      address: {location: $message.header#/replyTo, description: d}
      channel: {$ref: '#/channels/b'}
      messages: []
  p: {action: receive, channel: {$ref: '#/channels/b'}}
  q: {$ref: '#/components/operations/o'}
components:
  schemas: {s: {allOf: [{type: object}, {$ref: '#/components/schemas/t'}]}, t: {enum: [1, 2]}}
  servers: {s: {host: h, protocol: p}}
  serverVariables: {v: {default: a}}
  channels: {c: {address: c}}
  operations: {o: {action: send, channel: {$ref: '#/channels/a'}}}
  messages: {m: {payload: {$ref: '#/components/schemas/s'}}}
  parameters: {p: {default: x}}
  correlationIds: {c: {location: $message.header#/c}}
  replies: {r: {address: {$ref: '#/components/replyAddresses/a'}}}
  replyAddresses: {a: {location: $message.payload#/a}}
  externalDocs: {e: {url: https://example.com}}
  tags: {t: {name: t}}
  operationTraits: {o: {summary: s, security: [{type: X509}]}}
  messageTraits: {m: {title: t, correlationId: {location: $message.header#/c}, examples: [{payload: 1}]}}
  serverBindings: {b: {mqtt: {}}}
  channelBindings: {b: {mqtt: {}}}
  operationBindings: {b: {mqtt: {}}}
  messageBindings: {b: {mqtt: {}}}
  securitySchemes:
    user: {type: userPassword}
    key: {type: apiKey, in: password}
    http: {type: http, scheme: bearer, bearerFormat: jwt}
    header: {type: httpApiKey, name: n, in: cookie}
    scram: {type: scramSha512}
    oidc: {type: openIdConnect, openIdConnectUrl: https://example.com, scopes: [read]}
    oauth:
      type: oauth2
      scopes: [read]
      flows:
        implicit: {authorizationUrl: https://example.com, availableScopes: {read: d}}
        clientCredentials: {tokenUrl: https://example.com, availableScopes: {}}
x-root: {channel: {publish: {operationId: r}}}
"""


def document(version):
    """A document of *version* with every object that the version has."""
    if version.startswith("3"):
        data = read(_VERSION_3).data
    else:
        data = read(_VERSION_2).data
        if version == "2.0.0":  # its schemes end where those of 2.1.0 begin
            data["servers"]["one"]["security"] = [{"user": []}]
        for since, additions in _SINCE.items():
            if since <= version:
                for pointer, value in additions.items():
                    *path, last = [part.replace("~1", "/") for part in pointer.split("/")[1:]]
                    at(data, path)[last] = value
    data["asyncapi"] = version
    return data


def later(version):
    """Documents of *version* that each have one thing that only later versions have."""
    for since, additions in _SINCE.items():
        if since > version:
            for pointer, value in additions.items():
                data = document(version)
                *path, last = [part.replace("~1", "/") for part in pointer.split("/")[1:]]
                at(data, path)[last] = value
                yield pointer, data


def at(data, path):
    """The value at *path* in *data*."""
    for part in path:
        data = data[int(part)] if isinstance(data, list) else data[part]
    return data


def mutants(original):
    """*original* with one thing changed, each with what was done and where, as a path."""
    for path, value in _walk(original, ()):
        if path:
            yield "remove", path, _changed(original, path, None, remove=True)
            for other in (7, "text", None, [], {}, [7], {"x": 7}):
                if type(other) is not type(value):
                    yield f"set to {other!r}", path, _changed(original, path, other)
        if isinstance(value, dict):
            for name in ("unknown", "x-ok", "x-no good", "$ref"):
                yield f"add {name}", path, _changed(original, (*path, name), "#/info")


def _walk(value, path):
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in items:
        yield from _walk(member, (*path, name))


def _changed(original, path, value, *, remove=False):
    data = copy.deepcopy(original)
    *front, last = path
    owner = at(data, front)
    if remove:
        del owner[last]
    else:
        owner[last] = value
    return data
