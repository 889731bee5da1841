from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import Conflict, InvalidSpec, NotFound, describe_document, lint
from tests.catalog.documents import LIGHTS, ORDERS, published

V2 = "asyncapi: 2.6.0\ninfo: {title: t, version: '1'}\nchannels:\n"
V3 = "asyncapi: 3.0.0\ninfo: {title: t, version: '1'}\n"


def found(text):
    return [(problem.code, problem.pointer) for problem in lint(text)]


@pytest.mark.parametrize("name", ["order", "express", "payment"])
def test_the_documents_of_eventmesh_are_read(name):
    description = describe_document(published(f"eventmesh/asyncapi-test{name}.yaml"))
    assert description.service.title == f"{name}app"
    assert [(item.id, item.keyword, item.action, item.workflow_may) for item in description.operations] == [
        (f"send{name.title()}", "publish", "receive", "publish"),
        (f"receive{name.title()}", "subscribe", "send", "subscribe"),
    ]
    (message,) = description.operations[0].messages
    assert (message.name, message.content_type) == ("Order", "application/json")
    assert message.payload == {
        "type": "object",
        "properties": {"orderNo": {"type": "string"}, "Amount": {"type": "string"}},
    }


def test_a_document_of_version_2_is_read_whole():
    description = describe_document(ORDERS)
    create, created, audit = description.operations
    assert (create.id, created.id, audit.id) == ("createOrder", "orderCreated", None)
    assert (create.summary, create.tags) == ("Create an order", ("sales",))
    assert create.bindings == {"kafka": {"clientId": {"type": "string"}}}
    assert create.channel.bindings == {"kafka": {"partitions": 3}}
    (parameter,) = create.channel.parameters
    assert (parameter.name, parameter.location) == ("region", "$message.payload#/region")
    assert parameter.schema == {"type": "string", "enum": ["eu", "us"]}
    assert [server.name for server in create.servers] == ["production"]
    assert [server.name for server in audit.servers] == ["production", "test"]
    (server, _) = description.service.servers
    assert (server.host, server.pathname) == ("broker.{region}.example.com:9092", "/cluster")
    assert (server.protocol, server.protocol_version) == ("kafka-secure", "3.5")
    assert server.variables == {"region": {"default": "eu", "enum": ["eu", "us"]}}
    assert [(scheme.name, scheme.type) for scheme in server.security] == [("scram", "scramSha512")]
    assert [(message.name, message.content_type) for message in created.messages] == [
        ("Order", "application/json"),
        ("Refusal", "application/problem+json"),
    ]
    assert [problem.code for problem in description.warnings] == ["missing-operation-id"]


def test_traits_of_version_2_win_over_what_they_are_merged_into():
    text = V2 + (
        "  c:\n    publish:\n      operationId: a\n      summary: mine\n"
        "      traits: [{summary: first, tags: [{name: x}]}, {summary: second}]\n"
        "      message: {name: m, headers: {type: object, properties: {a: {type: string}}},\n"
        "        traits: [{headers: {type: object, properties: {b: {type: integer}}}}]}\n"
    )
    (operation,) = describe_document(text).operations
    assert (operation.summary, operation.tags) == ("second", ("x",))
    assert operation.messages[0].headers == {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
    }


def test_a_document_of_version_3_is_read_whole():
    description = describe_document(LIGHTS)
    turn_on, measured = description.operations
    assert (turn_on.id, turn_on.action, turn_on.workflow_may) == ("turnOn", "receive", "publish")
    assert (measured.id, measured.action, measured.workflow_may) == ("sendMeasurement", "send", "subscribe")
    assert (turn_on.channel.name, turn_on.channel.address) == ("lightTurnOn", "lights/{id}/on")
    assert turn_on.channel.parameters[0].schema == {"type": "string", "enum": ["a", "b"], "default": "a"}
    assert (turn_on.title, turn_on.bindings) == ("from the trait", {"mqtt": {"qos": 1}})
    (message,) = turn_on.messages
    assert (message.name, message.correlation_id) == ("TurnOn", "$message.header#/correlationId")
    assert turn_on.reply is not None
    assert turn_on.reply.address_location == "$message.header#/replyTo"
    assert turn_on.reply.channel is not None
    assert turn_on.reply.channel.address is None
    assert [reply.name for reply in turn_on.reply.messages] == ["done"]
    assert [message.payload for message in measured.messages] == [{"type": "object", "required": ["lumens"]}]
    (server,) = turn_on.servers
    assert server.url == "mqtt://{town}.mqtt.example.com:1883/iot"
    assert [(scheme.name, scheme.type) for scheme in server.security] == [("user", "userPassword")]
    assert [channel.name for channel in description.channels] == ["lightTurnOn", "measured", "answers"]


def test_traits_of_version_3_never_override_what_is_written():
    text = V3 + (
        "channels: {c: {address: c, messages: {m: {title: mine, traits: [{$ref: '#/components/messageTraits/t'}],\n"
        "  payload: {type: object, default: null}, headers: {type: object, properties: {a: {type: string}}}}}}}\n"
        "operations: {o: {action: send, channel: {$ref: '#/channels/c'}, summary: mine,\n"
        "  traits: [{summary: one, description: one}, {description: two}]}}\n"
        "components: {messageTraits: {t: {title: theirs, name: theirs,\n"
        "  headers: {type: object, properties: {a: {type: integer}, b: {type: integer}}}}}}\n"
    )
    (operation,) = describe_document(text).operations
    assert (operation.summary, operation.description) == ("mine", "two")
    (message,) = operation.messages
    assert (message.title, message.name) == ("mine", "theirs")
    assert message.payload == {"type": "object", "default": None}
    assert message.headers == {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
    }


def test_an_operation_of_version_3_without_a_list_has_all_messages_of_its_channel():
    text = LIGHTS.replace('    messages: [{$ref: "#/channels/lightTurnOn/messages/turnOn"}]\n', "")
    assert [message.name for message in describe_document(text).operations[0].messages] == ["TurnOn", "blink"]
    none = LIGHTS.replace('messages: [{$ref: "#/channels/lightTurnOn/messages/turnOn"}]', "messages: []")
    assert describe_document(none).operations[0].messages == ()


def test_references_are_followed_through_references():
    text = V3 + (
        "channels: {c: {$ref: '#/components/channels/c'}}\n"
        "operations: {o: {action: send, channel: {$ref: '#/channels/c'},\n"
        "  messages: [{$ref: '#/channels/c/messages/m'}]}}\n"
        "components:\n"
        "  channels: {c: {address: a/b, messages: {m: {$ref: '#/components/messages/a~1b'}}}}\n"
        "  messages: {a/b: {$ref: '#/components/messages/real%20one'},\n"
        "    real one: {payload: {$ref: '#/components/schemas/x'}}}\n"
        "  schemas: {x: {$ref: '#/components/schemas/y'}, y: {type: boolean}}\n"
    )
    (operation,) = describe_document(text).operations
    assert operation.channel.address == "a/b"
    assert [(message.name, message.payload) for message in operation.messages] == [("m", {"type": "boolean"})]


def test_schemas_that_refer_to_others_bring_them_along():
    (create, *_) = describe_document(ORDERS).operations
    payload = create.messages[0].payload
    assert payload["properties"]["items"] == {"type": "array", "items": {"$ref": "#/$defs/Item"}}
    assert payload["$defs"]["Item"]["properties"]["parts"]["items"] == {"$ref": "#/$defs/Item"}


def test_names_of_schemas_that_would_clash_are_told_apart():
    text = V2 + (
        "  c: {publish: {operationId: o, message: {payload: {anyOf: [{$ref: '#/components/schemas/x'},\n"
        "    {$ref: '#/components/schemas/y/properties/x'}, {$ref: '#/components/messages/m/payload'}]}}}}\n"
        "components: {schemas: {x: {type: string}, y: {properties: {x: {type: integer}}}},\n"
        "  messages: {m: {payload: {$id: 'https://example.com/m', type: 'null'}}}}\n"
    )
    payload = describe_document(text).operations[0].messages[0].payload
    assert payload["anyOf"] == [{"$ref": "#/$defs/x"}, {"$ref": "#/$defs/x_2"}, {"$ref": "#/$defs/payload"}]
    assert payload["$defs"] == {
        "x": {"type": "string"},
        "x_2": {"type": "integer"},
        "payload": {"type": "null"},
    }


def test_a_schema_that_is_its_own_part_stays_valid():
    text = V2 + (
        "  c: {publish: {operationId: o, message: {payload: {$ref: '#/components/schemas/tree'}}}}\n"
        "components: {schemas: {tree: {type: object, properties: {left: {$ref: '#/components/schemas/tree'}}}}}\n"
    )
    payload = describe_document(text).operations[0].messages[0].payload
    assert payload == {"type": "object", "properties": {"left": {"$ref": "#"}}}


def test_what_only_looks_like_a_reference_is_left_alone():
    text = V2 + (
        "  c: {publish: {operationId: o, message: {payload: {properties: {$ref: {type: string}, $id: {type: string}},\n"
        "    enum: [{$ref: nowhere}], default: {$ref: 'http://elsewhere'}}}}}\n"
        "x-note: {$ref: './gone.yaml'}\n"
    )
    payload = describe_document(text).operations[0].messages[0].payload
    assert payload["properties"] == {"$ref": {"type": "string"}, "$id": {"type": "string"}}
    assert payload["enum"] == [{"$ref": "nowhere"}]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("[]", [("not-asyncapi", "")]),
        ("openapi: 3.0.0\ninfo: {}", [("not-asyncapi", "")]),
        ("asyncapi: 1.2.0", [("unsupported-version", "/asyncapi")]),
        ("asyncapi: 4.0.0", [("unsupported-version", "/asyncapi")]),
        ("asyncapi: 2.6", [("unsupported-version", "/asyncapi")]),
        ("asyncapi: 2.6.0", [("missing-property", "")]),
        (
            "asyncapi: 2.6.0\ninfo: {title: t, version: 1.0}\nchannels: []\n",
            [("invalid-value", "/info/version"), ("invalid-value", "/channels")],
        ),
        (
            V2 + "  c: {publish: {operationID: o}}\n",
            [
                ("missing-operation-id", "/channels/c/publish"),
                ("unknown-property", "/channels/c/publish/operationID"),
            ],
        ),
        (
            V2 + "  c: {publish: {operationId: o, message: {payload: {$ref: 'other.yaml#/x'}}}}\n",
            [("external-reference", "/channels/c/publish/message/payload/$ref")],
        ),
        (
            V2 + "  c: {publish: {operationId: o, message: {$ref: '#/components/messages/gone'}}}\n",
            [("unresolved-reference", "/channels/c/publish/message/$ref")],
        ),
        (
            V2 + "  {}\ncomponents: {messages: {unused: {$ref: 'https://example.com/m.yaml'}}}\n",
            [("external-reference", "/components/messages/unused/$ref")],
        ),
        (
            V2
            + "  c: {publish: {operationId: o, message: {$ref: '#/components/messages/a'}}}\n"
            + "components: {messages: {a: {$ref: '#/components/messages/b'}, b: {$ref: '#/components/messages/a'}}}\n",
            [
                ("circular-reference", "/components/messages/a"),
                ("circular-reference", "/components/messages/b"),
            ],
        ),
        (
            V2 + "  a: {publish: {operationId: o}, subscribe: {operationId: o}}\n",
            [("duplicate-operation", "/channels/a/subscribe/operationId")],
        ),
        (
            V2 + "  a: {servers: [x], publish: {operationId: o}}\n",
            [("unknown-server", "/channels/a/servers/0")],
        ),
        (
            V2 + "  a: {publish: {operationId: o, security: [{x: []}]}}\n",
            [("unknown-security-scheme", "/channels/a/publish/security/0/x")],
        ),
        (
            V2 + "  'a/{x}': {parameters: {y: {schema: {type: string}}}}\n",
            [
                ("undeclared-parameter", "/channels/a~1{x}"),
                ("unused-parameter", "/channels/a~1{x}/parameters/y"),
            ],
        ),
        (
            V2
            + "  a: {publish: {operationId: o, message: {schemaFormat: application/vnd.apache.avro;version=1.9.0,\n"
            + "    payload: {type: record, name: r, fields: []}}}}\n",
            [("unsupported-schema-format", "/channels/a/publish/message")],
        ),
        (
            V3
            + "channels: {c: {messages: {m: {payload: {schemaFormat: 'application/vnd.apache.avro;version=1.9.0',\n"
            + "  schema: 'string'}}}}}\noperations: {o: {action: send, channel: {$ref: '#/channels/c'}}}\n",
            [("unsupported-schema-format", "/channels/c/messages/m/payload")],
        ),
        (
            V2
            + "  a: {publish: {operationId: o, message: {contentType: application/x-protobuf, payload: {}}}}\n",
            [("unchecked-content-type", "/channels/a/publish/message")],
        ),
        (
            V2 + "  a: {publish: {operationId: o, message: {payload: {pattern: '(?=x)y'}}}}\n",
            [("unsupported-pattern", "/channels/a/publish/message/payload/pattern")],
        ),
        (
            V2
            + "  a: {publish: {operationId: o, message: {payload: {$schema: 'https://json-schema.org/draft/2020-12/schema'}}}}\n",
            [("unsupported-schema-format", "/channels/a/publish/message/payload/$schema")],
        ),
        (
            V2
            + "  a: {publish: {operationId: o, message: {payload: {$ref: '#/components/schemas/s'}}}}\n"
            + "components: {schemas: {s: {allOf: [{not: {$ref: '#/components/schemas/s'}}]}}}\n",
            [("endless-schema", "/channels/a/publish/message/payload")],
        ),
        (
            V3
            + "channels: {c: {address: c}}\n"
            + "operations: {o: {action: send, channel: {$ref: '#/channels/c'},\n"
            + "  messages: [{$ref: '#/components/messages/m'}]}}\n"
            + "components: {messages: {m: {}}}\n",
            [("message-not-in-channel", "/operations/o/messages/0")],
        ),
        (
            V3
            + "channels: {c: {address: c, servers: [{$ref: '#/components/servers/s'}]}}\n"
            + "components: {servers: {s: {host: h, protocol: p}}}\n",
            [("unknown-server", "/channels/c/servers")],
        ),
        (
            V2
            + "  a: {bindings: {x: {$ref: '#/components/schemas/s'}}}\n"
            + "components: {schemas: {s: {not: {$ref: '#/components/schemas/s'}}}}\n",
            [("circular-reference", "/components/schemas/s/not")],
        ),
    ],
)
def test_problems_are_told_with_their_pointers(text, problems):
    assert found(text) == problems


def test_all_problems_are_told_at_once_in_document_order():
    text = (
        "asyncapi: 2.0.0\n"
        "info:\n"
        "  title: 7\n"
        "  titel: x\n"
        "channels:\n"
        "  c:\n"
        "    c: 1\n"
        "    publish: {message: {payload: {type: objekt, type: object}, messageId: m}}\n"
        "    subscribe: {message: {$ref: '#/nowhere'}}\n"
    )
    problems = lint(text)
    assert [(problem.code, problem.line) for problem in problems] == [
        ("missing-property", 2),
        ("invalid-value", 3),
        ("unknown-property", 4),
        ("unknown-property", 7),
        ("missing-operation-id", 8),
        ("duplicate-key", 8),
        ("unknown-property", 8),
        ("missing-operation-id", 9),
        ("unresolved-reference", 9),
    ]
    with pytest.raises(InvalidSpec) as raised:
        describe_document(text, name="x.yaml")
    assert raised.value.problems == problems
    assert str(raised.value).splitlines()[1] == "x.yaml:3:3: invalid-value: 'title' must be text; quote it"


def test_an_unknown_property_is_told_with_the_one_that_was_meant():
    (problem,) = lint(V2 + "  {}\ncomponents: {message: {}}\n")
    assert "did you mean 'messages'?" in problem.message


def test_no_more_than_a_hundred_problems_are_told_and_errors_come_first():
    channels = "".join(f"  c{n}: {{publish: {{}}}}\n" for n in range(150))
    problems = lint(V2 + channels + "x: 1\n")
    assert len(problems) == 100
    assert sum(problem.severity == "error" for problem in problems) == 1


def test_schemas_that_add_up_to_too_much_are_refused():
    properties = ", ".join(f"p{n}: {{type: string}}" for n in range(1000))
    channels = "".join(
        f"  c{n}: {{publish: {{operationId: o{n}, message: {{payload: {{$ref: '#/components/schemas/s'}}}}}}}}\n"
        for n in range(500)
    )
    assert found(V2 + channels + f"components: {{schemas: {{s: {{properties: {{{properties}}}}}}}}}\n") == [
        ("too-large", "")
    ]


@pytest.mark.parametrize(
    "text",
    [
        # many operations, each with many servers
        "servers:\n"
        + "".join(f"  s{n}: {{host: h, protocol: p}}\n" for n in range(500))
        + "channels: {c: {address: c}}\noperations:\n"
        + "".join(f"  o{n}: {{action: send, channel: {{$ref: '#/channels/c'}}}}\n" for n in range(500)),
        # many operations, each with many messages
        "channels: {c: {messages: {"
        + ", ".join(f"m{n}: {{}}" for n in range(500))
        + "}}}\noperations:\n"
        + "".join(f"  o{n}: {{action: send, channel: {{$ref: '#/channels/c'}}}}\n" for n in range(500)),
        # many references to one large trait
        "channels: {c: {}}\noperations:\n"
        + "".join(
            f"  o{n}: {{action: send, channel: {{$ref: '#/channels/c'}}, traits: [{{$ref: '#/x-t'}}]}}\n"
            for n in range(800)
        )
        + f"x-t: {{{', '.join(f'x-{n}: 1' for n in range(1000))}}}\n",
        # many references to one large security scheme
        "channels: {c: {}}\noperations: {o: {action: send, channel: {$ref: '#/channels/c'}, security: ["
        + ", ".join("{$ref: '#/x-s'}" for _ in range(800))
        + f"]}}}}\nx-s: {{type: plain, {', '.join(f'x-{n}: 1' for n in range(1000))}}}\n",
    ],
    ids=["servers", "messages", "traits", "security"],
)
def test_what_multiplies_between_operations_is_bounded(text):
    assert found(V3 + text) == [("too-large", "")]


def test_too_many_traits_on_one_object_are_refused():
    traits = ", ".join("{summary: s}" for _ in range(101))
    text = V2 + f"  c: {{publish: {{operationId: o, traits: [{traits}]}}}}\n"
    assert found(text) == [("too-large", "/channels/c/publish/traits")]


def test_a_chain_of_references_without_end_is_given_up():
    chain = ", ".join(f"m{n}: {{$ref: '#/components/messages/m{n + 1}'}}" for n in range(200))
    text = V2 + "  {}\ncomponents: {messages: {" + chain + ", m200: {}}}\n"
    assert {code for code, _ in found(text)} == {"unresolved-reference"}


def test_a_reference_through_many_schemas_does_not_exhaust_the_stack():
    schemas = ", ".join(f"s{n}: {{items: {{$ref: '#/components/schemas/s{n + 1}'}}}}" for n in range(3000))
    text = (
        V2
        + "  c: {publish: {operationId: o, message: {payload: {$ref: '#/components/schemas/s0'}}}}\n"
        + f"components: {{schemas: {{{schemas}, s3000: {{type: string}}}}}}\n"
    )
    assert len(describe_document(text).operations[0].messages[0].payload["$defs"]) == 3000


def test_bindings_nested_through_references_are_bounded():
    schemas = ", ".join(f"s{n}: {{items: {{$ref: '#/components/schemas/s{n + 1}'}}}}" for n in range(3000))
    text = (
        V2
        + "  c: {bindings: {kafka: {key: {$ref: '#/components/schemas/s0'}}}}\n"
        + f"components: {{schemas: {{{schemas}, s3000: {{type: string}}}}}}\n"
    )
    assert [code for code, _ in found(text)] == ["too-deep"]


def test_a_channel_of_version_2_is_found_by_its_side():
    description = describe_document(ORDERS)
    assert description.find(operation="createOrder").id == "createOrder"
    assert description.find(channel="orders/{region}/created", workflow_may="publish").id == "createOrder"
    assert description.find(channel="orders/audit").id is None
    with pytest.raises(Conflict, match=r"createOrder \(publish\), orderCreated \(subscribe\)"):
        description.find(channel="orders/{region}/created")
    with pytest.raises(NotFound, match="may only subscribe"):
        description.find(channel="orders/audit", workflow_may="publish")
    with pytest.raises(NotFound, match="did you mean 'orders/audit'"):
        description.find(channel="order/audit")
    with pytest.raises(NotFound, match="may only publish"):
        description.find(operation="createOrder", workflow_may="subscribe")
    with pytest.raises(NotFound, match="is on the channel"):
        description.find(operation="createOrder", channel="orders/audit")
    with pytest.raises(NotFound):
        description.find()


def test_a_channel_of_version_3_is_found_by_its_name_too():
    description = describe_document(LIGHTS)
    assert description.find(channel="lightTurnOn").id == "turnOn"
    assert description.find(channel="lights/{id}/on").id == "turnOn"


def test_the_digest_is_that_of_the_text():
    assert describe_document(ORDERS).digest == describe_document(ORDERS).digest
    assert describe_document(ORDERS).digest != describe_document(ORDERS + "\n").digest


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([ORDERS, LIGHTS]),
    st.integers(0, len(ORDERS)),
    st.integers(0, 30),
    st.sampled_from(
        ["", " ", "\n", ": ", "- ", "{", "]", "$ref: '#/components'", "x", "null", "*a", "&a ", "'", "7"]
    ),
)
def test_a_damaged_document_is_read_or_refused_with_problems(text, start, length, put):
    assert all(problem.message for problem in lint(text[:start] + put + text[start + length :]))
