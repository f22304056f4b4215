"""The networks that are tested: cells by name, and their initialisation."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal

from gated.cells import Cell, library
from gated.cells.named import cell_named, cells
from gated.errors import ConfigurationError, option
from gated.nn import init
from gated.nn.named import start_open_
from gated.nn.recurrent import Recurrent
from gated.tasks.memory.problems import Problem

STARTS: Mapping[str, Callable[[Recurrent, int], Any]] = {
    "chrono": init.chrono_,
    "orthogonal": lambda layer, _: init.orthogonal_(layer),
    "exp": lambda layer, _: init.stay_orthogonal_(layer),
}
"""Initialisations that may follow a cell's name; called with layer and longest memory in steps."""

LAYER_NORM = "layer-norm"
"""Layer normalisation, which may follow a cell's name too."""


class Start(NamedTuple):
    """A cell, and the initialisation of its layers."""

    cell: Cell
    starts: tuple[str, ...]
    """Initialisations, keys of `STARTS`."""
    layer_norm: bool

    def layer(self, inputs: int, units: int, layers: int, longest: int) -> Recurrent:
        """Return layers of the cell, initialised for memories of this many steps.

        Raises:
            ConfigurationError: the cell does not support this initialisation.
        """
        layer = Recurrent(self.cell, inputs, units, layers, layer_norm=self.layer_norm)
        if self.cell not in (library.indrnn, library.unicornn):
            start_open_(layer)
        if next(layer.parameters()).is_meta:  # asked for shapes alone: there are no values to set
            if "exp" in self.starts:
                _shape_orthogonal(layer)
            return layer
        if self.cell is library.indrnn:
            _start_indrnn(layer, longest)
        elif self.cell is library.unicornn:
            _start_unicornn(layer)
        for start in self.starts:
            STARTS[start](layer, longest)
        return layer


def start_of(name: str) -> Start:
    """The cell of a name such as `lstm-chrono`.

    Raises:
        ConfigurationError: there is no such cell, or no such initialisation.

    >>> start_of("gru-reset-before-chrono").starts
    ('chrono',)
    """
    plain = name.replace("_", "-")
    parts = [known for known in cells() if plain == known or plain.startswith(known + "-")]
    cell = max(parts, key=len, default=plain)
    found = cell_named(cell, "cells")
    follows = plain[len(cell) :].replace(LAYER_NORM, "layer_norm").split("-")[1:]
    for one in follows:
        if one not in (*STARTS, "layer_norm"):
            every = [*STARTS, LAYER_NORM]
            near = difflib.get_close_matches(one, every, n=1, cutoff=0.0)[0]
            raise ConfigurationError(
                f"{option('cells')}: {name!r} has {one!r} behind {cell}; did you mean {near}? "
                f"There are {', '.join(every)}."
            )
    starts = tuple(one for one in follows if one in STARTS)
    return Start(found, starts, "layer_norm" in follows)


def _shape_orthogonal(layer: Recurrent) -> None:
    """Give a layer without values the parameters and buffers that `init.stay_orthogonal_` does."""
    for name in [name for name, _ in layer.named_parameters() if name.startswith("weight_hh")]:
        weight = getattr(layer, name)
        orthogonal(layer, name, orthogonal_map="matrix_exp", use_trivialization=False)
        layer.get_submodule(f"parametrizations.{name}.0").register_buffer("base", weight.detach())


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
    """Recurrent layers, and a linear map of the last layer's hidden states."""

    def __init__(
        self, cell: str, units: int, problem: Problem, seed: int, *, layers: int = 1
    ) -> None:
        super().__init__()
        of = start_of(cell)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = of.layer(problem.inputs, units, layers, problem.length)
            self.head = nn.Linear(units, problem.outputs)
        self.longest, self.answered = problem.length, problem.answered

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs (T, B, I) to the outputs of the last R steps, (R, B, O)."""
        if self.training and self.encoder.cell.name == library.indrnn.name:
            init.bound_independent_(self.encoder, self.longest)
        hidden: Tensor = self.encoder(x)[0]
        answers: Tensor = self.head(hidden[-self.answered :])
        return answers
