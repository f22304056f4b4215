"""Sentences as padded tensors.

Shapes: S and T steps of the longest source and target, B sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

PADDING, UNKNOWN, BEGIN, END = range(4)
"""Subwords that stand for no text; the first ones of every vocabulary."""
SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")

Codes = Sequence[int]
"""The subwords of a sentence, by their number."""


class Batch(NamedTuple):
    """Pairs of sentences."""

    source: Tensor
    """`(S, B)`, each ending with `END`."""
    source_lengths: Tensor
    """`(B,)`"""
    before: Tensor
    """`(T, B)`, inputs of the decoder: the subword before each subword of the target."""
    real: Tensor
    """`(B, T)`, mask of the targets without padding."""
    wanted: Tensor
    """`(N,)`, the expected subwords without padding, sentence after sentence."""

    @classmethod
    def of(cls, sources: Sequence[Codes], targets: Sequence[Codes]) -> Batch:
        """Make a batch of encoded sentences."""
        source, lengths = padded(sources)
        rows = [torch.tensor([BEGIN, *codes]) for codes in targets]
        before = torch.nn.utils.rnn.pad_sequence(rows, padding_value=PADDING)
        spans = torch.tensor([len(row) for row in rows])
        wanted = torch.tensor([code for codes in targets for code in (*codes, END)])
        return cls(source, lengths, before, torch.arange(len(before)) < spans[:, None], wanted)


def padded(sentences: Sequence[Codes]) -> tuple[Tensor, Tensor]:
    """Return sentences, each with `END` appended, as `(S, B)`, and their lengths `(B,)`.

    >>> padded([[7, 8], [9]])
    (tensor([[7, 9],
            [8, 3],
            [3, 0]]), tensor([3, 2]))
    """
    rows = [torch.tensor([*codes, END]) for codes in sentences]
    return (
        torch.nn.utils.rnn.pad_sequence(rows, padding_value=PADDING),
        torch.tensor([len(row) for row in rows]),
    )
