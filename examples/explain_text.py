"""The page of `gated explain` for a network of one's own: here the character LSTM of the explorer.

    python examples/explain_text.py --out macbeth.html
    python examples/explain_text.py any.txt --out any.html

A `Probe` says what to run through the network and what stands at each step; that is all it takes.
"""

import argparse
import shlex
import sys
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from units_with_meaning import network_of

from gated.explain import Probe, Timeline, explain
from gated.report.explain import write_explanation
from gated.serve.character_model import load_models

MACBETH = """To-morrow, and to-morrow, and to-morrow,
Creeps in this petty pace from day to day,
To the last syllable of recorded time;
"""


def probe_of(text: str) -> Probe:
    model = next(model for model in load_models() if model.name == "lstm")
    network = network_of(model)
    x = torch.from_numpy(model.encode(text))[:, None]  # (T, 1)

    def loss(output: tuple) -> torch.Tensor:
        """How much each next character surprises."""
        return cross_entropy(output[0][:-1, 0], x[1:, 0])

    return Probe(
        title="Character LSTM",
        model=network,
        batches=[(x, None)],
        sequences=["the text"],
        timelines={"recurrent": [Timeline(labels=list(text), unit="character")]},
        loss=loss,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    text = options.text.read_text("utf-8") if options.text else MACBETH
    found = explain(probe_of(text))
    print(found.verdict)
    print(write_explanation(options.out, found, command=shlex.join(["python", *sys.argv])))


if __name__ == "__main__":
    main()
