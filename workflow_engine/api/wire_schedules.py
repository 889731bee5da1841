"""What goes over HTTP about schedules; the OpenAPI document shows it."""

from __future__ import annotations

from pydantic import BaseModel, Field

_TIME = "RFC 3339, in UTC"


class ScheduledRunModel(BaseModel):
    """A run that the clock started, or somebody for it."""

    id: str = Field(examples=["shop.clean-up-2026-01-31T12:00:00Z"])
    due: str = Field(description=f"When it was to start; {_TIME}")
    started_at: str = Field(description=_TIME)


class ScheduleModel(BaseModel):
    """When the clock starts runs of a workflow: as one of `every`, `cron` and `after` says."""

    namespace: str = Field(description="`default` for DSL 0.8", examples=["shop"])
    name: str = Field(description="For DSL 0.8 its `id`", examples=["clean-up"])
    version: str = Field(description="The latest, which is what is run", examples=["1.0.0"])
    every: str | None = Field(description="An interval, in ISO 8601", examples=["PT1H"])
    cron: str | None = Field(description="Five fields", examples=["0 6 * * mon-fri"])
    after: str | None = Field(description="How long after the end of a run the next one starts")
    timezone: str | None = Field(description="Of `cron`", examples=["Europe/Rome"])
    paused: bool
    note: str = Field(description="Why it is paused")
    next: list[str] = Field(description=f"The coming moments, the nearest first; {_TIME}")
    running: list[str] = Field(description="Ids of runs that others wait for; of `cron` and `after`")
    recent: list[ScheduledRunModel] = Field(description="The last runs, the latest first")
    started: int = Field(description="How many runs were started")
    skipped: int = Field(description="How many moments of `cron` passed while a run went on")
    missed: int = Field(description="How many moments passed while nothing could be started")
    remark: str | None = Field(description="What is not so yet, or cannot be told, and why")


class SchedulesModel(BaseModel):
    schedules: list[ScheduleModel]
    cursor: str | None = Field(description="Send it to get the next page; null on the last")
