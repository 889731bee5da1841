"""How large the data of a run may have become: what stands in it twice takes no more memory, but is written twice.

A state that puts its input into its output twice doubles it, and again and again that has no end. So it is counted, in
each branch, how often what there is may have doubled, and now and then it is looked how much it is: where it consists
of few parts, for what is large because it has many parts takes the memory for them too. Both are the same on every
replay.
"""

from __future__ import annotations

from workflow_engine.errors import fault
from workflow_engine.interpreter.position import DOUBLINGS, Frame
from workflow_engine.values import Json

MOST = 512 * 1024 * 1024
"""How large a value may be, in about the characters of its JSON."""
FEW = 2000
"""How many parts are looked at."""
_SCALAR = 8


class _Many(Exception):
    """There are more parts than are looked at."""


def made(frame: Frame, copies: int, value: Json) -> None:
    """*value* was made in *frame*, and may have parts of what there was so many times; a `Fault` if it is too large."""
    if copies < 2 or not isinstance(value, dict | list):
        return
    owner = frame.owner
    owner.doublings -= (copies - 1).bit_length()
    if owner.doublings < 0:
        try:
            weight = _weight(value, {}, [FEW])
        except _Many:
            weight = MOST >> DOUBLINGS
        except (OverflowError, RecursionError):
            message = f"the data comes to more than {MOST:,} characters of JSON, or is nested too deeply"
            raise fault("expression", message) from None
        owner.doublings = max(DOUBLINGS // 2, (MOST // weight).bit_length())


def _weight(value: Json, known: dict[int, int], room: list[int]) -> int:
    """About the characters of *value* as JSON; `OverflowError` when it is more than `MOST`, `_Many` without *room*."""
    if isinstance(value, str):
        return len(value) + 2
    if not isinstance(value, dict | list):
        return _SCALAR
    weight = known.get(id(value))
    if weight is not None:
        return weight
    room[0] -= len(value) + 1
    if room[0] < 0:
        raise _Many
    weight, items = 2, value
    if isinstance(value, dict):
        weight += sum(map(len, value)) + 4 * len(value)
        items = [*value.values()]
    for item in items:
        weight += _weight(item, known, room) + 1
        if weight > MOST:
            raise OverflowError
    known[id(value)] = weight
    return weight
