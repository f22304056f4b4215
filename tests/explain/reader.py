"""A small network that reads two lines of a text, offered as a task would offer its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import gated.nn
from gated.explain import Probe, Timeline

TEXT = ("床前明月光，疑是地上霜。\n", "to be or not")
I, H = 6, 10  # noqa: E741


class Reader(nn.Module):
    """Embeds characters, reads them, and scores each step."""

    def __init__(self, cell: str = "LSTM", **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, I)
        self.memory = getattr(gated.nn, cell)(I, H, **options)
        self.head = nn.Linear(H * (2 if self.memory.bidirectional else 1), 3)

    def forward(self, codes: torch.Tensor, lengths: Any = None) -> torch.Tensor:
        return self.head(self.memory(self.embedding(codes), lengths=lengths)[0])


def codes(text: str, steps: int) -> list[int]:
    return [ord(letter) % 256 for letter in text] + [0] * (steps - len(text))


def make_probe(cell: str = "LSTM", *, seed: int = 0, **options: Any) -> Probe:
    torch.manual_seed(seed)
    model = Reader(cell, **options)
    steps = max(map(len, TEXT))
    x = torch.tensor([codes(text, steps) for text in TEXT]).T
    lengths = torch.tensor([len(text) for text in TEXT])
    wanted = torch.randn(steps, len(TEXT), 3)
    spectrum = np.abs(np.random.default_rng(seed).normal(size=(steps, 4)))
    return Probe(
        title="A reader",
        model=model,
        batches=[(x, lengths), (x.flip(0), None)],
        sequences=["Li Bai", "Hamlet"],
        timelines={
            "memory": [
                Timeline(
                    labels=list(text),
                    unit="character",
                    signals={"spectrum": spectrum[: len(text)]} if text == TEXT[0] else {},
                )
                for text in TEXT
            ]
        },
        loss=lambda output: (output - wanted).square().mean(),
    )
