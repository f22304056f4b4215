"""The diagrams of the page "From the RNN to the LSTM, in pictures", and diagrams with real values.

`python -m gated.report.diagrams` writes the former.
"""

from __future__ import annotations

from gated.report.diagrams.chains import FUNCTIONS, TIME_CHAIN, TWO_CHAINS
from gated.report.diagrams.filled import animated, filled
from gated.report.diagrams.gru_and_rnn_cells import GRU_CELL, RNN_CELL
from gated.report.diagrams.lstm_cell import LSTM_CELL, MEMORY_CELL
from gated.report.diagrams.shapes import Diagram, Language
from gated.report.diagrams.svg import add_diagram, new_picture, write
from gated.report.diagrams.unrolled import RNN_IN_DEPTH, RNN_IN_PLANE

__all__ = ["STORY", "animated", "draw", "filled"]

STORY = (
    RNN_IN_DEPTH,
    RNN_IN_PLANE,
    TIME_CHAIN,
    TWO_CHAINS,
    FUNCTIONS,
    MEMORY_CELL,
    LSTM_CELL,
    GRU_CELL,
    RNN_CELL,
)
"""In the order of `docs/en/lstm.md`."""


def draw(diagram: Diagram, language: Language = "en") -> str:
    """Return the diagram as the text of an SVG file."""
    svg = new_picture(diagram, language)
    add_diagram(svg, diagram, language)
    return write(svg)
