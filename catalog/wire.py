"""What goes over HTTP: the shapes of the answers, which the OpenAPI document shows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class ProblemModel(BaseModel):
    """One thing wrong with a document."""

    code: str = Field(examples=["unresolved-reference"])
    message: str
    pointer: str = Field(description="RFC 6901 pointer into the document")
    line: int = Field(description="From 1; 0 where there is no place")
    column: int = Field(description="From 1; 0 where there is no place")
    severity: Literal["error", "warning"]


class ProblemDetails(BaseModel):
    """RFC 9457 problem details: the body of every answer of status 400 and above."""

    type: str = Field(description="`urn:wfe:problem:` and a code", examples=["urn:wfe:problem:not-found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no service 'orders'"])
    instance: str = Field(description="The path of the request", examples=["/v1/catalog/specs/orders"])
    problems: list[ProblemModel] = []


class SpecModel(BaseModel):
    """A registered AsyncAPI document."""

    name: str
    version: str = Field(description="`info.version` of the document")
    title: str = Field(description="`info.title` of the document")
    asyncapi: str = Field(description="Version of AsyncAPI it is written in")
    description: str | None
    digest: str = Field(description="`sha256:` and the digest of the text in hexadecimal")
    registered_at: str = Field(description="RFC 3339, in UTC")
    operation_count: int
    latest: bool = Field(description="Whether this is what a reference without a version means")
    text: str | None = Field(None, description="The document, if it was asked for with `text=true`")


class RegistrationModel(SpecModel):
    """What came of registering a document."""

    outcome: Literal["created", "unchanged", "replaced"]
    warnings: list[ProblemModel]


class SpecsModel(BaseModel):
    specs: list[SpecModel]
    cursor: str | None = Field(description="Send it to get the next page; null on the last")


class SecurityModel(BaseModel):
    """One way to authenticate; any one of a list is enough."""

    name: str
    type: str
    scopes: list[str]
    details: dict[str, Any] | None


class ServerModel(BaseModel):
    """A broker or host, as the document has it: texts may hold `{variables}`."""

    name: str
    url: str
    host: str
    pathname: str
    protocol: str
    protocol_version: str | None
    description: str | None
    variables: dict[str, Any] | None
    security: list[SecurityModel]
    bindings: dict[str, Any] | None


class ParameterModel(BaseModel):
    """A `{name}` in the address of a channel."""

    name: str
    description: str | None
    location: str | None = Field(description="Runtime expression: where a message carries the value")
    json_schema: Any = Field(alias="schema")


class ChannelModel(BaseModel):
    name: str
    address: str | None
    description: str | None
    parameters: list[ParameterModel]
    bindings: dict[str, Any] | None


class MessageModel(BaseModel):
    """A kind of message; its schemas are JSON Schema draft-07 and need no other document."""

    name: str
    title: str | None
    summary: str | None
    content_type: str
    payload: Any
    headers: Any
    correlation_id: str | None = Field(description="Runtime expression, such as `$message.header#/id`")
    bindings: dict[str, Any] | None


class ReplyModel(BaseModel):
    """Where answers come (AsyncAPI 3)."""

    channel: ChannelModel | None
    address_location: str | None
    messages: list[MessageModel]


class OperationModel(BaseModel):
    """Something a service sends or receives, with all that a caller needs."""

    service: str
    operation: str | None = Field(description="Its id; null in AsyncAPI 2 if the document gives none")
    title: str | None
    summary: str | None
    description: str | None
    tags: list[str]
    action: Literal["send", "receive"] = Field(description="What the service itself does")
    keyword: Literal["publish", "subscribe", "send", "receive"] = Field(
        description="As the document writes it"
    )
    workflow_may: Literal["publish", "subscribe"] = Field(description="What others may do")
    channel: str | None = Field(description="Its address; null if it is known only when running")
    channel_details: ChannelModel
    servers: list[ServerModel]
    security: list[SecurityModel]
    messages: list[MessageModel]
    reply: ReplyModel | None
    bindings: dict[str, Any] | None
    asyncapi: str
    version: str
    digest: str


class OperationsModel(BaseModel):
    operations: list[OperationModel]
    total: int = Field(description="How many there are on all pages")


class LintModel(BaseModel):
    valid: bool
    problems: list[ProblemModel]


class ValidationModel(BaseModel):
    """Whether a message fits an operation, and which of its messages it is."""

    valid: bool
    message: str | None
    problems: list[ProblemModel]


class MessageToCheck(BaseModel):
    payload: Any = None
    headers: dict[str, Any] = {}
