"""What goes over HTTP about events that wait and that were given up; the OpenAPI document shows it."""

from __future__ import annotations

from pydantic import BaseModel, Field


class WaitingModel(BaseModel):
    """Deliveries that wait for their turn or their next attempt."""

    waiting: int
    oldest_seconds: float = Field(description="For how long the oldest has waited")
    attempts: int = Field(description="How often the one was tried that was tried most")
    filter_errors: int = Field(description="Events that filters could not judge, since this process began")


class WaitingForSubscriptionModel(WaitingModel):
    id: str = Field(examples=["workflow:shop/order"])
    channel: str = Field(examples=["default"])
    enabled: bool = Field(description="One that is not keeps its deliveries")


class DeadLettersModel(BaseModel):
    """Deliveries that were given up: they are events in channel `dead-letters`."""

    count: int
    oldest_seconds: float | None
    newest_seconds: float | None


class BacklogModel(BaseModel):
    subscriptions: list[WaitingForSubscriptionModel] = Field(description="By id, in pages")
    cursor: str | None = Field(description="Send it to get the next page; null on the last")
    listeners: WaitingModel = Field(description="Of all runs that listen together")
    dead_letters: DeadLettersModel
