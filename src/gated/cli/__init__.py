"""The command `gated`."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and exit."""
    try:
        from gated.cli.app import run
    except ModuleNotFoundError as error:
        from gated.cli.bare import answer

        raise SystemExit(answer(sys.argv[1:], error)) from None
    raise SystemExit(run())
