"""`python -m gated` is the command `gated`."""

from gated.cli import main

main()
