"""What functions of a 0.8 document name by their ``operation``, as far as the document alone says it.

What is fetched when a workflow is deployed, and what the graph asks for, must be the same: both look here.
"""

from __future__ import annotations

from workflow_engine import expressions
from workflow_engine.dsl.uri_templates import parts
from workflow_engine.dsl.v0_8.variables import CONSTANTS
from workflow_engine.values import Json, JsonObject


def function_type(definition: JsonObject, operation: str | None = None) -> str:
    """The type of a function: ``rest`` by default, but two ``#`` make it ``rpc`` (decision B43)."""
    given = str(definition.get("type", "rest"))
    text = str(definition.get("operation")) if operation is None else operation
    return "rpc" if given == "rest" and text.count("#") > 1 else given


def known_text(text: str, constants: Json) -> str | None:
    """*text* with its expressions evaluated on the *constants* of the document; None where that is not possible.

    An expression that reads anything else cannot be evaluated before there is a run.
    """
    if "${" not in text:
        return text
    scope: JsonObject = {"CONST": constants if isinstance(constants, dict) else {}}
    known = ""
    for number, part in enumerate(parts(text)):
        if number % 2 == 0:
            known += part
            continue
        try:
            template = expressions.template(part, variables=CONSTANTS)
            value = None if expressions.reads_input(part) else template.evaluate(None, scope)
        except (expressions.ExpressionError, expressions.EvaluationError):
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        known += str(value)
    return None if "${" in known else known


def operation_of(definition: JsonObject, data: JsonObject) -> str | None:
    """The operation of a function of the document *data*, with its constants; None where it is not known yet.

    A document may be named by SonataFlow's extension ``workflow-uri-definitions``: ``definitions: {name: address}``.
    """
    text = known_text(str(definition.get("operation", "")), data.get("constants"))
    if text is None:
        return None
    name, hash, rest = text.partition("#")
    known = extension(data, "workflow-uri-definitions").get("definitions")
    address = known.get(name) if isinstance(known, dict) else None
    return f"{address}{hash}{rest}" if isinstance(address, str) else text


def extension(data: JsonObject, name: str) -> JsonObject:
    """What the document *data* has for the extension *name* of SonataFlow; empty where it has nothing."""
    listed = data.get("extensions")
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict) and item.get("extensionid") == name:
            return item
    return {}


def output_schema(data: JsonObject) -> tuple[str | None, bool]:
    """Where the schema of the output is that SonataFlow's extension names, and whether it must hold."""
    given = extension(data, "workflow-output-schema").get("outputSchema")
    known: JsonObject = given if isinstance(given, dict) else {"schema": given}
    address = known.get("schema")
    return address if isinstance(address, str) else None, known.get(
        "failOnValidationErrors", True
    ) is not False


def rpc_parts(operation: str) -> tuple[str, str, str]:
    """What stands before, between and after the last two ``#``; empty where missing.

    Of a function of type ``rpc`` that is the address of the proto, the service and the method; of one of type
    ``graphql`` the endpoint, ``query`` or ``mutation``, and the field.
    """
    first, second, third = [*operation.rsplit("#", 2), "", ""][:3]
    return first, second, third
