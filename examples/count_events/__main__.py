"""The command `gated`, with one task more."""

import sys

from gated.tasks import LEARNERS

LEARNERS["count_events"] = "count_events.learner:EventCounter"

from gated.cli.app import run  # noqa: E402 - commands are made of the tasks that are registered

sys.exit(run())
