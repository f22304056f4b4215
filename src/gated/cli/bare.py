"""The command where gated is installed without extras: help, and how to install the rest."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gated.cli.commands import COMMANDS, GROUPS, description, extra_with
from gated.version import VERSION


def answer(arguments: Sequence[str], missing: ModuleNotFoundError) -> int:
    """Print help, version, or what is missing; return the exit status.

    Raises:
        ModuleNotFoundError: the missing module belongs to no extra.
    """
    module = missing.name or ""
    own = arguments[0] if arguments and arguments[0] in ("explore", "serve") else None
    extra = own or extra_with(module)
    if extra is None:
        raise missing
    need = f"pip install 'gated[{extra}]'"
    if list(arguments) == ["--version"]:
        print(VERSION)
    elif not arguments or arguments[0] in ("--help", "-h"):
        print("Usage: gated COMMAND [OPTIONS]\n\nCommands:")
        for name in sorted([*GROUPS, *COMMANDS]):
            summary, _, _ = description(name).partition("\n")
            print(f"  {name:12}{summary}")
        print(f"\nHere is the library alone: {module} is missing. For the commands: {need}")
    else:
        print(f"error: {module} is not installed, and commands need it: {need}", file=sys.stderr)
        return 2
    return 0
