"""What is sent and answered where runs are controlled: shapes for the documentation."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema


class RetryModel(BaseModel):
    """How a run that has ended is to go on; every member may be missing."""

    state: str | None = Field(
        None,
        description="Where: a state around the failed one, to do all of it again, or another one of the same list, "
        "with `data`; by default the failed state",
        examples=["/do/1/pay"],
    )
    data: Any = Field(None, description="Raw input of that state, instead of what it got")
    context: Any = Field(None, description="`$context` there, instead of what it was")
    input: Any = Field(None, description="Input of the run, instead of what it was: `$workflow.input`")
    version: str | None = Field(None, description="Version of the workflow to go on with, or `latest`")
    map: list[str] = Field(
        default=[],
        description="What states are called in that version: `/pointer/then=/pointer/now`",
        examples=[["/do/1/pay=/do/2/charge"]],
    )
    new_keys: bool = Field(False, description="Calls get new idempotency keys, as they do with other data")


class SkipModel(BaseModel):
    """How a state is left out; every member may be missing."""

    state: str | None = Field(
        None, description="Which one, if the run stands at several", examples=["/do/1/pay"]
    )
    output: Any = Field(None, description="What comes of it; by default its input")
    context: Any = Field(None, description="`$context` there, instead of what it was")


class EditModel(BaseModel):
    """What is changed of a suspended run."""

    state: str | None = Field(None, description="Before which state, if the run stands at several")
    data: Any = Field(None, description="Raw input of that state")
    context: Any = Field(None, description="`$context` there")


class StandingModel(BaseModel):
    """A state at which a run stands, or stood."""

    id: str = Field(description="RFC 6901 pointer into the document", examples=["/do/1/pay"])
    name: str
    failed: bool = Field(description="The run has faulted here")
    data: Any = Field(description="Its raw input")
    context: Any = Field(description="`$context` there")


class StandingsModel(BaseModel):
    states: list[StandingModel]


class BatchQueryModel(BaseModel):
    """Which runs; every member may be missing, and all that are there must hold."""

    namespace: str | None = None
    workflow: str | None = Field(None, description="Name of the workflow")
    version: str | None = None
    status: str | None = Field(
        None,
        description="By default what the command is for: `faulted` for retry and skip, `suspended` for resume",
    )
    error: str | None = Field(
        None,
        description="Type of the error of a faulted run, or the last part of it",
        examples=["communication"],
    )
    started_after: str | None = Field(None, description="Begun then or later, RFC 3339")
    started_before: str | None = Field(None, description="Begun before then, RFC 3339")
    attributes: dict[str, str] = Field(
        default={}, description="Search attributes of Temporal, and their values"
    )


class BatchRequestModel(BaseModel):
    """What is to be done to which runs."""

    command: str = Field(description="cancel, terminate, suspend, resume, retry or skip", examples=["retry"])
    query: Annotated[  # in full: where this model stands in the API's document there is nothing to refer to
        BatchQueryModel | None, WithJsonSchema(BatchQueryModel.model_json_schema())
    ] = Field(None, description="Which runs; `{}` is all of the status")
    ids: list[str] | None = Field(None, description="Or these runs")
    dry_run: bool = Field(False, description="Only tell how many runs it would be")
    rate: float = Field(20, description="How many runs a second, at most 1,000")
    reason: str | None = Field(None, description="For who looks at terminated runs later")
    state: str | None = Field(None, description="As for one run, like those that follow")
    data: Any = None
    context: Any = None
    output: Any = None
    version: str | None = None
    new_keys: bool = False


class BatchModel(BaseModel):
    """What a batch would be about."""

    command: str
    total: int = Field(description="How many runs")
    more: bool = Field(description="There are more than one batch takes")
    runs: list[str] = Field(description="The first ones")


class BatchResultModel(BaseModel):
    run: str
    status: str = Field(description="done, refused or failed")
    detail: str = Field(description="Why")


class BatchProgressModel(BaseModel):
    """How far a batch is."""

    id: str
    command: str
    status: str = Field(description="finding, running, completed, cancelled or faulted")
    total: int
    done: int
    refused: int = Field(description="Runs that are not as the command needs them, or have gone on since")
    failed: int
    more: bool = Field(description="There were more runs than one batch takes: begin another one")
    results: list[BatchResultModel]
