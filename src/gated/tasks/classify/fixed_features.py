"""Features of sequences that are not trained, and the linear map that reads them.

Shapes: T steps, B sequences, C channels, F features of kernels, S of summaries.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from gated.core.sequence_features import SUMMARIES, summaries
from gated.live.program import Writer
from gated.tasks.classify.kernel_features import KernelFeatures, Layout


class FixedFeatures(nn.Module):
    """What fixed kernels find in a sequence and summaries of its channels, read by a linear map.

    Args:
        channels: C.
        longest: steps of the longest training sequence.
        features: F, of the kernels; it is rounded to a multiple of their number.
        outputs: O.
    """

    weight: Tensor
    """(O, F + S)."""
    bias: Tensor
    """(O,)."""

    def __init__(self, channels: int, longest: int, features: int, outputs: int) -> None:
        super().__init__()
        self.kernels = KernelFeatures(channels, Layout.of(longest, features))
        count = self.kernels.count + 1 + SUMMARIES * channels
        self.register_buffer("weight", torch.zeros(outputs, count))
        self.register_buffer("bias", torch.zeros(outputs))

    def forward(self, steps: Tensor, there: Tensor) -> Tensor:
        """Map (B, C, T), and which steps are no padding (B, T), to outputs (B, O)."""
        # In float64, so that the order of sums, which depends on the batch, is not seen.
        found = self.features(steps, there).double() @ self.weight.double().T + self.bias
        return found.float()

    @torch.no_grad()
    def features(self, steps: Tensor, there: Tensor) -> Tensor:
        """Map (B, C, T), and which steps are no padding (B, T), to (B, F + S)."""
        lengths = there.sum(-1).tolist()
        sequences = [
            of[:, :length].T
            for of, length in zip(steps.float().cpu().numpy(), lengths, strict=True)
        ]
        found = [self.kernels.of_each(sequences), np.stack([summaries(of) for of in sequences])]
        return torch.from_numpy(np.concatenate(found, axis=-1)).to(steps.device)

    def write(self, writer: Writer, steps: str, weights: str) -> str:
        """Write this as layers of a program that read `steps`; return the outputs' name.

        The names of its weights begin with `weights`.
        """
        kernels = self.kernels.write(writer, steps, f"{weights}kernels.")
        found = writer.add("concatenate", kernels, writer.add("summaries", steps))
        names = {"weight": f"{weights}weight", "bias": f"{weights}bias"}
        return writer.add("linear", found, name="ridge", **names)
