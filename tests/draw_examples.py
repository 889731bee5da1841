"""Write the diagram of every example into its README: ``python -m tests.draw_examples``."""

from __future__ import annotations

from tests.examples import examples
from workflow_engine import dsl
from workflow_engine.graph import render


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


if __name__ == "__main__":
    main()
