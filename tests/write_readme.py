"""Write the tables of the README from the code: ``python -m tests.write_readme``."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from benchmarks.engine.contenders import TITLES
from benchmarks.engine.shapes import SHAPES
from workflow_engine.settings import Settings

README = Path(__file__).parents[1] / "README.md"
MEASURED = README.parent / "benchmarks" / "results" / "engine.json"


def settings_table() -> str:
    rows = ["| Variable | Default | What it does |", "|---|---|---|"]
    for item in dataclasses.fields(Settings):
        default = item.default
        shown = (
            ""
            if default in (None, ())
            else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        )
        rows.append(f"| `WFE_{item.name.upper()}` | {shown} | {item.metadata['description']} |")
    return "\n".join(rows)


def measured_table() -> str:
    """Runs a second as the benchmark measured them last, or that it has not."""
    if not MEASURED.exists():
        return "Not measured yet: `python -m benchmarks.engine`."
    found = json.loads(MEASURED.read_text())
    titles = {shape.name: shape.title for shape in SHAPES}
    by = {(row["shape"], row["contender"]): row for row in found["runs"]}
    shapes = list(dict.fromkeys(shape for shape, _ in by))
    letters = [letter for letter in TITLES if all((shape, letter) in by for shape in shapes)]
    head = ["runs a second (history events)", *(TITLES[letter] for letter in letters)]
    rows = [head, ["---", *("--:" for _ in letters)]]
    for shape in shapes:
        cells = [by[shape, letter] for letter in letters]
        rows.append([titles[shape], *(f"{cell['rate']:.0f} ({cell['events']})" for cell in cells)])
    where = found["machine"]
    note = f"{where['cores']} × {where['cpu']}, Temporal {where['temporal']}; the server shares it."
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + f"\n\n{note}"


def written(text: str) -> str:
    """*text* with every table between its marks."""
    block = f"<!-- settings -->\n{settings_table()}\n<!-- /settings -->"
    text = re.sub(r"<!-- settings -->.*?<!-- /settings -->", lambda _: block, text, flags=re.DOTALL)
    runs = f"<!-- measured -->\n{measured_table()}\n<!-- /measured -->"
    return re.sub(r"<!-- measured -->.*?<!-- /measured -->", lambda _: runs, text, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
