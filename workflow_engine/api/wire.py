"""What goes over HTTP: the shapes of requests and answers, which the OpenAPI document shows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from workflow_engine.api.wire_schedules import ScheduleModel

RunStatus = Literal["pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed"]

_NAMESPACE = Field(description="`default` for DSL 0.8", examples=["shop"])
_NAME = Field(description="For DSL 0.8 its `id`", examples=["order"])
_VERSION = Field(examples=["1.0.0"])
_TIME = "RFC 3339, in UTC"


class DocumentProblemModel(BaseModel):
    """One thing wrong with a document or a parameter."""

    code: str = Field(examples=["unknown-transition"])
    message: str = Field(examples=["there is no state 'ship'; did you mean 'shipping'?"])
    pointer: str = Field(description="RFC 6901 pointer into what was sent", examples=["/do/0/reserve/then"])
    line: int = Field(description="From 1; 0 where there is no place", examples=[12])
    column: int = Field(description="From 1; 0 where there is no place", examples=[7])
    severity: Literal["error", "warning"]


class ProblemAnswerModel(BaseModel):
    """RFC 9457 problem details: the body of every answer of status 400 and above."""

    type: str = Field(
        description="`urn:wfe:problem:` and a code that never changes",
        examples=["urn:wfe:problem:invalid-document"],
    )
    title: str = Field(examples=["Invalid document"])
    status: int = Field(examples=[400])
    detail: str = Field(description="What is wrong, and what to do")
    instance: str = Field(description="The path of the request", examples=["/v1/workflows"])
    problems: list[DocumentProblemModel] | None = Field(
        None, description="Everything wrong, in document order; or every reason why it is refused"
    )
    pointer: str | None = Field(None, description="RFC 6901 pointer into the body of the request")
    kind: str | None = Field(None, description="What kind of thing was not found")
    id: str | None = Field(None, description="What was not found")
    hint: str | None = Field(None, description="Where it may be instead")
    request_id: str | None = Field(None, description="What to look for in the log of the server")


class DeployedModel(BaseModel):
    """A workflow that is deployed."""

    namespace: str = _NAMESPACE
    name: str = _NAME
    version: str = _VERSION
    digest: str = Field(description="sha256 of the document with everything that it needs")
    dsl: Literal["1.0", "0.8"] = Field(description="Which DSL it is written in")
    warnings: list[DocumentProblemModel]
    schedule: ScheduleModel | None = Field(
        None, description="Where the clock starts it, being the latest version"
    )


class WorkflowModel(BaseModel):
    """One version of a deployed workflow."""

    namespace: str = _NAMESPACE
    name: str = _NAME
    version: str = _VERSION
    title: str = Field(examples=["Order"])
    dsl: Literal["1.0", "0.8"]
    digest: str = Field(description="sha256 of the document with everything that it needs")
    deployed_at: str = Field(description=_TIME, examples=["2026-01-31T12:00:00.000Z"])


class WorkflowsModel(BaseModel):
    """The latest version of every workflow, by namespace and name."""

    workflows: list[WorkflowModel]
    cursor: str | None = Field(description="Send it to get the next page; null on the last")


class VersionsModel(BaseModel):
    """Every version of a workflow, latest first."""

    namespace: str = _NAMESPACE
    name: str = _NAME
    versions: list[WorkflowModel]
    cursor: str | None = Field(description="Send it to get the next page; null on the last")


class DeletedVersionModel(BaseModel):
    version: str = _VERSION
    digest: str = Field(description="What it must be again, should the version be deployed again")


class DeletedModel(BaseModel):
    """What was deleted of a workflow."""

    namespace: str = _NAMESPACE
    name: str = _NAME
    versions: list[DeletedVersionModel] = Field(description="Latest first")
    latest: str | None = Field(
        description="The latest version now; null where none is left", examples=["1.0.0"]
    )
    runs: int = Field(description="How many runs of it are in flight, and go on; 1,000 are that or more")


class WorkflowTextModel(WorkflowModel):
    """One version of a workflow with its text, as the author wrote it."""

    text: str


class CheckedModel(BaseModel):
    """What deploying a document would complain of; with warnings alone it is valid."""

    valid: bool
    problems: list[DocumentProblemModel]


class PackageModel(BaseModel):
    """A document with the things that it refers to and that the server cannot reach."""

    document: str = Field(description="The workflow, as YAML or JSON text")
    name: str = Field("<text>", description="Name of the file, for messages")
    resources: dict[str, Any] = Field(default={}, description="What the document needs, by key")


class RunOnceModel(BaseModel):
    """A document to be run once."""

    document: str | dict[str, Any] = Field(description="The workflow, as YAML or JSON text or as an object")
    input: Any = Field(default={}, description="Input of the run")
    resources: dict[str, Any] = Field(default={}, description="What the document needs, by key")


class WorkflowNameModel(BaseModel):
    namespace: str = _NAMESPACE
    name: str = _NAME
    version: str = _VERSION


class StateModel(BaseModel):
    """A state at which a run stands."""

    id: str = Field(description="RFC 6901 pointer into the document", examples=["/do/0/reserve"])
    name: str = Field(examples=["reserve"])
    status: str = Field(description="Its phase: pending, running, waiting or suspended", examples=["running"])
    doing: str | None = Field(description="What it does or waits for", examples=["sleeping"])
    since: str | None = Field(description=_TIME)
    attempt: int = Field(1, description="The attempt that it makes or waits for", examples=[1])
    failure: str | None = Field(None, description="Why the attempt before failed")
    next_attempt: str | None = Field(None, description="When that begins for which it waits: " + _TIME)


class FaultModel(BaseModel):
    """Why a run faulted: RFC 9457 data of the specification."""

    type: str = Field(examples=["https://serverlessworkflow.io/spec/1.0.0/errors/communication"])
    status: int = Field(examples=[503])
    title: str | None = None
    detail: str | None = None
    instance: str | None = Field(None, description="Pointer of the state that raised it")


class VerdictModel(BaseModel):
    """Whether a run could go on with another version, or what has come of that."""

    run: str
    version: str | None = Field(description="Of its workflow, so far")
    answer: Literal["same", "could move", "cannot", "moved", "moving"]
    at: list[str] = Field(description="Where it stands", examples=[["/do/2/charge"]])
    reasons: list[dict[str, str]] = Field(description="Why it cannot: `state` and `why`")
    remarks: list[str] = Field(description="What a person should know before")


class ParkedModel(BaseModel):
    """A bug of the engine keeps the run where it is; it goes on once a fixed worker is there."""

    exception: str = Field(description="What the worker met; empty where only that it is parked is known")
    state: str | None = Field(description="Where, if that is known", examples=["/do/2/charge"])
    since: str | None = Field(description=_TIME)
    attempts: int = Field(description="How often a worker has failed at it in a row")
    trace: str = Field(description="Where in the engine")


class RunAttemptModel(BaseModel):
    """An attempt of a run that was retried after it."""

    execution: str = Field(description="Temporal's id of it")
    status: str = Field(description="How it ended: faulted or cancelled")
    error: FaultModel | None
    started_at: str | None = Field(description=_TIME)
    ended_at: str | None = Field(description=_TIME)
    then: str = Field(description="What was done about it", examples=["retry", "skip"])


class RunModel(BaseModel):
    """A run as it is now."""

    id: str = Field(examples=["order-5f0c4d5e"])
    workflow: WorkflowNameModel | None
    status: RunStatus
    input: Any
    output: Any = Field(description="Once it is completed")
    error: FaultModel | None = Field(description="Once it is faulted")
    states: list[StateModel] = Field(description="Where it is now; several in a fork")
    started_at: str | None = Field(description=_TIME)
    ended_at: str | None = Field(description=_TIME)
    temporal_url: str | None = Field(description="The run in the Temporal UI")
    remark: str | None = Field(None, description="What could not be found out, such as where it is, and why")
    parked: ParkedModel | None = Field(None, description="Only a run that a bug of the engine holds up")
    attempts: list[RunAttemptModel] = Field(
        default=[], description="Those before this one, oldest first: how each ended, and what was done then"
    )
    keys: list[str] = Field(
        default=[],
        description="`name=value`, by what it is found: of its input, or of the events that started it",
    )


class RunsModel(BaseModel):
    """Runs, newest first, without input and output."""

    runs: list[RunModel]
    cursor: str | None = Field(description="Send it to get the next page; null on the last")


class ListenModel(BaseModel):
    """A run that listens."""

    run_id: str
    listen_id: str = Field(description="Names the listener within the run", examples=["/do/2/wait/0"])
    spec: dict[str, Any] = Field(description="A strategy, as in a subscription")
    since: str = Field(description="RFC 3339: events received from then on count")
    channel: str = "default"


class ListenerModel(BaseModel):
    run_id: str
    listen_id: str
    channel: str
    delivered: int
    complete: bool


class RepairedModel(BaseModel):
    """What came of asking all open runs what they listen for."""

    runs: int = Field(description="Open runs")
    listeners: int = Field(description="What they listen for")
    registered: int = Field(description="Listeners that the router did not know")
    renewed: int = Field(description="Listeners to which it had given other events than the run has")
    unanswered: list[str] = Field(description="Runs that no worker could ask; at most 100 are named")


class ListenersModel(BaseModel):
    listeners: list[ListenerModel]
    cursor: str | None = Field(description="Send it to get the next page; null on the last")


class LiveModel(BaseModel):
    status: Literal["ok"]


class ReadyModel(BaseModel):
    """Whether requests can be served, and which part is missing if not."""

    status: Literal["ready", "not ready"]
    parts: dict[str, bool] = Field(
        examples=[{"temporal": False, "events": True, "catalog": True, "definitions": True}]
    )
    reasons: dict[str, str] = Field(
        description="Why a part does not work",
        examples=[{"temporal": "Temporal does not answer: Connection refused"}],
    )
    sources: dict[str, str] = Field(
        default_factory=dict,
        description="Why sources hear nothing from their brokers, by id; the server is ready all the same",
        examples=[{"orders": "'orders' at server 'production' (nats:4222): Connection refused"}],
    )
    warnings: dict[str, str] = Field(
        description="What works on, and deserves a look: `issuer`, of tokens, is away; `store` or `temporal` is older "
        "than the other; `asking`, runs that cannot be asked what they listen for; `disk`, there is hardly any room",
        examples=[{}],
    )
