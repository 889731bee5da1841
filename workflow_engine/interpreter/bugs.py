"""Exceptions that are no faults: bugs of the engine, which park a run and never end it.

Where a run was when one was raised is kept with the exception, for who has to find it.
"""

from __future__ import annotations

from workflow_engine.interpreter.effects import Expired
from workflow_engine.interpreter.position import Continued, Ended, TimeUp

_CONTROL = (Continued, Ended, Expired, TimeUp)
"""Exceptions by which a run goes where it has to."""

_AT = "at "
_LONGEST = 8 * 1024


class Bug(Exception):
    """A bug, with the state that the run was at: what Temporal keeps of the failed workflow task.

    The text is ``at POINTER: TYPE: MESSAGE``, without the first part where no state is to blame.
    """

    @classmethod
    def of(cls, error: Exception) -> Bug:
        place = state_of(error)
        return cls(f"{_AT}{place}: {described(error)}" if place else described(error))


def found(error: BaseException, state: str) -> bool:
    """Whether *error*, no `Fault`, is a bug; that it was met at *state*, the innermost one, is kept with it."""
    if not isinstance(error, Exception) or isinstance(error, _CONTROL):
        return False
    if state_of(error) is None:
        error.add_note(_AT + state)
    return True


def state_of(error: BaseException) -> str | None:
    """The state at which *error* was raised, if it is known."""
    notes = getattr(error, "__notes__", ())
    return next((note.removeprefix(_AT) for note in notes if note.startswith(_AT + "/")), None)


def described(error: BaseException) -> str:
    """What *error* is and says, in one line."""
    return f"{type(error).__name__}: {error}"[:_LONGEST].replace("\n", " ").removesuffix(": ")


def split(text: str) -> tuple[str | None, str]:
    """The state in the text of a `Bug`, if there is one, and the rest."""
    place, separator, rest = text.removeprefix(_AT).partition(": ")
    if text.startswith(_AT + "/") and separator:
        return place, rest
    return None, text
