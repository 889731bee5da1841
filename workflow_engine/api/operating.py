"""What somebody who operates the engine watches, in the Prometheus text form: `docs/runbook.md` says what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from workflow_engine.engine.runtime import Load


def family(name: str, kind: str, help: str) -> list[str]:
    """The lines before the samples of *name*."""
    return [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]


def labels(**labels: str) -> str:
    escaped = (
        (name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for name, value in labels.items()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"


def parts(reasons: Mapping[str, str | None]) -> Iterator[str]:
    """By the name of each part why it does not work, or None."""
    yield from family("wfe_part_ready", "gauge", "Whether a part works, as /readyz says.")
    for part, reason in sorted(reasons.items()):
        yield f"wfe_part_ready{labels(part=part)} {int(reason is None)}"


def parked(number: int) -> Iterator[str]:
    yield from family("wfe_runs_parked", "gauge", "Runs that a bug of the engine holds up now.")
    yield f"wfe_runs_parked {number}"


def load(found: Load) -> Iterator[str]:
    """Runs, tasks and workers."""
    yield from family("wfe_runs_open", "gauge", "Runs that have not ended.")
    yield f"wfe_runs_open {found.open}"
    yield from family("wfe_runs_ended_last_hour", "gauge", "Runs that ended within the last hour.")
    for status, count in sorted(found.ended.items()):
        yield f"wfe_runs_ended_last_hour{labels(status=status)} {count}"
    yield from family(
        "wfe_workers", "gauge", "Workers that ask for tasks: to go on with runs, to make calls."
    )
    for kind, queue in sorted(found.queues.items()):
        yield f"wfe_workers{labels(tasks=kind)} {queue.workers}"
    told = {kind: queue for kind, queue in sorted(found.queues.items()) if queue.waiting is not None}
    yield from family("wfe_tasks_waiting", "gauge", "Tasks that no worker has taken yet, about.")
    for kind, queue in told.items():
        yield f"wfe_tasks_waiting{labels(tasks=kind)} {queue.waiting}"
    yield from family("wfe_tasks_oldest_seconds", "gauge", "For how long the oldest of them has waited.")
    for kind, queue in told.items():
        yield f"wfe_tasks_oldest_seconds{labels(tasks=kind)} {queue.seconds or 0:g}"


def backlog(found: Mapping[str, Any]) -> Iterator[str]:
    """Of subscriptions, of the runs that listen, and of dead letters."""
    each = [
        (labels(subscription=item["id"], channel=item["channel"]), item) for item in found["subscriptions"]
    ]
    listeners = found["listeners"]
    yield from family("wfe_subscription_enabled", "gauge", "Whether the subscription gets events.")
    for of, item in each:
        yield f"wfe_subscription_enabled{of} {int(item['enabled'])}"
    for member, suffix, help in (
        ("waiting", "waiting", "Deliveries that wait for their turn or their next attempt"),
        ("oldest_seconds", "oldest_seconds", "For how long the oldest of them has waited"),
        ("attempts", "attempts", "How often the one of them that was tried most was tried"),
    ):
        yield from family(f"wfe_subscription_{suffix}", "gauge", f"{help}.")
        for of, item in each:
            yield f"wfe_subscription_{suffix}{of} {item[member]:g}"
        yield from family(f"wfe_listeners_{suffix}", "gauge", f"{help}, of all runs that listen.")
        yield f"wfe_listeners_{suffix} {listeners[member]:g}"
    name = "wfe_subscription_filter_errors_total"
    yield from family(name, "counter", "Events that its filters could not judge: it did not get them.")
    for of, item in each:
        yield f"{name}{of} {item['filter_errors']}"
    letters = found["dead_letters"]
    yield from family("wfe_dead_letters", "gauge", "Deliveries that were given up and are kept.")
    yield f"wfe_dead_letters {letters['count']}"
    for member in ("oldest_seconds", "newest_seconds"):
        if letters[member] is not None:
            name = f"wfe_dead_letters_{member}"
            yield from family(name, "gauge", f"How old the {member.partition('_')[0]} of them is.")
            yield f"{name} {letters[member]:g}"


def warnings(about: Collection[str]) -> Iterator[str]:
    """What works on, and deserves a look."""
    if about:
        yield from family("wfe_warning", "gauge", "What works on, and deserves a look: /readyz says why.")
    for each in sorted(about):
        yield f"wfe_warning{labels(about=each)} 1"


def issuer(answers: bool, age: float | None) -> Iterator[str]:
    """Of the OpenID provider whose tokens count."""
    yield from family(
        "wfe_issuer_reachable", "gauge", "Whether the issuer of tokens gave its keys, last time."
    )
    yield f"wfe_issuer_reachable {int(answers)}"
    if age is not None:
        yield from family(
            "wfe_issuer_keys_seconds", "gauge", "How old the keys are that tokens are checked with."
        )
        yield f"wfe_issuer_keys_seconds {age:.0f}"


def disk(free: int, total: int) -> Iterator[str]:
    """Of the disk with the data folder."""
    yield from family("wfe_disk_free_bytes", "gauge", "Free on the disk with the data folder.")
    yield f"wfe_disk_free_bytes {free}"
    yield from family("wfe_disk_bytes", "gauge", "The size of that disk.")
    yield f"wfe_disk_bytes {total}"


def heard(sources: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Of the sources that this process hears at their brokers."""
    each = [(labels(source=id), id, told) for id, told in sources]
    yield from family(
        "wfe_source_up", "gauge", "Whether the source is heard: its broker is there, and the store."
    )
    for of, _, told in each:
        yield f"wfe_source_up{of} {int(told['state'] == 'hearing')}"
    yield from family("wfe_source_lag", "gauge", "Messages that wait at the broker, where it says so.")
    for of, _, told in each:
        if told["lag"] is not None:
            yield f"wfe_source_lag{of} {told['lag']}"
    help = "What messages became: events, events that were there, nothing for the filters, dead letters; or lost."
    yield from family("wfe_source_messages_total", "counter", help)
    for _, id, told in each:
        for outcome in ("stored", "duplicates", "filtered", "refused", "dropped"):
            yield f"wfe_source_messages_total{labels(source=id, outcome=outcome)} {told[outcome]}"
