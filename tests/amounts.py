"""How often what is random is tried: a little in every test, much in `make long`."""

from __future__ import annotations

import os

LONG = os.environ.get("GATED_TESTS") == "long"


def times(usually: int, long: int) -> int:
    """How often to try something."""
    return long if LONG else usually
