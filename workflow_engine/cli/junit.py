"""The report of ``wfe test`` in the XML of JUnit, which services of continuous integration read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from workflow_engine.errors import Rejected

if TYPE_CHECKING:
    from workflow_engine.cli.test import Tried

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(file: str, tried: Sequence[Tried]) -> None:
    """Write *tried* to *file*, a suite for each file of scenarios; `Rejected` where it cannot be written."""
    suites: dict[str, list[Tried]] = {}
    for each in tried:
        suites.setdefault(each.file, []).append(each)
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<testsuites>"]
    for name, cases in suites.items():
        failures = sum(bool(case.failures) for case in cases)
        taken = sum(case.seconds for case in cases)
        lines.append(
            f"  <testsuite name={_attribute(name)} tests={_attribute(len(cases))} "
            f'failures={_attribute(failures)} errors="0" time={_attribute(f"{taken:.4f}")}>'
        )
        for case in cases:
            lines.append(
                f"    <testcase name={_attribute(case.name)} classname={_attribute(name)} "
                f"file={_attribute(name)} line={_attribute(case.line)} time={_attribute(f'{case.seconds:.4f}')}>"
            )
            if case.failures:
                text = escape(_NOT_XML.sub("\ufffd", "\n".join(case.failures)))
                lines.append(f"      <failure message={_attribute(case.failures[0])}>{text}</failure>")
            lines.append("    </testcase>")
        lines.append("  </testsuite>")
    lines.append("</testsuites>")
    try:
        Path(file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise Rejected("unwritable", f"{file}: {error.strerror or error}") from None


def _attribute(value: object) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", str(value)))
