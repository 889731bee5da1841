"""What the API answers and takes about events, channels and subscriptions, as OpenAPI documents it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

_TIME = "RFC 3339, in UTC"


class PublishedModel(BaseModel):
    """An event that is stored."""

    id: str = Field(description="The event's `id`", examples=["b1946ac9"])
    position: str = Field(description="Where it is in its channel: `partition:offset`", examples=["0:42"])
    duplicate: bool = Field(description="It was there already; the position is that of the first")


class AcceptedModel(BaseModel):
    """The events of the request, in order; each is durable."""

    accepted: list[PublishedModel]


class FoundModel(BaseModel):
    """An event in its channel."""

    channel: str = Field(examples=["default"])
    position: str = Field(examples=["0:42"])
    received: str = Field(description=_TIME)
    event: dict[str, Any] = Field(description="CloudEvent 1.0 in its JSON format")
    redriven: str | None = Field(
        None, description="Of a dead letter: when its delivery was last tried again; null if it was not"
    )


class EventsModel(BaseModel):
    """Events, newest first."""

    events: list[FoundModel]
    cursor: str | None = Field(description="Send it to get the next page; null on the last")


class AttemptModel(BaseModel):
    """One attempt to deliver an event."""

    n: int = Field(description="From 1")
    at: str = Field(description=_TIME)
    status: str
    ms: float = Field(description="How long it took")
    code: str = Field(description="The answer of the target")
    detail: str
    reference: str = Field(description="What came of it, such as the id of a run")
    delivery: str


class NoteModel(BaseModel):
    at: str = Field(description=_TIME)
    status: str
    detail: str


class RecipientModel(BaseModel):
    """What became of an event for one subscription, or one run that listens."""

    subscription: str | None = None
    run_id: str | None = None
    listen_id: str | None = None
    state: str = Field(description="pending, delivered, dead, held, dropped or none")
    due: str | None = Field(None, description="When the next attempt is made")
    attempts: list[AttemptModel]
    notes: list[NoteModel] = Field(description="Filters that failed, and why an event was held")


class TraceModel(FoundModel):
    """What became of an event."""

    state: str = Field(description="dead, pending or delivered; none if nobody wanted it")
    recipients: list[RecipientModel]


class TracesModel(BaseModel):
    """Every event of that id, newest first: sources may use the same."""

    traces: list[TraceModel]


class EventChannelModel(BaseModel):
    """A named log of events."""

    name: str = Field(examples=["default"])
    partitions: int = Field(description="Dispatched in parallel; a key keeps its order")
    dedupe_seconds: float | None = Field(description="How long duplicates are found; null is for ever")
    events: int
    bytes: int
    oldest: str | None = Field(description=f"When the oldest event was received; {_TIME}")
    lag: int = Field(description="Events that are not dispatched yet")
    subscriptions: int
    catching_up: int = Field(description="Subscriptions and runs that still read older events")
    listeners: int = Field(description="Waiting runs")


class StoreModel(BaseModel):
    kind: str = Field(description="memory, sqlite, postgresql, nats, or another", examples=["sqlite"])
    durable: bool = Field(description="Whether it outlives this process")
    shared: bool = Field(description="Whether several processes may have it at once")


class HearingModel(BaseModel):
    id: str = Field(description="Of the subscription", examples=["orders-to-audit"])
    target: str = Field(description="Of which kind", examples=["webhook"])
    enabled: bool


class FeedingModel(BaseModel):
    id: str = Field(description="Of the source", examples=["github"])
    source: str = Field(
        alias="from", description="`webhooks`, or an operation of the catalog", examples=["webhooks"]
    )


class ChannelShownModel(EventChannelModel):
    """A channel, with where it is kept, who hears it, and what feeds it."""

    store: StoreModel
    heard_by: list[HearingModel] = Field(description="By id; the first 100 of those that the token sees")
    fed_by: list[FeedingModel] = Field(description="Sources by id; the first 100")


class ChannelsModel(BaseModel):
    channels: list[EventChannelModel]
    cursor: str | None = Field(description="Send it to get the next page; null on the last")


class RetryModel(BaseModel):
    """When a delivery that failed is made again. Times are in seconds; null is no limit."""

    max_attempts: int | None = 10
    max_age: float | None = 86400.0
    initial: float = 1.0
    factor: float = 2.0
    max_delay: float = 600.0
    jitter: bool = True
    timeout: float = Field(default=30.0, description="For one attempt")


class SubscriptionModel(BaseModel):
    """Who gets which events of a channel."""

    id: str | None = Field(None, description="As in the address", examples=["orders-to-audit"])
    channel: str = Field("default", examples=["default"])
    strategy: dict[str, Any] = Field(
        default={"mode": "any", "filters": []},
        description="Which events: `mode` is `one`, `any` or `all` of its `filters`; not needed next to `filters`",
        examples=[{"mode": "any", "filters": [{"attributes": {"type": {"equals": "order.placed"}}}]}],
    )
    filters: list[dict[str, Any]] | None = Field(
        None,
        description="All of these must be true of an event: each has one of `exact`, `prefix`, `suffix`, `all`, `any`, "
        "`not` and `sql` (CloudEvents Subscriptions API), `pattern` (as of Amazon EventBridge) and `eventgrid` (as of "
        "Huawei EventGrid)",
        examples=[
            [{"sql": "type LIKE 'order.%'"}, {"pattern": {"data": {"amount": [{"numeric": [">", 100]}]}}}]
        ],
    )
    target: dict[str, Any] = Field(
        description="Where they go: `kind` is `workflow` (with `namespace` and `name`), `channel` (with `channel`), "
        "`webhook` (with `url`), `asyncapi` (with `operation`) or `pull`",
        examples=[{"kind": "workflow", "namespace": "shop", "name": "order"}],
    )
    within: str | None = Field(
        None,
        description="How long events are gathered that are one delivery together, from the first on, ISO 8601; what "
        "has come is forgotten then",
    )
    start: str = Field("latest", description="`latest`, `earliest` or an RFC 3339 timestamp")
    retry: RetryModel = Field(default_factory=RetryModel)
    enabled: bool = Field(True, description="When not, it keeps its place and its deliveries")
    max_in_flight: int = Field(16, description="Deliveries with the target at a time")
    in_order: bool = Field(
        False,
        description="One at a time in the order of the channel: those with equal correlation values, or all",
    )
    transform: dict[str, Any] | None = Field(
        None,
        description="What the target gets of each event: `data` or `event`, a template of JSON and expressions",
        examples=[{"data": {"order": "${ .data.id }"}}],
    )
    until: str | None = Field(
        None, description="No events received then or later, RFC 3339; with a `start` in the past, a replay"
    )


class SubscriptionsModel(BaseModel):
    subscriptions: list[SubscriptionModel]
    cursor: str | None = Field(description="Send it to get the next page; null on the last")


class FilterTestModel(BaseModel):
    """One of `filter`, `filters` and `strategy`, and an event. `filter` and `filters` are those of a strategy, or in
    dialects as a subscription has them, then also next to a `strategy`.
    """

    filter: dict[str, Any] | None = Field(
        None, examples=[{"attributes": {"type": {"equals": "order.placed"}}}]
    )
    filters: list[dict[str, Any]] | None = None
    strategy: dict[str, Any] | None = None
    transform: dict[str, Any] | None = None
    event: dict[str, Any] = Field(
        examples=[{"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.placed"}]
    )


class MatchesModel(BaseModel):
    matches: bool
    filters: list[int] = Field(
        description="Which filters it satisfies, from 0; of the strategy where one is given"
    )
    errors: list[str] = Field(description="Tests that could not be evaluated, which do not match")
    output: dict[str, Any] | None = Field(None, description="What the transform makes of it")


class LentDeliveryModel(BaseModel):
    receipt: str
    events: list[dict[str, Any]] = Field(description="CloudEvents, as the subscription transforms them")
    positions: list[str]
    attempt: int = Field(description="From 1")
    until: str = Field(description=f"When it is lent again, unless it is settled; {_TIME}")


class LentModel(BaseModel):
    deliveries: list[LentDeliveryModel]


class SettleModel(BaseModel):
    """What became of deliveries, by their receipts."""

    ack: list[str] = Field(default_factory=list, description="Done")
    nack: list[dict[str, Any]] = Field(
        default_factory=list,
        description="To be lent again: `receipt`, and `after` how many seconds; as the policy says if absent",
        examples=[[{"receipt": "…", "after": 30}]],
    )
    reject: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Dead letters: `receipt` and `reason`",
        examples=[[{"receipt": "…", "reason": "no such order"}]],
    )


class SettledModel(BaseModel):
    settled: int
    late: list[str] = Field(description="Receipts of deliveries that were no longer on loan")


class SeekModel(BaseModel):
    start: str = Field(description="`latest`, `earliest` or an RFC 3339 timestamp", examples=["earliest"])


class RedrivenModel(BaseModel):
    redriven: int


class NewChannelModel(BaseModel):
    """How a new channel is made."""

    partitions: int = Field(
        1, ge=1, le=256, description="Dispatched in parallel; equal keys keep their order"
    )
    dedupe_seconds: float | None = Field(
        None, description="How long duplicates are found; for ever if absent"
    )
