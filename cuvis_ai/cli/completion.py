"""The command `cuvis-ai completion`."""

import contextlib
import io
import re
from collections.abc import Sequence

from cuvis_ai.cli.command_line import commands, loaded, parser_of
from cuvis_ai.cli.configurations import described, groups

_SCRIPT = """\
_cuvis_ai() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands} --help --version"
    elif [ "$previous" = --config-name ]; then
        words="{configurations}"
    elif [ "$word" = "=" ] || [ "$previous" = "=" ]; then
        word=${{word#=}} words="{choices}"
    elif [ "${{COMP_WORDS[1]}}" = train ]; then
        words="{train}"
    elif [[ $word == -* ]]; then
        case ${{COMP_WORDS[1]}} in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _cuvis_ai cuvis-ai
"""
_OF_TRAIN = ("--config-name", "--config-dir", "--list", "--help", "--cfg", "--multirun")


def run(arguments: Sequence[str]) -> None:
    """Print a script that completes commands, options and configurations in bash, and in zsh by bashcompinit.

    Example:
        cuvis-ai completion > ~/.cuvis-ai.bash

    Put `source ~/.cuvis-ai.bash` into ~/.bashrc. Words without a meaning of their own are completed as files.
    """
    parser_of("completion").parse_args(arguments)
    overrides = [f"{group}={option}" for group, options in groups().items() for option in options]
    cases = [
        f'            {name}) words="{" ".join(_options(name))}" ;;' for name in commands() if name != "train"
    ]
    print(
        _SCRIPT.format(
            commands=" ".join(commands()),
            configurations=" ".join(line.split()[0] for line in described()),
            train=" ".join((*_OF_TRAIN, *overrides)),
            choices=" ".join(option for options in groups().values() for option in options),
            cases="\n".join(cases),
        ),
        end="",
    )


def _options(command: str) -> list[str]:
    """Return the options of a command, as its help gives its usage."""
    if command == "completion":
        return ["--help"]
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        loaded(command.replace("-", "_")).run(["--help"])
    usage = text.getvalue().partition("\n\n")[0]
    return sorted({"--help", *re.findall(r"--[a-z][a-z-]*", usage)})
