"""The work that is measured, and what it is to be compared with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gated.core.layout import LAYOUTS, Weights, weight_shapes


class Case(NamedTuple):
    """One row of the speed table; sizes are T steps, B sequences, I features, H units."""

    work: str
    """train: forward and backward; infer: forward alone; step: one step of a stream; trace: forward
    with every gate and state looked at, beside the same layer alone."""
    cell: str
    T: int
    B: int
    I: int  # noqa: E741
    H: int
    goal: float
    """How many times faster than the best peer this is meant to be."""
    peers: tuple[str, ...] = ("torch",)
    ragged: bool = False
    projected: int = 0
    layer_norm: bool = False

    @property
    def name(self) -> str:
        what = [self.cell.removesuffix("_tanh").upper(), self.work]
        what += ["ragged"] * self.ragged + ["layer norm"] * self.layer_norm
        what += [f"projected to {self.projected}"] * bool(self.projected)
        return f"{' '.join(what)}  {self.T}, {self.B}, {self.I}, {self.H}"

    @property
    def lengths(self) -> np.ndarray | None:
        """(B), between T/2 and T."""
        if not self.ragged:
            return None
        return np.random.default_rng(0).integers(self.T // 2, self.T + 1, self.B)

    @property
    def operations(self) -> float:
        """Multiplications and additions of the products with the weights."""
        rows = self.T * self.B if self.lengths is None else int(self.lengths.sum())
        passes = 3 if self.work == "train" else 1
        return 2.0 * rows * self.weight_count * passes

    @property
    def weight_count(self) -> int:
        shapes = weight_shapes(self.cell, self.I, self.H, self.projected)
        products = [shapes.weight_ih, shapes.weight_hh]
        return sum(a * b for a, b in products) + self.H * self.projected

    def arrays(self) -> tuple[np.ndarray, Weights[Any]]:
        """Input (T, B, I) and weights, the same for every contender."""
        random = np.random.default_rng(1)
        absent = {"peepholes"} | ({"weight_hr"} if not self.projected else set())
        if not self.layer_norm:
            absent |= {"gain_ih", "gain_hh", "gain_cell", "bias_cell"}
        shapes = weight_shapes(self.cell, self.I, self.H, self.projected)._asdict()
        weights = {
            name: None
            if name in absent
            else random.uniform(-1, 1, shape).astype("f") * np.float32(self.H**-0.5)
            + np.float32(name.startswith("gain"))
            for name, shape in shapes.items()
        }
        x = random.standard_normal((self.T, self.B, self.I)).astype("f")
        return x, Weights(**weights)


_RUNTIMES = ("torch", "onnxruntime", "openvino", "jax")
CASES = [
    Case("train", "lstm", 100, 32, 64, 128, 1.6, ("torch", "jax")),
    Case("train", "lstm", 100, 64, 256, 256, 1.5, ("torch", "jax")),
    Case("train", "lstm", 50, 64, 1024, 1024, 1.25),
    Case("train", "lstm", 512, 16, 128, 256, 1.8),
    Case("train", "gru", 100, 32, 64, 128, 3.0, ("torch", "jax")),
    Case("train", "gru", 100, 1, 8, 32, 15.0, ("torch", "jax")),
    Case("train", "rnn_tanh", 100, 32, 64, 128, 2.0, ("torch", "jax")),
    Case("train", "lstm", 100, 32, 64, 128, 8.0, ragged=True),
    Case("train", "lstm", 2000, 16, 32, 64, 60.0, ragged=True),
    Case("train", "lstm", 100, 32, 64, 128, 3.0, projected=64),
    Case("train", "lstm", 100, 32, 64, 128, 10.0, ("torch", "scripted"), layer_norm=True),
    Case("infer", "lstm", 100, 32, 64, 128, 1.5, _RUNTIMES),
    Case("infer", "gru", 100, 64, 256, 256, 1.3, _RUNTIMES),
    Case("trace", "lstm", 100, 32, 64, 128, 0.67, ("plain",)),
    Case("step", "lstm", 1, 1, 64, 128, 5.0, _RUNTIMES),
    Case("step", "lstm", 1, 1, 256, 512, 1.0, _RUNTIMES),
]
"""The float32 rows of the design, each with its goal. That of the large step was 4, for narrow
weights, which are still to come: in float32 all read the same bytes, and 1 is meant."""

assert all(case.cell in LAYOUTS for case in CASES)  # noqa: S101
