"""Counters of this process, and their Prometheus text form (exposition format 0.0.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


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

    def render(self, channels: Iterable[Mapping[str, object]] = (), parked: int | None = None) -> str:
        """The text that Prometheus scrapes; of *channels* every number is shown, by the name of its member.

        *parked* is how many runs a bug of the engine holds up, if that is known.
        """
        lines = _family("wfe_http_requests_total", "counter", "Requests answered, by route and status.")
        for (method, route, status), count in sorted(self.requests.items()):
            labels = _labels(method=method, route=route, status=str(status))
            lines.append(f"wfe_http_requests_total{labels} {count}")
        lines += _family("wfe_http_request_seconds", "summary", "How long requests took, by route.")
        counts: Counter[tuple[str, str]] = Counter()
        for (method, route, _), count in self.requests.items():
            counts[method, route] += count
        for (method, route), seconds in sorted(self.seconds.items()):
            labels = _labels(method=method, route=route)
            lines.append(f"wfe_http_request_seconds_sum{labels} {seconds:.6f}")
            lines.append(f"wfe_http_request_seconds_count{labels} {counts[method, route]}")
        lines += _family("wfe_http_requests_in_flight", "gauge", "Requests being answered now.")
        lines.append(f"wfe_http_requests_in_flight {self.in_flight}")
        lines += _family("wfe_events_published_total", "counter", "Events accepted over HTTP, by channel.")
        for (channel, duplicate), count in sorted(self.events.items()):
            labels = _labels(channel=channel, duplicate=str(duplicate).lower())
            lines.append(f"wfe_events_published_total{labels} {count}")
        if parked is not None:
            lines += _family("wfe_runs_parked", "gauge", "Runs that a bug of the engine holds up now.")
            lines.append(f"wfe_runs_parked {parked}")
        return "\n".join([*lines, *_gauges(channels)]) + "\n"


def _gauges(channels: Iterable[Mapping[str, object]]) -> list[str]:
    """One gauge for each numeric member of a channel."""
    samples: dict[str, list[str]] = {}
    for channel in channels:
        labels = _labels(channel=str(channel.get("name", "")))
        for member, value in channel.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                samples.setdefault(f"wfe_channel_{member}", []).append(
                    f"wfe_channel_{member}{labels} {value}"
                )
    lines: list[str] = []
    for name, found in samples.items():
        what = name.removeprefix("wfe_channel_").replace("_", " ")
        lines += [*_family(name, "gauge", f"{what.capitalize()} of the channel."), *found]
    return lines


def _family(name: str, kind: str, help: str) -> list[str]:
    return [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]


def _labels(**labels: str) -> str:
    escaped = (
        (name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for name, value in labels.items()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"
