"""Write the diagram of every example into its README, and the list of them: ``python -m tests.draw_examples``."""

from __future__ import annotations

import re

from tests.examples import FOLDER, examples
from workflow_engine import dsl
from workflow_engine.graph import render


def listed() -> str:
    """The page that lists all examples, with the first sentence of each README."""
    rows = ["| Example | What it shows |", "|---|---|"]
    for example in examples():
        title, _, about = (example.folder / "README.md").read_text().partition("\n")
        told = " ".join(about.strip().partition("\n\n")[0].split())
        first = re.sub(r"^(One idea|Two ideas): ", "", told).partition(". ")[0].rstrip(".:")
        rows.append(f"| [{title.lstrip('# ')}]({example.name}) | {first[:1].upper()}{first[1:]} |")
    return (
        "# Workflows to learn from\n\n"
        "Each shows one idea, has a diagram, an input and what comes of it, and is a test of this engine. "
        "`wfe run` runs any of\nthem here and now, from its folder.\n\n" + "\n".join(rows) + "\n"
    )


def main() -> None:
    for example in examples():
        readme = example.folder / "README.md"
        diagram = render.mermaid(dsl.compile(dsl.parse(example.text))).strip()
        block = f"```mermaid\n{diagram}\n```"
        text = readme.read_text()
        before, _, rest = text.partition("```mermaid\n")
        drawn = before + block + rest.partition("```")[2]
        if drawn != text:
            readme.write_text(drawn)
            print(f"drawn {example.name}")
    (FOLDER / "README.md").write_text(listed())


if __name__ == "__main__":
    main()
