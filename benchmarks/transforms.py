"""What derivatives and transforms cost: `python -m benchmarks.transforms [--turns N] [ROW ...]`.

Each row is one piece of work and what it is measured against, in turns in one process, on one
thread by its own clock; the ratio is of the second to the first, with the 95 % interval of the
median of the turns' ratios. Torch's LSTM and GRU cannot be mapped: what takes their place is a loop
over them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, stack_module_state, vmap

import gated
from benchmarks import own_cells
from benchmarks.machine import processor
from benchmarks.own_cells import Work, in_turns, told

T, B, I, H = 100, 32, 64, 128  # noqa: E741
MEMBERS = 8


class Pair:
    """A layer of ours and torch's, with the same weights."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.ours = getattr(gated.nn, kind)(I, H)
        self.torchs = getattr(nn, kind)(I, H)
        self.torchs.load_state_dict(self.ours.state_dict())
        self.x = torch.randn(T, B, I, requires_grad=True)
        self.weights = {name: w.detach() for name, w in self.ours.named_parameters()}

    def run(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        """The output of our layer."""
        output: Tensor = functional_call(self.ours, weights, (x,))[0]
        return output

    def loss(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        """Of our layer."""
        return self.run(weights, x).square().mean()


def training_step(layer: nn.Module, x: Tensor) -> Work:
    """Forward and backward, gradients of all weights and of x."""

    def step() -> Any:
        return torch.autograd.grad(layer(x)[0].square().mean(), [x, *layer.parameters()])

    return step


def penalty_step(layer: nn.Module, x: Tensor) -> Work:
    """The same for a loss of gradients by x (Gulrajani et al. 2017)."""

    def step() -> Any:
        (first,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
        loss = (first.norm(dim=-1) - 1).square().mean()
        return torch.autograd.grad(loss, list(layer.parameters()))

    return step


def second_backward(layer: nn.Module, x: Tensor, of_weights: bool) -> Work:
    """The backward pass of a backward pass alone: of gradients by x, or by all weights too."""
    by = [x, *layer.parameters()] if of_weights else [x]
    first = torch.autograd.grad(layer(x)[0].square().mean(), by, create_graph=True)
    loss = sum(of.square().sum() for of in first)

    def step() -> Any:
        return torch.autograd.grad(loss, [x, *layer.parameters()], retain_graph=True)  # type: ignore[arg-type]

    return step


def rows(pair: Pair) -> Iterator[tuple[str, Work, Work]]:
    """What is measured, and against what."""
    ours, torchs, x, weights = pair.ours, pair.torchs, pair.x, pair.weights
    step = training_step(ours, x)
    yield "training step, torch's", step, training_step(torchs, x)
    twice = second_backward(ours, x, False)
    yield "double backward by x, a training step", twice, step
    yield "double backward by x, torch's", twice, second_backward(torchs, x, False)
    twice = second_backward(ours, x, True)
    yield "double backward by all, a training step", twice, step
    yield "double backward by all, torch's", twice, second_backward(torchs, x, True)
    yield "gradient penalty step, torch's", penalty_step(ours, x), penalty_step(torchs, x)
    still, along = x.detach(), torch.randn_like(x)

    def forward() -> Any:
        with torch.no_grad():
            return ours(still)

    yield (
        "jvp by x, a forward pass",
        lambda: jvp(lambda x: pair.run(weights, x), (still,), (along,)),
        forward,
    )
    yield (
        "jvp by all, a forward pass",
        lambda: jvp(pair.run, (weights, still), (weights, along)),
        (forward),
    )
    parts = still.view(T, MEMBERS, B // MEMBERS, I).movedim(1, 0)
    yield (
        "vmap over 8 inputs, one batch",
        lambda: vmap(pair.run, (None, 0))(weights, parts),
        (forward),
    )

    def gates(x: Tensor) -> Any:
        return ours(x, return_gates=True)[2]

    def gates_forward() -> Any:
        with torch.no_grad():
            return gates(still)

    yield "gates by vmap over 8 inputs, one batch", lambda: vmap(gates)(parts), gates_forward
    members = [getattr(gated.nn, pair.kind)(I, H) for _ in range(MEMBERS)]
    stacked, _ = stack_module_state(members)

    def of_each(layers: list[Any]) -> Work:
        def work() -> Any:
            with torch.no_grad():
                return torch.stack([layer(still)[0] for layer in layers])

        return work

    with torch.no_grad():
        held = {name: w.detach() for name, w in stacked.items()}
    yield "ensemble of 8, 8 calls", lambda: vmap(pair.run, (0, None))(held, still), of_each(members)
    yield (
        "ensemble of 8, torch's 8 calls",
        lambda: vmap(pair.run, (0, None))(held, still),
        (of_each([torchs] * MEMBERS)),
    )
    steps = [training_step(layer, x) for layer in members]
    yield (
        "training of an ensemble of 8, 8 steps",
        lambda: vmap(grad(pair.loss, (0, 1)), (0, None))(held, still),
        lambda: [step() for step in steps],
    )
    each = still.movedim(1, 0).unsqueeze(2)

    def loop(layer: nn.Module) -> Work:
        def work() -> Any:
            for one in each:
                torch.autograd.grad(layer(one)[0].square().mean(), list(layer.parameters()))

        return work

    of_samples: Callable[[], Any] = lambda: vmap(grad(pair.loss), (None, 0))(weights, each)  # noqa: E731
    yield "gradients of each of 32, our loop", of_samples, loop(ours)
    yield "gradients of each of 32, torch's loop", of_samples, loop(torchs)


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help="beginnings of their names")
    parser.add_argument("--turns", type=int, default=own_cells.TURNS)
    options = parser.parse_args()
    own_cells.TURNS = options.turns
    torch.set_num_threads(1)
    print(f"{processor()}; torch {torch.__version__}; one thread")
    print(f"{T}·{B}·{I}·{H}, float32, milliseconds                   this    against  ratio   95 %")
    for kind in ("LSTM", "GRU"):
        for name, work, against in rows(Pair(kind)):
            if not options.rows or any(name.startswith(row) for row in options.rows):
                told(f"{kind} {name}", *in_turns(work, against, time.thread_time))


if __name__ == "__main__":
    main()
