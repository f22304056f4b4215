"""The networks that are tested, and the task of training one on a problem."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gated.cells import Cell, library
from gated.errors import ConfigurationError
from gated.nn import init
from gated.nn.recurrent import Recurrent
from gated.tasks.memory.problems import Batch, Part, Problem
from gated.training.task import Loss, Shard, Task

CELLS: Mapping[str, Cell] = {
    name.replace("_", "-"): of for name, of in vars(library).items() if isinstance(of, Cell)
} | {"rnn": library.rnn_tanh}
"""The library's, by their names there; `rnn` is `rnn-tanh`."""

STARTS: Mapping[str, Callable[[Recurrent, int], Any]] = {
    "chrono": init.chrono_,
    "orthogonal": lambda layer, _: init.orthogonal_(layer),
    "exp": lambda layer, _: init.stay_orthogonal_(layer),
}
"""What may follow a cell's name: how its layer starts, from the longest memory in steps."""

LAYER_NORM = "layer-norm"
"""May follow a cell's name too."""


class Start(NamedTuple):
    """A cell, and how its layer starts."""

    cell: Cell
    starts: tuple[str, ...]
    """Of `STARTS`."""
    layer_norm: bool

    def layer(self, inputs: int, units: int, layers: int, longest: int) -> Recurrent:
        """Layers of the cell, ready for memories of so many steps.

        Raises:
            ConfigurationError: the cell cannot start like this.
        """
        layer = Recurrent(self.cell, inputs, units, layers, layer_norm=self.layer_norm)
        if self.cell is library.indrnn:
            _start_indrnn(layer, longest)
        elif self.cell is library.unicornn:
            _start_unicornn(layer)
        elif self.cell in (library.antisymmetric_rnn, library.gated_antisymmetric_rnn):
            init.stay_antisymmetric_(layer)
        elif any(of.role == "writes" for of in init.gate_roles(self.cell)):
            init.forget_bias_(layer)
        for start in self.starts:
            STARTS[start](layer, longest)
        return layer


def start_of(name: str) -> Start:
    """The cell of a name such as `lstm-chrono`.

    Raises:
        ConfigurationError: there is no such cell, or nothing of that name follows a cell's.

    >>> start_of("gru-reset-before-chrono").starts
    ('chrono',)
    """
    plain = name.replace("_", "-")
    parts = [known for known in CELLS if plain == known or plain.startswith(known + "-")]
    if not parts:
        near = difflib.get_close_matches(plain, CELLS, n=1, cutoff=0.0)[0]
        raise ConfigurationError(
            f"cells: {name!r} is no cell of the library; did you mean {near}? "
            f"There are {', '.join(CELLS)}."
        )
    cell = max(parts, key=len)
    follows = plain[len(cell) :].replace(LAYER_NORM, "layer_norm").split("-")[1:]
    for one in follows:
        if one not in (*STARTS, "layer_norm"):
            every = [*STARTS, LAYER_NORM]
            near = difflib.get_close_matches(one, every, n=1, cutoff=0.0)[0]
            raise ConfigurationError(
                f"cells: {name!r} has {one!r} behind {cell}; did you mean {near}? "
                f"There are {', '.join(every)}."
            )
    starts = tuple(one for one in follows if one in STARTS)
    return Start(CELLS[cell], starts, "layer_norm" in follows)


@torch.no_grad()
def _start_indrnn(layer: Recurrent, longest: int) -> None:
    """Li et al. 2018: small weights of what comes in, so that sums over all steps stay small."""
    init.independent_(layer, longest, least=0.5)
    for name, parameter in layer.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.normal_(parameter, std=min(0.05, 20 / longest))
        elif name.startswith("bias"):
            nn.init.zeros_(parameter)


@torch.no_grad()
def _start_unicornn(layer: Recurrent) -> None:
    """Rusch and Mishra 2021b: what each unit sees of itself within [0, 1], all paces alike."""
    for name, parameter in layer.named_parameters():
        if name.startswith("w_"):
            nn.init.uniform_(parameter, 0, 1)
        elif name.startswith("pace"):
            nn.init.uniform_(parameter, -0.1, 0.1)


class MemoryNetwork(nn.Module):
    """Recurrent layers and a linear map of the last one's hidden states."""

    def __init__(
        self, cell: str, units: int, problem: Problem, seed: int, *, layers: int = 1
    ) -> None:
        super().__init__()
        of = start_of(cell)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = of.layer(problem.inputs, units, layers, problem.length)
            self.head = nn.Linear(units, problem.outputs)
        self.longest = problem.length

    def forward(self, x: Tensor, answered: int) -> Tensor:
        """(T, B, I) to the answers of the last `answered` steps, (R, B, O)."""
        if self.training and self.encoder.cell.name == library.indrnn.name:
            init.bound_independent_(self.encoder, self.longest)
        hidden: Tensor = self.encoder(x)[0]
        answers: Tensor = self.head(hidden[-answered:])
        return answers


class MemoryTask(Task[Batch]):
    """Training on sequences that are drawn anew for each step."""

    def __init__(self, network: MemoryNetwork, problem: Problem, seed: int) -> None:
        self.network = network
        self.problem = problem
        self.seed = seed

    def steps_per_epoch(self, batch_size: int) -> int:
        """No example comes twice: an epoch is any number."""
        return 100

    def depth_groups(self) -> Sequence[tuple[str, Sequence[nn.Parameter]]]:
        """Matrices that stay orthogonal may learn at a rate of their own, a lower one."""
        slow = {p for name, p in self.network.named_parameters() if "parametrizations" in name}
        rest = [p for p in self.network.parameters() if p not in slow]
        groups: list[tuple[str, Sequence[nn.Parameter]]] = [("network", rest)]
        return [("orthogonal", list(slow)), *groups] if slow else groups

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Batch:
        """Sequences of the step, new ones."""
        x, target = self.problem.draw("training", batch_size, (self.seed << 32) + step)
        mine = slice(shard.index, None, shard.count)
        return Batch(x[:, mine], target[:, mine])

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """The loss of all answers."""
        losses = self.problem.loss(network(batch.x, len(batch.target)), batch.target)
        return Loss(losses.sum(), torch.tensor(float(losses.numel())))

    def validate(self, network: nn.Module) -> dict[str, float]:
        """The problem's score, as the loss."""
        return {"loss": self.score(network, "validation")}

    def score(self, network: nn.Module, part: Part) -> float:
        """The problem's score on held-out sequences, the same for every network."""
        batches = [
            self.problem.draw(part, sequences, place)
            for place, sequences in enumerate(self.problem.held_out(part))
        ]
        scores = [
            self.problem.score(network(x, len(target)), target) * x.shape[1]
            for x, target in batches
        ]
        return sum(scores) / sum(batch.x.shape[1] for batch in batches)
