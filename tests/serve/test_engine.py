"""What runs cells in the page, against the reference: every cell of the library, and one's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.comparison import assert_agree

from gated.cells import Cell, PerUnit, cell, library, mean, norm, sigmoid, tanh
from gated.cells.document import document, documents
from gated.cells.options import heads
from gated.core import plans, reference

WRITTEN = Path(__file__).resolve().parents[2] / "web" / "explorer" / "src" / "cells.json"
SHIPPED = ("rnn_tanh", "rnn_relu", "gru", "lstm")
STEPS, INPUTS, UNITS = 4, 3, 6

COMPUTE = """(cells) => cells.map(({ definition, sizes, weights, x, initial, output }) => {
  const arrays = Object.fromEntries(Object.entries(weights).map(([name, numbers]) =>
    [name, Float32Array.from(numbers)]));
  const engine = new gated.Engine(definition, sizes, arrays);
  const vector = (t) => Float64Array.from(x[t]);
  const trace = engine.run(x.length, { vector }, null, initial.map((of) => Float64Array.from(of)));
  const named = { ...definition.gates };
  for (const { name, after } of definition.states) named[name] = after;
  const states = definition.states.map(() => new Float64Array(sizes.H));
  const back = x.map((_, t) => x.length - 1 - t).map((t) =>
    [...engine.back(trace, t, Float64Array.from(output[t]), states).vector]);
  return {
    values: Object.entries(named).map(([name, node]) => [name, [...engine.valuesOf(trace, node)]]),
    back: back.reverse(),
    states: states.map((of) => [...of]),
  };
})"""


@cell
def attentive(x: Any, h: Any, c: Any, *, p: PerUnit) -> Any:
    """Reductions over units, a parameter, and two states."""
    f = sigmoid(x.f + h.f + p * c)
    c = f * c + (1 - f) * tanh(norm(x.n + h.n)) - mean(c)
    return tanh(c) * sigmoid(x.o + h.o), c


def library_cells() -> dict[str, Cell]:
    """Those that compute from the input alone."""
    found = {name: of for name, of in vars(library).items() if isinstance(of, Cell)}
    own = {"attentive": attentive, "in heads": heads(library.lstm, 2)}
    return {name: of for name, of in found.items() if not of.per_step} | own


def test_the_page_has_the_definitions_of_its_cells() -> None:
    """After a change of a cell, `make explorer` writes them anew."""
    written = json.loads(WRITTEN.read_text())
    assert written == documents({name: getattr(library, name) for name in SHIPPED})


def test_every_value_and_gradient_is_that_of_the_reference(
    opened: Callable[[str], Any], address: str
) -> None:
    """In one call, from states and outputs' gradients that are drawn."""
    draw = np.random.default_rng(0)
    sizes = {"H": UNITS, "I": INPUTS, "P": UNITS, "1": 1}
    asked, expected = [], []
    for of in library_cells().values():
        shapes = plans.parameter_shapes(of, sizes)
        weights = {
            name: draw.uniform(-0.6, 0.6, shape).astype(np.float32)
            for name, shape in shapes.items()
        }
        x = draw.normal(size=(STEPS, 1, INPUTS)).astype(np.float32)
        initial = [draw.normal(size=(1, UNITS)).astype(np.float32) for _ in of.states]
        output = draw.normal(size=(STEPS, 1, UNITS)).astype(np.float32)
        result = reference.forward(
            plans.register(of), x, weights, initial=tuple(initial), keep=True
        )
        assert result.kept is not None
        grads = reference.backward(result.kept, output, [np.zeros_like(s) for s in initial])
        expected.append((of, result.kept, grads))
        asked.append(
            {
                "definition": document(of),
                "sizes": sizes,
                "weights": {name: array.ravel().tolist() for name, array in weights.items()},
                "x": x[:, 0].tolist(),
                "initial": [state[0].tolist() for state in initial],
                "output": output[:, 0].tolist(),
            }
        )
    page = opened(f"{address}#text=a&language=en&theme=light")
    for found, (of, kept, grads) in zip(page.evaluate(COMPUTE, asked), expected, strict=True):
        assert found["values"]
        for name, values in found["values"]:
            array = np.array(values, np.float32).reshape(STEPS, -1)
            assert_agree(array, kept.gate(name)[:, 0], f"{of.name}: {name}")
        back = np.array(found["back"], np.float32)
        assert_agree(back, grads.x[:, 0], f"{of.name}: gradient of x")
        for name, state, array in zip(of.state_names, found["states"], grads.initial, strict=True):
            assert_agree(np.array(state, np.float32), array[0], f"{of.name}: of {name}")
