"""The command `gated`."""

from gated.errors import require

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and exit."""
    require("cyclopts", extra="train")
    from gated.cli.app import run

    raise SystemExit(run())
