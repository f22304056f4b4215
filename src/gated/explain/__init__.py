"""Tools to examine the memory of a network: traces, ledgers, interventions, statistics, diagnoses.

All public names are here. The modules are private, so that `gated.explain.trace` can only be the
function.
"""

from gated.errors import require

require("torch", extra="train")

from gated.explain._ages import Entries, by_age, entries, shares_by_age  # noqa: E402
from gated.explain._diagnose import RULES, Diagnosis, Rule, diagnose  # noqa: E402
from gated.explain._explanation import ExplainedLayer, Explanation, explain  # noqa: E402
from gated.explain._flow import Flow, LayerFlow, flow  # noqa: E402
from gated.explain._intervene import Effect, effect, intervene  # noqa: E402
from gated.explain._intervention import Intervention  # noqa: E402
from gated.explain._layer_trace import LayerTrace  # noqa: E402
from gated.explain._ledger import Ledger, OutputLedger, ledger, ledger_of  # noqa: E402
from gated.explain._probe import Probe, Timeline  # noqa: E402
from gated.explain._statistics import (  # noqa: E402
    LEFT,
    RIGHT,
    Statistics,
    statistics,
    tied_to,
)
from gated.explain._trace import Trace, trace  # noqa: E402

__all__ = [
    "LEFT",
    "RIGHT",
    "RULES",
    "Diagnosis",
    "Effect",
    "Entries",
    "ExplainedLayer",
    "Explanation",
    "Flow",
    "Intervention",
    "LayerFlow",
    "LayerTrace",
    "Ledger",
    "OutputLedger",
    "Probe",
    "Rule",
    "Statistics",
    "Timeline",
    "Trace",
    "by_age",
    "diagnose",
    "effect",
    "entries",
    "explain",
    "flow",
    "intervene",
    "ledger",
    "ledger_of",
    "shares_by_age",
    "statistics",
    "tied_to",
    "trace",
]
