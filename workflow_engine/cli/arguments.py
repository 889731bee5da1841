"""What a wrong command line is told: which commands there are, and which option was meant."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser, and the parsers of its commands, whose errors say what would be right."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's, but what is not known is refused here, where the options are known that are."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._meant(unknown)}")
        return found, unknown

    def _meant(self, unknown: Iterable[str]) -> str:
        for argument in unknown:
            if argument.startswith("-"):
                options = {option.lstrip("-"): option for option in self._option_string_actions}
                close = get_close_matches(argument.partition("=")[0].lstrip("-"), options, n=1)
                return f"; did you mean {options[close[0]]}?" if close else ""
        return ""

    def error(self, message: str) -> NoReturn:
        """As argparse's; where the command of a group is missing, those that there are follow."""
        if message.endswith("required: COMMAND"):
            groups = (action for action in self._actions if isinstance(action, argparse._SubParsersAction))
            commands = [each for group in groups for each in group._get_subactions()]
            width = max((len(each.dest) for each in commands), default=0)
            lines = [f"  {each.dest:<{width}}  {each.help}" for each in commands]
            self.exit(2, "\n".join([f"usage: {self.prog} COMMAND …\n", *lines, ""]))
        super().error(message)
