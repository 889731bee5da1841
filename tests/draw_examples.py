"""Write the diagram of every example into its README: ``python -m tests.draw_examples``."""

from __future__ import annotations

import re

from tests.examples import examples
from workflow_engine import dsl
from workflow_engine.graph import render


def main() -> None:
    for example in examples():
        readme = example.folder / "README.md"
        diagram = render.mermaid(dsl.compile(dsl.parse(example.text))).strip()
        block = f"```mermaid\n{diagram}\n```"
        text = readme.read_text()
        drawn = re.sub(r"```mermaid\n.*?```", lambda _: block, text, count=1, flags=re.DOTALL)
        if drawn != text:
            readme.write_text(drawn)
            print(f"drawn {example.name}")


if __name__ == "__main__":
    main()
