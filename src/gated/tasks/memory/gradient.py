"""How far back in time the gradient of a problem's loss reaches, through layers of any cell."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from gated.tasks.memory.network import MemoryNetwork
from gated.tasks.memory.problems import Problem

FOLLOWED = 32
"""Sequences that the gradient is measured on."""
POINTS = 128
"""Most steps at which the gradient is measured; longer sequences run in this many pieces."""
SHARE = 0.01
"""The gradient reaches a step if its norm is at least this share of the largest norm."""


class Reach(NamedTuple):
    """How far back in time the gradient of the loss reaches."""

    norms: NDArray[np.float64]
    """Norms of the gradient with respect to the last layer's states, over sequences and units, as
    shares of the largest norm; the larger one of several states. Oldest step first."""
    every: int = 1
    """Steps from one norm to the next."""

    @property
    def steps(self) -> int:
        """Steps from the oldest whose norm is at least `SHARE` to the end."""
        strong = np.flatnonzero(self.norms >= SHARE)
        return (len(self.norms) - 1 - int(strong[0])) * self.every + 1 if len(strong) else 0


def reach(network: MemoryNetwork, problem: Problem) -> Reach:
    """Backpropagate the loss on validation sequences through the encoder."""
    x, target = problem.draw("validation", FOLLOWED, 1)
    every = -(-len(x) // POINTS)
    before = len(x) % every or every  # the steps of the first piece
    training = network.training
    network.eval()
    encoder, states = network.encoder, None
    outputs, ends = [], []
    for begin, end in zip(
        [0, *range(before, len(x), every)], [*range(before, len(x) + 1, every)], strict=True
    ):
        output, states = encoder(x[begin:end], states)
        outputs.append(output)
        ends.append(states if isinstance(states, tuple) else (states,))
    answers = network.head(torch.cat(outputs)[-len(target) :])
    loss = problem.loss(answers, target).mean()
    kinds = list(zip(*ends, strict=True))
    wanted = [*outputs, *(state for kind in kinds for state in kind)]
    given = torch.autograd.grad(loss, wanted, allow_unused=True)
    network.train(training)
    gradients = [
        torch.zeros_like(of) if gradient is None else gradient
        for of, gradient in zip(wanted, given, strict=True)
    ]
    read, carried = gradients[: len(outputs)], gradients[len(outputs) :]
    shares = []
    for place in range(len(kinds)):
        of_kind = [of[-1] for of in carried[place * len(outputs) :][: len(outputs)]]
        if place == 0 and encoder.cell.output_is_hidden:
            of_kind = [of + by_loss[-1] for of, by_loss in zip(of_kind, read, strict=True)]
        norms = np.array([float(of.double().norm()) for of in of_kind])
        shares.append(norms / norms.max() if norms.max() > 0 else norms)
    return Reach(np.maximum.reduce(shares), every)
