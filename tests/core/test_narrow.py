"""Arrays in bfloat16 beside a layer in float32: what they hold, and the gradients from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.core.layers import RandomLayer, options_for, variants
from tests.core.test_ops import CELLS, flat, instruction_set  # noqa: F401 - a fixture

from gated.core import native, ops
from gated.core.call import BFLOAT16, Call, checked_call
from gated.core.plans import kept_shapes
from gated.errors import DataError


def narrowed(array: np.ndarray) -> np.ndarray:
    """The bits of each number in bfloat16, as torch rounds it."""
    return torch.from_numpy(np.ascontiguousarray(array)).bfloat16().view(torch.uint16).numpy()


def widened(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def rounded(array: np.ndarray) -> np.ndarray:
    return widened(narrowed(array))


def assert_as_float32_rounded(
    layer: RandomLayer, *, whole: bool, recompute: bool, threads: int = 1, **given: Any
) -> None:
    """The results to the last bit; and the gradients that float32 has from the rounded numbers.

    Args:
        layer: in float32.
        whole: whether input and output are narrow too, not only what is kept.
        recompute: whether only states are kept.
        threads: of the narrow layer; that in float32 has one.
        given: other arguments of `forward`.
    """
    if whole:
        layer.x = rounded(layer.x)
    arguments = layer.given() | {"lengths": None, "reverse": False} | given
    wide = ops.forward(**arguments, keep=True, recompute=recompute, threads=1)
    assert wide.kept is not None
    x = narrowed(layer.x) if whole else layer.x
    call = checked_call(**arguments | {"x": x}, may_be_narrow=True)

    output = np.full_like(wide.output, np.nan)
    output = narrowed(output) if whole else output
    final = [np.empty_like(state) for state in wide.final]
    shapes = kept_shapes(call.cell, call.rows, call.sizes, recompute)
    kept = {name: np.empty(shape, BFLOAT16) for name, shape in shapes.items()}
    ops.forward_into(call, output, final, kept, threads)
    seen_output = widened(output) if whole else output
    np.testing.assert_array_equal(seen_output, rounded(wide.output) if whole else wide.output)
    for state, same in zip(final, wide.final, strict=True):
        np.testing.assert_array_equal(state, same)

    seen = {name: widened(array) for name, array in kept.items()}
    values = None if recompute else seen.pop("values")
    from_rounded = ops.Kept(wide.kept.call, seen_output, values, seen)
    for name in () if recompute else layer.grad_gates:
        expected = wide.kept.gate(name)
        is_output = np.shares_memory(expected, wide.output)
        expected = expected if is_output and not whole else rounded(expected)
        np.testing.assert_array_equal(from_rounded.gate(name), expected)

    grad = layer.grad_output
    expected = ops.backward_packed(
        from_rounded, rounded(grad) if whole else grad, layer.grad_final, None, {}, threads=1
    )
    found = back(call, output, kept, narrowed(grad) if whole else grad, layer, threads)
    if whole:
        found, expected = (
            of._replace(x=rounded_x)
            for of, rounded_x in ((found, widened(found.x)), (expected, rounded(expected.x)))
        )
    for one, other in zip(flat(found), flat(expected), strict=True):
        np.testing.assert_array_equal(one, other)


def back(
    call: Call,
    output: np.ndarray,
    kept: dict[str, np.ndarray],
    grad: np.ndarray,
    layer: RandomLayer,
    threads: int,
) -> Any:
    history = dict(kept)
    values = history.pop("values", None)
    kept_by = ops.Kept(call, output, values, history)
    return ops.backward_packed(kept_by, grad, layer.grad_final, None, {}, threads=threads)


@pytest.mark.parametrize(
    ("units", "whole", "recompute"),
    [(1, True, False), (7, False, False), (17, True, True), (129, True, False), (129, False, True)],
)
@pytest.mark.parametrize(("cell", "variant"), variants(CELLS))
def test_narrow_is_float32_rounded_at_each_step(
    instruction_set: str,  # noqa: F811
    cell: str,
    variant: str,
    units: int,
    whole: bool,
    recompute: bool,
) -> None:
    inputs, sequences = {1: (1, 1), 7: (3, 17), 17: (129, 5), 129: (5, 16)}[units]
    options = options_for(cell, variant)
    layer = RandomLayer(cell, (6, sequences, inputs, units), dtype="float32", **options)
    lengths = np.random.default_rng(2).integers(0, 7, sequences)
    assert_as_float32_rounded(layer, whole=whole, recompute=recompute)
    assert_as_float32_rounded(
        layer, whole=whole, recompute=recompute, lengths=lengths, reverse=True
    )


@pytest.mark.parametrize(
    ("threads", "sequences", "units", "recompute"),
    [
        (2, 13, 300, False),
        (3, 13, 70, True),
        (5, 2, 300, False),
        (2, 1, 300, False),
        (3, 2, 300, True),
    ],
)
@pytest.mark.parametrize(("cell", "variant"), variants(CELLS))
def test_threads_share_out_what_is_narrow(
    cell: str, variant: str, threads: int, sequences: int, units: int, recompute: bool
) -> None:
    layer = RandomLayer(
        cell, (9, sequences, 40, units), dtype="float32", **options_for(cell, variant)
    )
    lengths = np.arange(sequences) % 4 + 6
    assert_as_float32_rounded(
        layer, whole=True, recompute=recompute, threads=threads, lengths=lengths, reverse=True
    )


@pytest.mark.parametrize("cell", CELLS)
def test_long_sequences_are_kept_in_several_runs(cell: str) -> None:
    layer = RandomLayer(cell, (150, 7, 5, 11), dtype="float32")
    lengths = np.array([150, 2, 149, 80, 0, 150, 33])
    for recompute in (False, True):
        assert_as_float32_rounded(
            layer, whole=True, recompute=recompute, threads=2, lengths=lengths
        )


PAIRS = [name for name in native.instruction_sets() if name in ("avx512_bf16", "amx")]


@pytest.mark.skipif(not PAIRS, reason="this processor multiplies no pairs of bfloat16")
@pytest.mark.parametrize(("cell", "variant"), variants(CELLS))
@pytest.mark.parametrize(
    ("steps", "sequences", "units"),
    [(1, 30, 7), (7, 5, 33), (9, 13, 70), (60, 13, 40), (12, 2, 300)],
)
def test_gradients_by_pairs_are_near_those_by_float32(
    cell: str, variant: str, steps: int, sequences: int, units: int
) -> None:
    """From the same numbers in bfloat16; the same bits on any number of threads."""
    sizes = (steps, sequences, 19, units)
    layer = RandomLayer(cell, sizes, dtype="float32", **options_for(cell, variant))
    layer.weights = layer.weights._replace(
        **{
            name: rounded(weight)
            for name, weight in layer.weights._asdict().items()
            if name.startswith("weight") and weight is not None
        }
    )
    lengths = np.arange(sequences) % 4 + steps - 3 if steps > 3 else None
    arguments = layer.given() | {"lengths": lengths, "reverse": True}
    calls = {
        stored_as: checked_call(**arguments, stored_as=stored_as)
        for stored_as in ("float32", "bfloat16")
    }
    used = native.instruction_set()
    try:
        for name in PAIRS:
            native.set_instruction_set(name)
            call = calls["bfloat16"]
            output = np.empty_like(layer.grad_output)
            final = [np.empty_like(state) for state in layer.initial]
            shapes = kept_shapes(call.cell, call.rows, call.sizes, False)
            kept = {name: np.empty(shape, BFLOAT16) for name, shape in shapes.items()}
            ops.forward_into(call, output, final, kept, 1)
            grad = layer.grad_output
            expected = flat(back(calls["float32"], output, kept, grad, layer, 1))
            found = flat(back(call, output, kept, grad, layer, 1))
            for one, other in zip(found, expected, strict=True):
                assert np.linalg.norm(one - other) <= 2e-2 * np.linalg.norm(other)
            assert any((one != other).any() for one, other in zip(found, expected, strict=True))
            for threads in (2, 3, 5):
                again = flat(back(call, output, kept, grad, layer, threads))
                for one, other in zip(again, found, strict=True):
                    np.testing.assert_array_equal(one, other)
    finally:
        native.set_instruction_set(used)


def test_what_is_no_number_stays_none() -> None:
    layer = RandomLayer("lstm", (3, 2, 4, 5), dtype="float32")
    layer.x[1, 1] = np.nan
    assert_as_float32_rounded(layer, whole=True, recompute=False)


def test_bits_are_no_input_of_the_public_functions() -> None:
    layer = RandomLayer("lstm", (3, 2, 4, 5), dtype="float32")
    with pytest.raises(DataError, match="x must be float32 or float64, got uint16"):
        ops.forward(**layer.given() | {"x": narrowed(layer.x)})


def test_the_core_refuses_other_dtypes() -> None:
    layer = RandomLayer("lstm", (3, 2, 4, 5), dtype="float32")
    call = checked_call(**layer.given(), lengths=None, reverse=False)
    final = [np.empty_like(state) for state in layer.initial]
    with pytest.raises(TypeError, match="another dtype than its layer"):
        ops.forward_into(call, np.empty((3, 2, 5), np.float64), final, {})
    kept = {"values": np.empty((6, 20), BFLOAT16), "cell": np.empty((6, 5), np.float32)}
    with pytest.raises(TypeError, match="some arrays are narrow"):
        ops.forward_into(call, np.empty((3, 2, 5), np.float32), final, kept)
    double = RandomLayer("lstm", (3, 2, 4, 5))
    call = checked_call(**double.given(), lengths=None, reverse=False)
    with pytest.raises(TypeError, match="another dtype than its layer"):
        ops.forward_into(call, np.empty((3, 2, 5), BFLOAT16), final, {})
