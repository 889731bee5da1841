"""Parameters of paths and queries, as several endpoints have them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

MAX_WAIT = 60.0


Namespace = Annotated[
    str, Path(description="Namespace of the workflow; `default` for DSL 0.8", max_length=500)
]
Name = Annotated[str, Path(description="Name of the workflow; for DSL 0.8 its `id`", max_length=500)]
Version = Annotated[str, Path(description="Version of the workflow, or `latest`", max_length=500)]
RunId = Annotated[str, Path(description="Id of the run", max_length=1000, examples=["order-5f0c4d5e"])]
Wait = Annotated[
    float | None,
    Query(
        ge=0,
        le=MAX_WAIT,
        allow_inf_nan=False,
        description="How many seconds to wait for the run to end before answering",
        examples=[10],
    ),
]
Express = Annotated[
    bool | None,
    Query(
        description="True: all short calls are made within the workflow task, more than once if a worker is lost; "
        "false: each call is an activity; by default as the workflow says, else as many as lose nothing by it"
    ),
]
Mapped = Annotated[
    list[str] | None,
    Query(
        description="What states are called in the other version: `/pointer/now=/pointer/then`, as often as needed",
        examples=[["/do/1/pay=/do/2/charge"]],
    ),
]
NewRunId = Annotated[
    str | None,
    Query(
        alias="id",
        max_length=1000,
        description="Id of the new run, for starting it once however often this is sent; by default a new one",
        examples=["order-4711"],
    ),
]
