"""Write the tables of the README from the code: ``python -m tests.write_readme``."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from workflow_engine.settings import Settings

README = Path(__file__).parents[1] / "README.md"


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


def written(text: str) -> str:
    """*text* with every table between its marks."""
    block = f"<!-- settings -->\n{settings_table()}\n<!-- /settings -->"
    return re.sub(r"<!-- settings -->.*?<!-- /settings -->", lambda _: block, text, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
