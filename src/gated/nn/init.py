"""Initial values for long memories, for any layer of `gated.nn.Recurrent`.

Each function changes a layer in place, in all its layers and directions, and returns it. Like those
of `torch.nn.init` their names end in an underscore.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from gated.cells.cell import Cell
from gated.cells.tape import Place
from gated.errors import ConfigurationError
from gated.nn.recurrent import Recurrent

Role: TypeAlias = Literal["keeps", "replaces", "writes"]
"""keeps: the more open the gate is, the more of a state is kept. replaces: the less is kept.
writes: it scales what is added to a state that another gate keeps."""

_OPEN = 30.0
"""Input of a sigmoid at which it is 1 up to rounding."""


class GateRole(NamedTuple):
    """The effect of a gate on one state."""

    gate: str
    """The gate's name in the definition."""
    state: int
    role: Role


@cache
def gate_roles(cell: Cell) -> tuple[GateRole, ...]:
    """Which gates control how long a state is remembered, found by opening and closing each.

    Only gates whose activation is a sigmoid, and states that a gate can keep unchanged.

    >>> from gated.cells import library
    >>> [(of.gate, of.role) for of in gate_roles(library.lstm)]
    [('f', 'keeps'), ('i', 'writes')]
    >>> [(of.gate, of.role) for of in gate_roles(library.mgu)]
    [('f', 'replaces')]
    """
    cell = cell.with_constants()  # without the layer's options
    sigmoids = [gate for gate in _gates(cell) if _is_sigmoid(cell, gate)]
    roles: list[GateRole] = []
    for state in range(len(cell.states)):
        found = []
        for gate in sigmoids:
            shut, opened = (_kept(cell, state, gate, sum) for sum in (-_OPEN, _OPEN))
            if max(shut, opened) > 0.99 and min(shut, opened) < 0.9:
                found.append(GateRole(gate, state, "keeps" if opened > shut else "replaces"))
        kept_by = {of.gate for of in found}
        if found:
            found += [
                GateRole(gate, state, "writes")
                for gate in sigmoids
                if gate not in kept_by and _written(cell, state, gate) == 0
            ]
        roles += found
    return tuple(roles)


def chrono_(layer: Recurrent, longest: int) -> Recurrent:
    """Let units start with memories from one step to `longest` steps long.

    Tallec and Ollivier 2018, eq. 16: with u uniform in [1, longest - 1], the bias of a gate that
    keeps is ln u, that of one that replaces or writes -ln u.

    Raises:
        ConfigurationError: no gate of the cell keeps a state, or there is no bias to set.

    >>> from gated.cells import library
    >>> layer = chrono_(Recurrent(library.gru, 1, 4), longest=100)
    >>> bool((layer.bias_ih_l0[4:8] >= 0).all())
    True
    """
    if longest < 3:
        raise ConfigurationError(
            f"longest is the longest memory in steps, at least 3, got {longest}"
        )
    _check_biases(layer)
    for weights in _directions(layer):
        set_chrono(layer.cell, weights, layer.hidden_size, longest)
    return layer


def forget_bias_(layer: Recurrent, bias: float = 1.0) -> Recurrent:
    """Let the gates that keep a state start open, with this bias, and those that replace it shut.

    Gers, Schmidhuber and Cummins 2000; Jozefowicz, Zaremba and Sutskever 2015.

    Raises:
        ConfigurationError: no gate of the cell keeps a state, or there is no bias to set.
    """
    _check_biases(layer)
    for weights in _directions(layer):
        set_forget_bias(layer.cell, weights, layer.hidden_size, bias)
    return layer


def orthogonal_(layer: Recurrent) -> Recurrent:
    """Let each gate's recurrent weights start orthogonal (Saxe, McClelland and Ganguli 2014).

    Such a matrix neither shrinks nor stretches the hidden state.

    Raises:
        ConfigurationError: the cell has no square recurrent matrix, or heads divide it.
    """
    squares = [
        matrix
        for matrix in layer.cell.matrices
        if matrix.name != "weight_ih" and matrix.columns == matrix.rows == "H"
    ]
    if not squares or layer.heads > 1:
        raise ConfigurationError(
            f"the cell {layer.cell.name} has no square recurrent matrix that could be orthogonal"
        )
    for weights in _directions(layer):
        for matrix in squares:
            set_orthogonal(weights[matrix.name], layer.hidden_size)
    return layer


def stay_orthogonal_(layer: Recurrent) -> Recurrent:
    """Let the recurrent matrices start orthogonal and stay so while they are trained.

    Each is the exponential of a skew-symmetric matrix times the one it starts from
    (Lezcano-Casado and Martínez-Rubio 2019), which turns planes by angles uniform in [-π, π]
    (Henaff, Szlam and LeCun 2016). For cells whose recurrent matrix has a single gate.

    Raises:
        ConfigurationError: the cell has no single square recurrent matrix.

    >>> from gated.cells import library
    >>> layer = stay_orthogonal_(Recurrent(library.rnn_modrelu, 1, 6))
    >>> W = layer.weight_hh_l0
    >>> bool(torch.allclose(W @ W.T, torch.eye(6), atol=1e-5))
    True
    """
    for name in _one_square(layer, "orthogonal", "rnn_modrelu, rnn_tanh"):
        weight = getattr(layer, name)
        parametrizations.orthogonal(layer, name, orthogonal_map="matrix_exp")
        turn = _rotations(layer.hidden_size).to(weight)
        with torch.no_grad():
            setattr(layer, name, turn)
    return layer


def stay_antisymmetric_(layer: Recurrent) -> Recurrent:
    """Let each recurrent matrix be W - Wᵀ of a matrix W, which is learned in its place.

    Chang et al. 2019: all eigenvalues of such a matrix are imaginary, so that a state which follows
    it neither grows nor decays. For cells whose recurrent matrix has a single gate.

    Raises:
        ConfigurationError: the cell has no single square recurrent matrix.

    >>> from gated.cells import library
    >>> layer = stay_antisymmetric_(Recurrent(library.antisymmetric_rnn, 1, 6))
    >>> W = layer.weight_hh_l0
    >>> bool(torch.equal(W, -W.T))
    True
    """
    cells = "antisymmetric_rnn, gated_antisymmetric_rnn"
    for name in _one_square(layer, "antisymmetric", cells):
        parametrize.register_parametrization(layer, name, _Antisymmetric())
    return layer


class _Antisymmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight - weight.T

    def right_inverse(self, antisymmetric: Tensor) -> Tensor:
        return antisymmetric / 2


def independent_(layer: Recurrent, longest: int, least: float = 0.0) -> Recurrent:
    """Let each unit's own recurrent weight start where `longest` steps do not make it explode.

    Li et al. 2018: uniform from 0 to 2^(1/longest), with which a unit at most doubles over
    `longest` steps. In the last layer uniform from least^(1/longest), with which a unit keeps at
    least the share `least` of its state over as many steps, for tasks that read the last output
    alone. During training `bound_independent_` keeps the upper bound.

    Raises:
        ConfigurationError: the cell has no recurrent weight of each unit.

    >>> from gated.cells import library
    >>> layer = independent_(Recurrent(library.indrnn, 1, 4), longest=100, least=0.5)
    >>> bool(((layer.u_l0 > 0.993) & (layer.u_l0 < 1.007)).all())
    True
    """
    for place, weight in enumerate(_own_weights(layer)):
        last = place >= (layer.num_layers - 1) * (1 + layer.bidirectional)
        lowest = least ** (1 / longest) if last and least else 0.0
        nn.init.uniform_(weight, lowest, 2 ** (1 / longest))
    return layer


@torch.no_grad()
def bound_independent_(layer: Recurrent, longest: int) -> Recurrent:
    """Clip each unit's own recurrent weight to ±2^(1/longest); call it after each training step."""
    for weight in _own_weights(layer):
        weight.clamp_(-(2 ** (1 / longest)), 2 ** (1 / longest))
    return layer


Weights: TypeAlias = Mapping[str, Tensor]
"""Of one direction, by the names of a cell's matrices, biases and parameters."""


@torch.no_grad()
def set_chrono(cell: Cell, weights: Weights, units: int, longest: int) -> None:
    """Do what `chrono_` does, to the biases of one direction."""
    roles = gate_roles(cell)
    for state in sorted({of.state for of in roles}):
        lifetimes = weights["bias_ih"].new_empty(units).uniform_(1, longest - 1).log()
        for of in roles:
            if of.state == state:
                _set_bias(cell, weights, of.gate, lifetimes if of.role == "keeps" else -lifetimes)


@torch.no_grad()
def set_forget_bias(cell: Cell, weights: Weights, units: int, bias: float) -> None:
    """Do what `forget_bias_` does, to the biases of one direction."""
    value = weights["bias_ih"].new_full((units,), bias)
    for of in gate_roles(cell):
        if of.role != "writes":
            _set_bias(cell, weights, of.gate, value if of.role == "keeps" else -value)


@torch.no_grad()
def set_orthogonal(weight: Tensor, units: int) -> None:
    """Initialise each square block of rows of a matrix as an orthogonal matrix."""
    for block in torch.split(weight, units):
        nn.init.orthogonal_(block)


def _own_weights(layer: Recurrent) -> list[Tensor]:
    if not any(of.name == "u" and not of.gates for of in layer.cell.parameters):
        raise ConfigurationError(
            f"the cell {layer.cell.name} has no weight u for each unit, as indrnn has"
        )
    return [getattr(layer, "u" + suffix) for suffix in _suffixes(layer)]


def _gates(cell: Cell) -> list[str]:
    """All gates that have a bias, as the definition names them."""
    named = dict.fromkeys(g for matrix in cell.matrices if matrix.has_bias for g in matrix.gates)
    return [gate for gate in named if not gate.startswith("_")]


def _is_sigmoid(cell: Cell, gate: str) -> bool:
    """Whether sigmoids, and nothing else, read a gate's pre-activation."""
    sums: set[Place] = set()
    uses = 0
    for place, node in enumerate(cell.tape.nodes):
        if node.operation == "product" and node.about.gate == gate:
            if node.about.matrix in ("weight_ih", "weight_hh"):
                sums.add(place)
        elif not sums.isdisjoint(node.arguments):
            if node.operation in ("add", "sub", "neg"):
                sums.add(place)
            elif node.operation == "sigmoid":
                uses += 1
            else:
                return False
    return uses > 0


@torch.no_grad()
def _after(cell: Cell, state: int, before: float, sums: Mapping[str, float]) -> float:
    """A state after one step of one unit, all weights 0 but the biases that are given."""
    # This must leave the random state as it is, and work while layers are made on the meta device.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        layer = Recurrent(cell, 1, 1, dtype=torch.float64, backend="torch")
        for parameter in layer.parameters():
            parameter.zero_()
        (weights,) = _directions(layer)
        for gate, value in sums.items():
            _set_bias(cell, weights, gate, torch.tensor([value]))
        initial = [torch.zeros(1, 1, 1, dtype=torch.float64) for _ in cell.states]
        initial[state] += before
        nothing = torch.zeros(1, 1, dtype=torch.float64)
        per_step = {
            name: nothing if width == "1" else nothing.unsqueeze(-1)
            for name, width in cell.per_step_widths.items()
        }
        _, final = layer(nothing.unsqueeze(-1), tuple(initial), **per_step)
    return float(final[state] if len(cell.states) > 1 else final)


def _kept(cell: Cell, state: int, gate: str, sum: float) -> float:
    """The share of a state that is left after a step, with one gate's pre-activation given."""
    sums = {gate: sum}
    return (_after(cell, state, 2.0, sums) - _after(cell, state, 0.0, sums)) / 2


def _written(cell: Cell, state: int, gate: str) -> float:
    """What a state of 0 becomes with one gate shut and the pre-activations of all others at 1."""
    sums = dict.fromkeys(_gates(cell), 1.0) | {gate: -_OPEN}
    return round(_after(cell, state, 0.0, sums), 6)


def _check_biases(layer: Recurrent) -> None:
    if not gate_roles(layer.cell):
        raise ConfigurationError(
            f"the cell {layer.cell.name} has no gate that keeps a state, so there is no such bias"
        )
    if not layer.bias:
        raise ConfigurationError("bias=False leaves no bias of the gates that keep to be set")


def _set_bias(cell: Cell, weights: Weights, gate: str, value: Tensor) -> None:
    """Set the sum of all biases of a gate."""
    for matrix in cell.matrices:
        if gate in matrix.gates:
            first = matrix.gates.index(gate) * len(value)
            weights[matrix.bias][first : first + len(value)] = value
            value = torch.zeros_like(value)


def _one_square(layer: Recurrent, so: str, cells: str) -> list[str]:
    """The names of the recurrent matrices, each a single square."""
    of = {matrix.name: matrix for matrix in layer.cell.matrices}.get("weight_hh")
    if of is None or len(of.gates) > 1 or of.columns != "H" or layer.heads > 1:
        raise ConfigurationError(
            f"the cell {layer.cell.name} has no recurrent matrix of one gate, so it cannot stay "
            f"{so}: take {cells} or another with one"
        )
    return [of.name + suffix for suffix in _suffixes(layer)]


def _directions(layer: Recurrent) -> Iterator[Weights]:
    return (weights for directions in layer._weights() for weights in directions)


def _suffixes(layer: Recurrent) -> list[str]:
    return [suffix for place in range(layer.num_layers) for suffix in layer._suffixes(place)]


def _rotations(units: int) -> Tensor:
    """An orthogonal matrix that rotates pairs of units by random angles."""
    skew = torch.zeros(units, units, dtype=torch.float64)
    first = torch.arange(0, units - 1, 2)
    angles = torch.empty(len(first), dtype=torch.float64).uniform_(-math.pi, math.pi)
    skew[first, first + 1], skew[first + 1, first] = angles, -angles
    return torch.matrix_exp(skew)
