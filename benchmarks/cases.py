"""The work that is measured, and what it is to be compared with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gated.core.layout import LAYOUTS, Weights, weight_shapes

WIDTHS = {"float32": 4, "bfloat16": 2, "int8": 1}
"""Bytes of a number in each precision."""


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
    goal: float | None
    """How many times faster than the best peer this is meant to be; None where nothing is asked."""
    peers: tuple[str, ...] = ("torch",)
    """Names of contenders, each in the case's precision or in the one that is named after it:
    `torch`, `torch int8`."""
    ragged: bool = False
    projected: int = 0
    layer_norm: bool = False
    precision: str = "float32"
    """One of `WIDTHS`: float32, or what weights are stored in and products read."""
    recompute: bool = False
    limit_goal: float | None = None
    """The share of the processor's limit that is meant."""

    @property
    def name(self) -> str:
        what = [self.cell.removesuffix("_tanh").upper(), self.work]
        what += ["ragged"] * self.ragged + ["layer norm"] * self.layer_norm
        what += [f"projected to {self.projected}"] * bool(self.projected)
        what += [self.precision] * (self.precision != "float32") + ["recompute"] * self.recompute
        what += ["against the plain layer"] * (self.peers == ("plain",))
        return f"{' '.join(what)}  {self.T}, {self.B}, {self.I}, {self.H}"

    @property
    def lengths(self) -> np.ndarray | None:
        """(B), between T/2 and T."""
        if not self.ragged:
            return None
        return np.random.default_rng(0).integers(self.T // 2, self.T + 1, self.B)

    @property
    def plain(self) -> Case:
        """The same layer without what the case is about, which `plain` runs."""
        work = "infer" if self.work == "trace" else self.work
        return self._replace(work=work, layer_norm=False, recompute=False)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights that a step reads."""
        return WIDTHS[self.precision] * self.weight_count

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
_OF_ANY_PRECISION = (
    "torch float32",
    "torch int8",
    "onnxruntime float32",
    "onnxruntime int8",
    "openvino float32",
    "openvino bfloat16",
    "rtneural float32",
)
CASES = [
    Case("train", "lstm", 100, 32, 64, 128, 1.7, ("torch", "compiled", "jax")),
    Case("train", "lstm", 100, 64, 256, 256, 1.6, ("torch", "jax")),
    Case("train", "lstm", 50, 64, 1024, 1024, 1.19, limit_goal=0.8),
    Case("train", "lstm", 512, 16, 128, 256, 1.8),
    Case("train", "gru", 100, 32, 64, 128, 3.5, ("torch", "jax")),
    Case("train", "gru", 100, 1, 8, 32, 8.0, ("torch", "jax")),
    Case("train", "rnn_tanh", 100, 32, 64, 128, 2.5, ("torch", "jax")),
    Case("train", "lstm", 100, 32, 64, 128, 12.0, ragged=True),
    Case("train", "lstm", 2000, 16, 32, 64, 200.0, ragged=True),
    Case("train", "lstm", 100, 32, 64, 128, 5.0, projected=64),
    Case(
        "train", "lstm", 100, 32, 64, 128, None, ("torch", "scripted", "compiled"), layer_norm=True
    ),
    Case("train", "lstm", 100, 32, 64, 128, 0.8, ("plain",), layer_norm=True),
    Case("train", "lstm", 100, 64, 256, 256, None, ("plain",), recompute=True),
    Case("train", "lstm", 100, 64, 256, 256, 1.5, ("torch", "autocast"), precision="bfloat16"),
    Case("train", "lstm", 50, 64, 1024, 1024, 1.3, ("torch", "autocast"), precision="bfloat16"),
    Case("train", "gru", 100, 64, 256, 256, 2.5, ("torch", "autocast"), precision="bfloat16"),
    Case("infer", "lstm", 100, 32, 64, 128, 1.2, _RUNTIMES),
    Case("infer", "gru", 100, 64, 256, 256, 1.15, _RUNTIMES),
    *(
        Case("infer", "lstm", T, 64, H, H, 1.5, ("torch", "autocast", "openvino"),
             precision="bfloat16")
        for T, H in ((100, 256), (50, 1024))
    ),
    Case(
        "infer", "lstm", 50, 64, 1024, 1024, 1.3, ("torch", "onnxruntime", "openvino"),
        precision="int8",
    ),
    Case("trace", "lstm", 100, 32, 64, 128, 0.67, ("plain",)),
    Case("step", "lstm", 1, 1, 64, 128, 6.0, (*_RUNTIMES, "rtneural")),
    Case("step", "lstm", 1, 1, 256, 512, 1.0, (*_RUNTIMES, "rtneural")),
    *(
        Case("step", "lstm", 1, 1, 256, 512, 4.0, _OF_ANY_PRECISION, precision=precision)
        for precision in ("bfloat16", "int8")
    ),
]  # fmt: skip
"""The rows of the speed table, each with its goal: against the best peer in the same precision, of
the step with narrow weights in any. Layer norm is meant to take at most 1.25 times as long as the
plain layer."""

assert all(case.cell in LAYOUTS for case in CASES)  # noqa: S101
