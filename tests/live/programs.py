"""Small programs with random weights, of every layer of the table."""

from typing import Any

import numpy as np

from gated.live.model import Model
from gated.live.program import Program, Writer


def model(values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Model:
    """Return a program as a model."""
    return Model(Program(values, arrays), arrays, "test")


def random(seed: int, **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return random weights of these shapes; dots in names are written as two underscores."""
    draw = np.random.default_rng(seed)
    return {
        name.replace("__", "."): draw.normal(0, 0.5, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def gru(units: int, inputs: int, weights: str = "r__") -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights of one layer."""
    return {
        f"{weights}weight_ih_l0": (3 * units, inputs),
        f"{weights}weight_hh_l0": (3 * units, units),
        f"{weights}bias_ih_l0": (3 * units,),
        f"{weights}bias_hh_l0": (3 * units,),
    }


def whole() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a program that reads whole sequences of 2 channels by fixed features."""
    writer = Writer("numbers", 2)
    kernels = writer.add(
        "kernel_features",
        writer.input,
        dilations=[1, 3],
        counts=[2, 1],
        reads="k.reads",
        thresholds="k.thresholds",
    )
    found = writer.add("concatenate", kernels, writer.add("summaries", writer.input))
    first = writer.add("linear", found, name="ridge", weight="h.weight", bias="h.bias")
    second = writer.add("linear", found, weight="g.weight")
    both = writer.add("add", first, second, factors=[0.25, 3.0])
    arrays = random(0, k__thresholds=(252,), h__weight=(3, 273), h__bias=(3,), g__weight=(3, 273))
    arrays["k.reads"] = np.ones((2, 84, 2), np.float32)
    arrays["k.reads"][0, ::3, 1] = 0
    return writer.program("logits", both), arrays


def causal() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a program that streams, and reads 2 channels in patches of 3 steps."""
    writer = Writer("numbers", 2, missing=True)
    scaled = writer.add("standardise", writer.input, mean=[1.0, 2.0], deviation=[2.0, 0.5])
    filled = writer.add("fill", scaled)
    both = writer.add("concatenate", filled, writer.add("missing", writer.input))
    seen = writer.add("convolution", both, weight="c.weight", bias="c.bias", before=2)
    names = ("weight", "bias", "mean")
    norm = {name: f"n.{name}" for name in names}
    seen = writer.add("batch_norm", seen, variance="n.variance", epsilon=1e-5, **norm)
    seen = writer.add("activation", seen, function="relu")
    seen = writer.add("layer_norm", seen, weight="n.weight", bias="n.bias", epsilon=1e-5)
    seen = writer.add("patch", seen, steps=3)
    hidden = writer.add("recurrent", seen, cell="gru", weights="r.", layers=1, units=5)
    total = writer.add("add", hidden, writer.add("linear", seen, weight="a.weight"))
    energy = writer.add("linear", total, weight="e.weight", bias="e.bias")
    pools = [writer.add(name, total) for name in ("last", "mean", "max")]
    pooled = writer.add("concatenate", *pools, writer.add("attention", total, energy))
    logits = writer.add("linear", pooled, weight="h.weight", bias="h.bias")
    shares = writer.add("softmax", logits)
    arrays = random(
        0,
        c__weight=(6, 4, 3),
        c__bias=(6,),
        n__weight=(6,),
        n__bias=(6,),
        n__mean=(6,),
        n__variance=(6,),
        a__weight=(5, 18),
        e__weight=(1, 5),
        e__bias=(1,),
        h__weight=(3, 20),
        h__bias=(3,),
        **gru(5, 18),
    )
    arrays["n.variance"] **= 2
    return writer.program("probabilities", shares, labels=["a", "b", "c"]), arrays
