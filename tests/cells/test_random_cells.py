"""Cells that nobody would write: native against torch's own derivatives, whatever the tape."""

from __future__ import annotations

import os
from importlib.util import find_spec
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.comparison import assert_agree

import gated
from gated.cells import (
    Cell,
    Delayed,
    PerStep,
    PerUnit,
    absolute,
    cell,
    exp,
    linear,
    log,
    maximum,
    mean,
    minimum,
    norm,
    sigmoid,
    softplus,
    sqrt,
    tanh,
    total,
    where,
)
from gated.core import native

OF_ONE = (
    sigmoid,
    tanh,
    softplus,
    norm,
    lambda v: sqrt(absolute(v) + 1),
    lambda v: log(exp(minimum(v, 3.0)) + 1),
    lambda v: exp(-absolute(v)),
    lambda v: v - mean(v),
    lambda v: v / (1 + total(v * v)),
    lambda v: linear(v),
)
OF_TWO = (
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * tanh(b),
    lambda a, b: a / (1 + sigmoid(b)),
    maximum,
    lambda a, b: where(a < b, a, 0.3 * b),
)


def random_cell(seed: int) -> Cell:
    """A cell of up to three states, with products of products and sums over units."""
    random = Random(seed)

    def any_of(values: list[Any]) -> Any:
        return random.choice(values)

    def step(x: Any, states: list[Any], p: Any, u: Any) -> Any:
        pool = [x.a + states[0].a, x.b, p.a * states[-1], u * sigmoid(states[0].b), *states]
        if len(states) > 1:
            pool.append(states[1].c + x.c)
        for number in range(random.randrange(2, 9)):
            kind = random.random()
            if kind < 0.45:
                pool.append(any_of(OF_ONE)(any_of(pool)))
            elif kind < 0.9:
                pool.append(any_of(OF_TWO)(any_of(pool), any_of(pool)))
            else:
                pool.append(getattr(linear(tanh(any_of(pool))), f"g{number}"))
        new = [tanh(any_of(pool[-3:]) + 0.5 * state) for state in states]
        return tuple([pool[-1], *new] if random.random() < 0.3 else new)

    def one(x: Any, h: Any, *, p: PerUnit, u: PerStep) -> Any:
        return step(x, [h], p, u)

    def two(x: Any, h: Any, c: Any, *, p: PerUnit, u: PerStep) -> Any:
        return step(x, [h, c], p, u)

    def three(x: Any, h: Any, c: Any, m: Any, *, p: PerUnit, u: PerStep) -> Any:
        return step(x, [h, c, m], p, u)

    def delayed(x: Any, h: Any, c: Delayed, *, p: PerUnit, u: PerStep, delay: float = 2) -> Any:
        *output, new, _ = step(x, [h, c], p, u)
        return (*output, new, h)

    return cell(random.choice([one, two, three, delayed]))


def results(seed: int, sizes: tuple[int, int, int, int], *backends: str) -> list[list[Any]]:
    """By each backend: output, final states, and every gradient."""
    T, B, inputs, units = sizes
    torch.manual_seed(seed)
    layer = gated.nn.Recurrent(random_cell(seed), inputs, units, dtype=torch.float64)
    x = torch.randn(T, B, inputs, dtype=torch.float64, requires_grad=True)
    u = torch.rand(T, B, dtype=torch.float64, requires_grad=True)
    lengths = torch.randint(0, T + 1, (B,))
    found = []
    for backend in backends:
        layer.backend = backend
        output, final = layer(x, lengths=lengths, u=u)
        states = final if isinstance(final, tuple) else (final,)
        loss = (output * output.cos()).sum() + sum(state.sin().sum() for state in states)
        loss = loss + 0 * x.sum()  # some cells depend on nothing
        wanted = [x, u, *layer.parameters()]
        gradients = torch.autograd.grad(loss, wanted, materialize_grads=True)
        found.append([output, *states, *gradients])
    return found


@pytest.mark.parametrize("instruction_set", native.instruction_sets())
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**9), sizes=st.tuples(*(st.integers(1, n) for n in (4, 5, 6, 21))))
def test_any_cell_is_what_torch_makes_of_it(
    instruction_set: str, seed: int, sizes: tuple[int, int, int, int]
) -> None:
    fastest = native.instruction_set()
    native.set_instruction_set(instruction_set)
    try:
        found = results(seed, sizes, "native", "torch")
    finally:
        native.set_instruction_set(fastest)
    assert_agree(*found, "results", relative=1e-7, absolute=1e-7)


@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
@pytest.mark.skipif(os.environ["TRITON_INTERPRET"] != "1", reason="needs Triton's interpreter")
@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # rows that have ended
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**9), sizes=st.tuples(*(st.integers(1, n) for n in (2, 3, 4, 9))))
def test_so_are_its_triton_kernels(seed: int, sizes: tuple[int, int, int, int]) -> None:
    found = results(seed, sizes, "triton", "torch")
    assert_agree(*found, "results", relative=1e-7, absolute=1e-7)
