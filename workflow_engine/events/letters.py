"""Dead letters: deliveries that were given up, kept as events that say why, and how to try them again."""

from __future__ import annotations

import json
from collections.abc import Iterable

import orjson

from workflow_engine.errors import Rejected
from workflow_engine.events.records import Position, Record, moment
from workflow_engine.events.spi import Parked
from workflow_engine.events.targets import Delivery
from workflow_engine.filters.envelope import CONTROL, MAX_INDEXED
from workflow_engine.values import Json, JsonObject, rfc3339

DEAD_LETTERS = "dead-letters"
"""The channel that dead letters are in. What is not delivered from there is not buried a second time."""
REDRIVEN = "redriven"
"""The status of a note in the trace of a letter whose delivery was tried again."""
MAX_ERROR = 1024
_DATA = frozenset({"data", "data_base64"})
_ADDED = frozenset(
    f"dlq{name}"
    for name in (
        "channel", "position", "subscription", "code", "reason", "attempts", "first", "last", "delivery",
    )
)  # fmt: skip


def letters(delivery: Delivery, item: Parked, code: str, reason: str, now_us: int) -> list[Record]:
    """Each event of the delivery as it is, with extension attributes that say why.

    They are ``dlqchannel``, ``dlqposition`` (where it is), ``dlqsubscription`` (its id, or ``run:…``), ``dlqcode``
    and ``dlqreason`` (the last answer), ``dlqattempts``, ``dlqfirst`` and ``dlqlast`` (times), and ``dlqdelivery``,
    which `revived` reads.
    """
    payload = {name: value for name, value in orjson.loads(item.payload).items() if name != "kept"}
    delivery_again = orjson.dumps([item.group, item.key, orjson.dumps(payload).decode()]).decode()
    buried = []
    for position, event in zip(delivery.positions, delivery.events, strict=False):
        letter: JsonObject = {
            **event,
            "dlqchannel": delivery.channel,
            "dlqposition": position,
            "dlqsubscription": delivery.subscription or item.group,
            "dlqcode": code[:MAX_ERROR],
            "dlqreason": _line(reason) or _line(code),
            "dlqattempts": delivery.attempt,
            "dlqfirst": rfc3339(moment(item.first_us)),
            "dlqlast": rfc3339(moment(now_us)),
            "dlqdelivery": delivery_again,
        }
        subject = event.get("subject")
        buried.append(
            Record(
                source=str(event["source"]),
                id=str(event["id"]),
                type=str(event["type"]),
                subject=subject if isinstance(subject, str) else None,
                key=delivery.subscription or item.group,
                time_us=now_us,
                body=orjson.dumps(letter),
                identity=f"{item.id} {item.first_us} {position}",
            )
        )
    return buried


def kept(letter: JsonObject, around: Iterable[JsonObject]) -> dict[str, JsonObject]:
    """The events of the delivery that *letter* is of, by their positions, as far as it and the letters *around* it have
    them: what they were before they were buried.
    """
    return {
        str(each["dlqposition"]): {name: value for name, value in each.items() if name not in _ADDED}
        for each in (letter, *around)
        if each.get("dlqdelivery") == letter["dlqdelivery"]
    }


def refusal(source: str, channel: str, event: JsonObject, code: str, reason: str, now_us: int) -> Record:
    """What a *source* heard and *channel* does not take: the *event* that it would be, and why. No delivery was made.

    ``dlqsource`` is the source, and ``dlqsubscription`` is ``source:`` and its id. The same event is one letter. What
    stores cannot have in an attribute is replaced there, and data that is too deep to be written becomes a text.
    """
    whose, now = f"source:{source}", rfc3339(moment(now_us))
    letter: JsonObject = {
        **{name: value if name in _DATA else _storable(value) for name, value in _plain(event).items()},
        "dlqchannel": channel,
        "dlqsource": source,
        "dlqsubscription": whose,
        "dlqcode": code[:MAX_ERROR],
        "dlqreason": _line(reason) or _line(code),
        "dlqattempts": 1,
        "dlqfirst": now,
        "dlqlast": now,
    }
    try:
        body = orjson.dumps(letter)
    except TypeError:
        text = json.dumps(letter.get("data"))
        body = orjson.dumps({**letter, "datacontenttype": "text/plain", "data": text})
    origin, id = str(letter["source"]), str(letter["id"])
    return Record(
        source=origin,
        id=id,
        type=str(letter["type"]),
        subject=None,
        key=whose,
        time_us=now_us,
        body=body,
        identity=f"{whose} {len(origin)} {origin} {id}",
    )


def _line(text: str) -> str:
    """*text* as an attribute may have it: in one line."""
    return CONTROL.sub("\ufffd", " ".join(text.split()))[:MAX_ERROR]


def _storable(value: Json) -> Json:
    return CONTROL.sub("\ufffd", value)[:MAX_INDEXED] if isinstance(value, str) else value


def let_in(letter: JsonObject) -> tuple[str, JsonObject] | None:
    """The channel and the event of a letter that a source was refused; None for a delivery that was given up."""
    if "dlqsource" not in letter or "dlqdelivery" in letter:
        return None
    return str(letter["dlqchannel"]), _plain(letter)


def _plain(event: JsonObject) -> JsonObject:
    """*event* without what makes a letter of one."""
    return {name: value for name, value in event.items() if not name.startswith("dlq")}


def revived(letter: JsonObject, now_us: int) -> Parked:
    """The delivery of a dead letter, new and due at once. Reviving it twice before it is settled is once."""
    try:
        group, key, payload = orjson.loads(str(letter["dlqdelivery"]))
        positions = [Position.parse(text) for text in orjson.loads(payload)["events"]]
        identity = orjson.loads(payload)["identity"]
    except (KeyError, ValueError, TypeError) as error:
        raise Rejected("not-a-dead-letter", f"it does not say what to deliver: {error}") from error
    return Parked(
        id=f"{identity}-{positions[-1]}-again",
        channel=str(letter["dlqchannel"]),
        group=group,
        position=positions[-1],
        due_us=now_us,
        payload=payload.encode(),
        key=key,
        first_us=now_us,
        reason="redriven",
    )
