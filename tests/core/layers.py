"""Layers to test with: random weights and sequences, every variant, and each written as a loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from gated.core import layout
from gated.core.layout import Weights, layout_of
from gated.core.variants import Regularisation, Zoneout

VARIANTS: dict[str, dict[str, bool]] = {
    "plain": {},
    "no biases": {"bias": False},
    "projected": {"projected": True},
    "layer norm": {"layer_norm": True},
    "recurrent dropout": {"hidden_mask": True},
    "weight drop": {"weight_mask": True},
    "zoneout": {"zoneout": True},
    "everything": {
        "projected": True,
        "layer_norm": True,
        "hidden_mask": True,
        "weight_mask": True,
        "zoneout": True,
    },
}
"""What may be asked of a layer, by name; `options_for` leaves out what a cell does not have."""


def options_for(cell: str, variant: str) -> dict[str, bool]:
    """The options of a variant as far as the cell has them."""
    options = dict(VARIANTS[variant])
    if not cell.startswith("lstm"):
        options.pop("projected", None)
    if not layout_of(cell).normalised_together:
        options.pop("layer_norm", None)
    return options


def variants(cells: list[str]) -> list[tuple[str, str]]:
    """Every cell with every variant that it has."""
    return [
        (cell, variant)
        for cell in cells
        for variant in VARIANTS
        if variant in ("plain", "everything") or options_for(cell, variant)
    ]


class RandomLayer:
    """Input (T, B, I), weights, initial states, masks and gradients of sizes (T, B, I, H)."""

    def __init__(
        self,
        cell: str,
        sizes: tuple[int, int, int, int],
        *,
        dtype: str = "float64",
        bias: bool = True,
        projected: bool = False,
        peepholes: bool = False,
        layer_norm: bool = False,
        hidden_mask: bool = False,
        weight_mask: bool = False,
        zoneout: bool = False,
        seed: int = 0,
    ) -> None:
        T, B, I, H = sizes  # noqa: E741
        self.cell, self.dtype = cell, dtype
        self.random = np.random.default_rng([seed, *sizes])
        P = max(H // 2, 1) if projected else H
        absent = set() if projected else {"weight_hr"}
        absent |= set() if peepholes else {"peepholes"}
        absent |= set() if bias else {"bias_ih", "bias_hh"}
        absent |= set() if layer_norm else {"gain_ih", "gain_hh"}
        absent |= set() if layer_norm and cell.startswith("lstm") else {"gain_cell", "bias_cell"}
        shapes = layout.weight_shapes(cell, I, H, P)._asdict()
        self.weights: Weights[Any] = Weights(
            **{
                name: None
                if name in absent
                else self.array(*shape) * (1 if name.startswith("gain") else H**-0.5)
                for name, shape in shapes.items()
            }
        )
        self.widths = (P, H)[: len(layout_of(cell).states)]
        self.initial = [self.array(B, width) for width in self.widths]
        self.x = self.array(T, B, I)
        self.regularisation = Regularisation(
            self.mask(B, P) if hidden_mask else None,
            self.mask(*self.weights.weight_hh.shape) if weight_mask else None,
            Zoneout((0.3, 0.6)[: len(self.widths)], 2**63 + 5) if zoneout else None,
        )
        self.grad_output = self.array(T, B, P)
        self.grad_final = [self.array(B, width) for width in self.widths]
        names = dict.fromkeys(layout_of(cell).gates + layout_of(cell).states)
        self.grad_gates = {name: self.array(T, B, P if name == "hidden" else H) for name in names}

    def array(self, *shape: int) -> np.ndarray:
        return self.random.standard_normal(shape).astype(self.dtype)

    def mask(self, *shape: int) -> np.ndarray:
        return ((self.random.random(shape) < 0.7) / 0.7).astype(self.dtype)

    def given(self) -> dict[str, Any]:
        """The arguments of `forward`."""
        return {
            "cell": self.cell,
            "x": self.x,
            "weights": self.weights,
            "initial": self.initial,
            "regularisation": self.regularisation,
        }


def by_torch(
    layer: RandomLayer, lengths: list[int] | None = None, reverse: bool = False
) -> dict[str, Any]:
    """The layer as a plain loop over tensors, and every gradient as torch's autograd has it."""

    def leaf(array: np.ndarray | None) -> torch.Tensor | None:
        return None if array is None else torch.from_numpy(array.copy()).requires_grad_()

    x = leaf(layer.x)
    w = Weights(*map(leaf, layer.weights))
    initial = [leaf(state) for state in layer.initial]
    T, B, _ = layer.x.shape
    spans = [T] * B if lengths is None else lengths
    names = layer.grad_gates.keys()
    gates = {name: [[None] * B for _ in range(T)] for name in names}
    finals = [[] for _ in initial]
    for b, span in enumerate(spans):
        states = [state[b] for state in initial]
        for t in reversed(range(span)) if reverse else range(span):
            step = _torch_step(layer, x[t, b], states, w, t, b)
            states = [step[name] for name in layout_of(layer.cell).states]
            for name in names:
                gates[name][t][b] = step[name]
        for final, state in zip(finals, states, strict=True):
            final.append(state)

    def padded(name: str) -> torch.Tensor:
        width = layer.grad_gates[name].shape[-1]
        nothing = torch.zeros(width, dtype=x.dtype)
        rows = [nothing if v is None else v for step in gates[name] for v in step]
        return torch.stack(rows).reshape(T, B, width) if rows else torch.zeros(T, B, width)

    gates = {name: padded(name) for name in names}
    finals = [torch.stack(final) for final in finals]
    loss = (gates["hidden"] * torch.from_numpy(layer.grad_output)).sum()
    for name, grad in layer.grad_gates.items():
        loss = loss + (gates[name] * torch.from_numpy(grad)).sum()
    for final, grad in zip(finals, layer.grad_final, strict=True):
        loss = loss + (final * torch.from_numpy(grad)).sum()
    leaves = [x, *w, *initial]
    present = [tensor for tensor in leaves if tensor is not None]
    found = iter(torch.autograd.grad(loss, present, materialize_grads=True))
    grads = [None if tensor is None else next(found) for tensor in leaves]
    return {
        "gates": gates,
        "final": finals,
        "grad_x": grads[0],
        "grad_weights": grads[1 : 1 + len(w)],
        "grad_initial": grads[1 + len(w) :],
    }


def _torch_step(
    layer: RandomLayer,
    x: torch.Tensor,
    states: list[torch.Tensor],
    w: Weights[Any],
    time: int,
    sequence: int,
) -> dict[str, torch.Tensor]:
    """One step of one sequence, written from the papers and without their shortcuts."""
    cell, (hidden_mask, weight_mask, zoneout) = layer.cell, layer.regularisation
    h = states[0]
    if hidden_mask is not None:
        h = h * torch.from_numpy(hidden_mask[sequence])
    W_hh = w.weight_hh if weight_mask is None else w.weight_hh * torch.from_numpy(weight_mask)
    zeros = torch.zeros(len(w.weight_ih), dtype=x.dtype)
    b_ih = zeros if w.bias_ih is None else w.bias_ih
    b_hh = zeros if w.bias_hh is None else w.bias_hh
    G = len(layout_of(cell).gates)

    def normed(product: torch.Tensor, gain: torch.Tensor | None) -> torch.Tensor:
        if gain is None:
            return product
        H = len(product) // G
        parts = product.split([H * span for span in layout_of(cell).normalised_together])
        return gain * torch.cat([functional.layer_norm(part, part.shape) for part in parts])

    u = (normed(w.weight_ih @ x, w.gain_ih) + b_ih).chunk(G)
    v = (normed(W_hh @ h, w.gain_hh) + b_hh).chunk(G)
    step: dict[str, torch.Tensor] = {}
    if cell.startswith("rnn"):
        step["hidden"] = (torch.tanh if cell == "rnn_tanh" else torch.relu)(u[0] + v[0])
    elif cell.startswith("gru"):
        r, z = torch.sigmoid(u[0] + v[0]), torch.sigmoid(u[1] + v[1])
        if cell == "gru":
            n = torch.tanh(u[2] + r * v[2])
        else:
            n = torch.tanh(u[2] + W_hh.chunk(3)[2] @ (r * h) + b_hh.chunk(3)[2])
        step |= {"reset_gate": r, "update_gate": z, "candidate": n}
        step["hidden"] = (1 - z) * n + z * states[0]
    else:
        p = torch.zeros(3, len(states[1]), dtype=x.dtype) if w.peepholes is None else w.peepholes
        *_, a_f, a_g, a_o = (one + other for one, other in zip(u, v, strict=True))
        f = torch.sigmoid(a_f + p[1] * states[1])
        i = 1 - f if cell == "lstm_coupled" else torch.sigmoid(u[0] + v[0] + p[0] * states[1])
        g = torch.tanh(a_g)
        c = f * states[1] + i * g
        o = torch.sigmoid(a_o + p[2] * c)
        shown = c
        if w.gain_cell is not None:
            shown = w.gain_cell * functional.layer_norm(c, c.shape) + w.bias_cell
        if cell == "lstm":
            step["input_gate"] = i
        step |= {"forget_gate": f, "candidate": g, "output_gate": o, "cell": c}
        step["hidden"] = o * torch.tanh(shown)
        if w.weight_hr is not None:
            step["hidden"] = w.weight_hr @ step["hidden"]
    if zoneout is not None:
        for state, name in enumerate(layout_of(cell).states):
            old = states[state]
            kept = torch.tensor(
                [keeps(zoneout, state, time, sequence, unit) for unit in range(len(old))],
                dtype=x.dtype,
            )
            step[name] = kept * old + (1 - kept) * step[name]
    return step


def keeps(zoneout: Zoneout, state: int, time: int, sequence: int, unit: int) -> float:
    """How much of a unit zoneout keeps, one at a time and in Python's unbounded integers."""
    probability = zoneout.rates[state]
    if zoneout.seed is None:
        return probability
    word, half = 2**64, 2**32

    def mixed(z: int) -> int:
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % word
        z = (z ^ z >> 27) * 0x94D049BB133111EB % word
        return z ^ z >> 31

    place = sequence * half + time + 1
    key = mixed((mixed((zoneout.seed + 0x9E3779B97F4A7C15 * place) % word) + state) % word)
    x = (unit * 0x9E3779B1 + key) % half
    x = (x ^ x >> 16) * 0x7FEB352D % half
    x = (x ^ x >> 15) * 0x846CA68B % half
    return float(x ^ x >> 16 ^ key >> 32 < int(probability * half))
