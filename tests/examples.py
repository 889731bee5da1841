"""Every example of the repository, as data: what it runs on and what must come of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import catalog
from workflow_engine.calls import Egress
from workflow_engine.calls.resolution import Resolution
from workflow_engine.dsl.needs import needs
from workflow_engine.values import Json

FOLDER = Path(__file__).parents[1] / "examples" / "workflows"


@dataclass(frozen=True)
class Example:
    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def text(self) -> str:
        return (self.folder / "workflow.yaml").read_text()

    def json(self, name: str) -> Any:
        file = self.folder / name
        return json.loads(file.read_text()) if file.exists() else None

    def texts(self, folder: str) -> list[str]:
        return [file.read_text() for file in sorted((self.folder / folder).glob("*.yaml"))]

    async def resources(self, data: Json) -> dict[str, Json]:
        """What the document needs, from the AsyncAPI documents of its catalog and from the files beside it."""
        specs = catalog.Catalog(await catalog.open_store("memory:"))
        for file in sorted((self.folder / "catalog").glob("*.yaml")):
            await specs.add(file.stem, file.read_text())
        beside = {f"file://{file.name}": file.read_text() for file in self.folder.glob("*.yaml")}
        async with Egress() as egress:
            resolution = Resolution(specs, egress, beside)
            return {need.key: await resolution(need) for need in needs(data)}


def examples() -> list[Example]:
    return [Example(file.parent) for file in sorted(FOLDER.glob("*/workflow.yaml"))]
