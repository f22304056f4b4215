"""A run of the native core, with nothing but NumPy beside it: what every wheel must pass."""

import sys

import numpy as np

import gated
from gated.core import ops
from gated.core.layout import Weights


def main() -> None:
    """Compare an LSTM with its equations."""
    assert "torch" not in sys.modules, "import gated imports torch"
    assert gated.__file__.startswith(sys.prefix), gated.__file__

    random = np.random.default_rng(0)
    x = random.standard_normal((12, 5, 3))
    layer = Weights(*(random.standard_normal(n) / 3 for n in ((28, 3), (28, 7), 28, 28)))
    hidden, cell = np.zeros((5, 7)), np.zeros((5, 7))
    result = ops.forward("lstm", x, layer)
    for t in range(12):
        sums = x[t] @ layer.weight_ih.T + layer.bias_ih + hidden @ layer.weight_hh.T + layer.bias_hh
        i, f, g, o = np.split(sums, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        cell = f * cell + i * np.tanh(g)
        hidden = o * np.tanh(cell)
        np.testing.assert_allclose(result.output[t], hidden, rtol=0, atol=1e-13)
    np.testing.assert_allclose(result.final, (hidden, cell), rtol=0, atol=1e-13)


if __name__ == "__main__":
    main()
