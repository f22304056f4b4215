"""The LSTM's diagram with values of a real network: one step, and moving through a text.

    python examples/lstm_pictures.py docs/images/lstm

The network is the LSTM of 80 units that `gated explore` opens on. Unit 15 goes with the position in
the line (`examples/units_with_meaning.py`): it keeps its memory until a line ends.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from units_with_meaning import network_of

from gated.explain import trace
from gated.report.diagrams import animated, filled
from gated.serve.character_model import load_models

BEFORE = "ROMEO.\nBut soft, what light through "
SHOWN = "yonder window breaks?\nIt is"
UNIT = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    model = next(m for m in load_models() if m.name == "lstm")
    text = BEFORE + SHOWN
    characters = torch.from_numpy(model.encode(text)).unsqueeze(1)  # (T, B)
    layer = trace(network_of(model), characters).layers[0]
    step = len(BEFORE) + SHOWN.index("\n")
    for language in ("en", "zh"):
        still = filled(layer, step, unit=UNIT, reads=text[step], language=language)
        moving = animated(layer, SHOWN, first=len(BEFORE), unit=UNIT, language=language)
        mean = filled(layer, step, reads=text[step], language=language)
        for name, picture in (("one-step", still), ("all-units", mean), ("moving", moving)):
            (directory / f"{name}.{language}.svg").write_text(picture, "utf-8")


if __name__ == "__main__":
    main()
