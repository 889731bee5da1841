"""``wfe completion``: a script by which a shell completes commands and options, made of the parsers themselves."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping

from workflow_engine.cli.terminal import FINE, result

SCRIPT = """\
# Completion of wfe.{zsh}
_wfe() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    local first=${{COMP_WORDS[1]-}} second=${{COMP_WORDS[2]-}} options="" words="" valued=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words={commands}
    else
        case "$first" in
{cases}
        esac
    fi
    case "$word" in -*) words=$options ;; esac
    case " $valued " in *" $before "*) words="" ;; esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _wfe wfe
"""
"""Where no word fits, the shell completes names of files (``-o default``): so options are there for a dash alone, and
for commands that take nothing else; and not behind an option that has a value (*valued*), such as a file.
"""
ZSH = "\nautoload -U +X compinit && compinit -u\nautoload -U +X bashcompinit && bashcompinit"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe completion`` takes."""
    parser.description = (
        "Print a script by which the shell completes commands and options.\n"
        "In ~/.bashrc: source <(wfe completion bash); in ~/.zshrc: source <(wfe completion zsh)"
    )
    parser.add_argument("shell", choices=("bash", "zsh"), help="for which shell")
    parser.set_defaults(work=_print)


def _print(arguments: argparse.Namespace) -> int:
    from workflow_engine.cli.main import COMMANDS, parser_of

    parsers = {name: parser_of(command) for name, command in COMMANDS.items()}
    cases = "\n".join(_case(name, parser) for name, parser in parsers.items())
    zsh = ZSH if arguments.shell == "zsh" else ""
    result(SCRIPT.format(commands=shlex.quote(" ".join(COMMANDS)), cases=cases, zsh=zsh).rstrip())
    return FINE


def _case(name: str, parser: argparse.ArgumentParser) -> str:
    """What may follow the command *name*: of a group first its commands, then the options of that one."""
    groups = dict(_commands(parser))
    if not groups:
        return f"            {name}) {_words(parser)} ;;"
    inner = "\n".join(f"                {each}) {_words(found)} ;;" for each, found in groups.items())
    none = f'                *) [ "$COMP_CWORD" -eq 2 ] && words={shlex.quote(" ".join(groups))} ;;'
    return f'            {name}) case "$second" in\n{inner}\n{none}\n            esac ;;'


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            choices: Mapping[str, argparse.ArgumentParser] = action.choices
            yield from choices.items()


def _words(parser: argparse.ArgumentParser) -> str:
    """The long options, those of them that have a value, and what a positional argument or a value may be."""
    options: list[str] = []
    valued: list[str] = []
    words: list[str] = []
    values = ""
    takes = False
    for action in parser._actions:
        long = [option for option in action.option_strings if option.startswith("--")]
        options += long
        if not action.option_strings:
            takes = True
            words += map(str, action.choices or ())
        elif action.nargs != 0 and action.choices is not None:
            known = shlex.quote(" ".join(map(str, action.choices)))
            values += f' case "$before" in {"|".join(action.option_strings)}) words={known} ;; esac;'
        elif action.nargs != 0:
            valued += action.option_strings
    given = {"options": options, "words": words if takes else options, "valued": valued}
    return "; ".join(f"{name}={shlex.quote(' '.join(found))}" for name, found in given.items()) + f";{values}"
