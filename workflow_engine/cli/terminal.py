"""What the command line prints: JSON and tables on stdout, remarks on stderr."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

FINE, FAILED, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes. FAILED: the document is invalid, the run did not complete, what was asked for is not there."""


def open_streams() -> None:
    """Let stdout and stderr take all that there is to say, whatever their encoding, and though they may be closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # `>&-`
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - it lasts as long as we
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def silence(stream: TextIO) -> None:
    """Drop what *stream* could not write, and the rest, so that nothing complains of it as the process ends."""
    void = os.open(os.devnull, os.O_WRONLY)
    os.dup2(void, stream.fileno())
    os.close(void)


def say(text: str) -> None:
    """A remark for the person at the terminal; where nothing can be said, the work goes on."""
    try:
        print(printable(text, keep="\n\t"), file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        silence(sys.stderr)


def result(text: str) -> None:
    """A line of the result."""
    print(printable(text, keep="\n\t"), flush=True)


def print_json(value: object) -> None:
    """*value* as indented JSON on stdout, keys in their order."""
    _write_json(value, sys.stdout)


def print_error_json(value: object) -> None:
    """*value* as indented JSON on stderr: the error of a run."""
    _write_json(value, sys.stderr)


def _write_json(value: object, stream: TextIO) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(stream.encoding)
    except UnicodeEncodeError:  # a lone surrogate, or a terminal that cannot show all there is
        text = json.dumps(value, indent=2)
    stream.write(text + "\n")
    stream.flush()


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """*rows* in columns under *headings*; nothing at all where there are no rows."""
    if not rows:
        return
    lines = [list(headings), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def printable(text: str, *, keep: str = "") -> str:
    """*text* with control characters written as escapes, so that data cannot steer the terminal."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode()
        for letter in text
    )


def counted(number: int, noun: str) -> str:
    """``1 error``, ``2 errors``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def span(passed: float) -> str:
    """A length of time in its two largest units."""
    if passed < 60:
        return f"{passed:.1f} s"
    minutes, rest = divmod(int(passed), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"
