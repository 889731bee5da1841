"""What is sent and answered where runs are controlled: shapes for the documentation."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


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
