"""Read the conformance features: as much of Gherkin as they use."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Step:
    text: str
    block: str | None


@dataclass(frozen=True)
class Scenario:
    feature: str
    name: str
    steps: tuple[Step, ...]

    @property
    def id(self) -> str:
        return f"{self.feature}: {self.name}"


def scenarios(folder: Path) -> list[Scenario]:
    found = []
    for file in sorted(folder.glob("*.feature")):
        for part in re.split(r"^\s*Scenario:", file.read_text(), flags=re.MULTILINE)[1:]:
            name, _, body = part.partition("\n")
            found.append(Scenario(file.stem, name.strip(), tuple(_steps(body))))
    return found


def _steps(body: str) -> list[Step]:
    steps = []
    pieces = re.split(r'^\s*"""(?:yaml)?\n(.*?)^\s*"""', body, flags=re.MULTILINE | re.DOTALL)
    for number in range(0, len(pieces), 2):
        block = textwrap.dedent(pieces[number + 1]) if number + 1 < len(pieces) else None
        lines = [line.strip() for line in pieces[number].splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        for position, line in enumerate(lines):
            text = re.sub(r"^(Given|When|Then|And|But)\s+", "", line)
            steps.append(Step(text, block if position == len(lines) - 1 else None))
    return steps


def value(block: str | None) -> object:
    return yaml.safe_load(block or "")
