"""Counters of this process, and their Prometheus text form (exposition format 0.0.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workflow_engine.api import operating
from workflow_engine.api.operating import family, labels
from workflow_engine.engine.runtime import Load

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CHANNEL = {
    "events": "Events that are kept.",
    "bytes": "How many bytes they have.",
    "lag": "Events that the router has not looked at yet.",
    "catching_up": "Subscriptions that still read events from before they were made.",
    "listeners": "Listeners of runs that wait for events.",
}


@dataclass
class Metrics:
    """What has happened since the process started. *seconds* are those in which requests were answered."""

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    seconds: Counter[tuple[str, str]] = field(default_factory=Counter)
    events: Counter[tuple[str, bool]] = field(default_factory=Counter)
    in_flight: int = 0

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request to *route*, the template of its path, was answered."""
        self.requests[method, route, status] += 1
        self.seconds[method, route] += seconds  # type: ignore[assignment]

    def published(self, channel: str, duplicate: bool) -> None:
        """An event was accepted."""
        self.events[channel, duplicate] += 1

    def render(
        self,
        channels: Iterable[Mapping[str, object]] = (),
        *,
        backlog: Mapping[str, Any] | None = None,
        parked: int | None = None,
        load: Load | None = None,
        parts: Mapping[str, str | None] | None = None,
        disk: tuple[int, int] | None = None,
        heard: Iterable[tuple[str, Mapping[str, Any]]] = (),
        issuer: tuple[bool, float | None] | None = None,
        warnings: Collection[str] = (),
    ) -> str:
        """The text that Prometheus scrapes; of *channels* every number is shown, by the name of its member.

        *backlog* is as `events.backlogs.describe` has it, *parked* how many runs a bug of the engine holds up,
        *parts* why each does not work, *disk* how many bytes are free, of how many, and *issuer* whether the issuer
        of tokens answers, and how old its keys are. *heard*: how each source is that this process hears at a broker.
        *warnings*: what
        deserves a look. What is not known is left out.
        """
        return "\n".join(
            [
                *self._requests(),
                *operating.parts(parts or {}),
                *(operating.backlog(backlog) if backlog is not None else ()),
                *(operating.parked(parked) if parked is not None else ()),
                *(operating.load(load) if load is not None else ()),
                *(operating.disk(*disk) if disk is not None else ()),
                *operating.heard(heard),
                *(operating.issuer(*issuer) if issuer is not None else ()),
                *operating.warnings(warnings),
                *_gauges(channels),
                "",
            ]
        )

    def _requests(self) -> Iterator[str]:
        yield from family("wfe_http_requests_total", "counter", "Requests answered, by route and status.")
        for (method, route, status), count in sorted(self.requests.items()):
            yield f"wfe_http_requests_total{labels(method=method, route=route, status=str(status))} {count}"
        yield from family("wfe_http_request_seconds", "summary", "How long requests took, by route.")
        counts: Counter[tuple[str, str]] = Counter()
        for (method, route, _), count in self.requests.items():
            counts[method, route] += count
        for (method, route), seconds in sorted(self.seconds.items()):
            of = labels(method=method, route=route)
            yield f"wfe_http_request_seconds_sum{of} {seconds:.6f}"
            yield f"wfe_http_request_seconds_count{of} {counts[method, route]}"
        yield from family("wfe_http_requests_in_flight", "gauge", "Requests being answered now.")
        yield f"wfe_http_requests_in_flight {self.in_flight}"
        yield from family("wfe_events_published_total", "counter", "Events accepted over HTTP, by channel.")
        for (channel, duplicate), count in sorted(self.events.items()):
            of = labels(channel=channel, duplicate=str(duplicate).lower())
            yield f"wfe_events_published_total{of} {count}"


def _gauges(channels: Iterable[Mapping[str, object]]) -> list[str]:
    """One gauge for each numeric member of a channel."""
    samples: dict[str, list[str]] = {}
    for channel in channels:
        of = labels(channel=str(channel.get("name", "")))
        for member, value in channel.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                samples.setdefault(f"wfe_channel_{member}", []).append(f"wfe_channel_{member}{of} {value}")
    lines: list[str] = []
    for name, found in samples.items():
        member = name.removeprefix("wfe_channel_")
        help = _CHANNEL.get(member, f"{member.replace('_', ' ').capitalize()} of the channel.")
        lines += [*family(name, "gauge", help), *found]
    return lines
