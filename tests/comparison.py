"""The one way in which tests compare arrays and tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

TOLERANCES = {
    "float64": (1e-9, 1e-10),
    "float32": (2e-4, 2e-5),
    "bfloat16": (4e-2, 4e-2),
}
"""Relative and absolute tolerance of each dtype: sums of a few hundred products, in any order."""


def assert_agree(
    actual: Any,
    expected: Any,
    name: str,
    *,
    relative: float | None = None,
    absolute: float | None = None,
) -> None:
    """Assert the same shape, dtype, values within the dtype's tolerance, and places of NaN.

    Takes arrays, tensors, None, and tuples, lists and dictionaries of them.
    """
    if isinstance(expected, (tuple, list)):
        assert len(actual) == len(expected), f"{name}: {len(actual)} parts, not {len(expected)}"
        for place, (part, wanted) in enumerate(zip(actual, expected, strict=True)):
            assert_agree(part, wanted, f"{name}[{place}]", relative=relative, absolute=absolute)
    elif isinstance(expected, dict):
        assert actual.keys() == expected.keys(), f"{name}: {set(actual)}, not {set(expected)}"
        for key, wanted in expected.items():
            assert_agree(actual[key], wanted, f"{name}.{key}", relative=relative, absolute=absolute)
    elif expected is None or actual is None:
        assert actual is expected, f"{name}: one is None, the other is not"
    else:
        actual, dtype = _as_array(actual)
        expected, expected_dtype = _as_array(expected)
        assert dtype == expected_dtype, f"{name}: dtype {dtype}, not {expected_dtype}"
        assert actual.shape == expected.shape, f"{name}: {actual.shape}, not {expected.shape}"
        rtol, atol = TOLERANCES.get(dtype, (0.0, 0.0))
        np.testing.assert_allclose(
            actual,
            expected,
            rtol=rtol if relative is None else relative,
            atol=atol if absolute is None else absolute,
            equal_nan=True,
            err_msg=name,
        )


def _as_array(values: Any) -> tuple[np.ndarray, str]:
    """The values as NumPy can compare them, and the name of the dtype they came in."""
    if hasattr(values, "detach"):
        dtype = str(values.dtype).removeprefix("torch.")
        values = values.detach().cpu()
        return (values.float() if dtype == "bfloat16" else values).numpy(), dtype
    values = np.asarray(values)
    return values, values.dtype.name
